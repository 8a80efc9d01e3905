"""Files that claim enormous images are rejected without allocating memory."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from PIL import Image

MEBIBYTE = 2**20
# MiB above the memory of the interpreter; the smallest of these images would take 400.
ALLOWED = 64


def gif_bomb(width: int, height: int, small_screen: bool) -> bytes:
    """Return a GIF that claims a size for its screen, or for a frame on a screen of one pixel."""
    size = struct.pack("<HH", width, height)
    screen = struct.pack("<HH", 1, 1) if small_screen else size
    palette = bytes(6)
    return b"GIF89a" + screen + b"\x80\0\0" + palette + b",\0\0\0\0" + size + b"\0\2\2\x4c\1\0;"


def webp_bomb(chunk: bytes, width: int, height: int) -> bytes:
    if chunk == b"VP8X":
        data = b"\2\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    elif chunk == b"VP8L":
        data = b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little") + bytes(5)
    else:
        data = b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height) + bytes(6)
    body = b"WEBP" + chunk + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def patched(kind: str, marker: bytes, offset: int, new: bytes, **options: object) -> bytes:
    """Return a small valid image whose header claims another size."""
    stream = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(stream, kind, **options)
    content = bytearray(stream.getvalue())
    position = content.index(marker) + offset
    content[position : position + len(new)] = new
    return bytes(content)


def tiff_bomb(width: int, height: int, tile: int = 0) -> bytes:
    """Return an LZW TIFF of one strip or of one tile of that many pixels a side."""
    entries = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 5), (262, 3, 1), (277, 3, 1)]
    data = 8 + 2 + 12 * (len(entries) + (4 if tile else 3)) + 4
    if tile:
        entries += [(322, 4, tile), (323, 4, tile), (324, 4, data), (325, 4, 100)]
    else:
        entries += [(273, 4, data), (278, 4, height), (279, 4, 100)]
    directory = b"".join(
        struct.pack("<HHI", tag, kind, 1)
        + (struct.pack("<HH", value, 0) if kind == 3 else struct.pack("<I", value))
        for tag, kind, value in sorted(entries)
    )
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + b"\x80" * 100


def bombs(png: bytes) -> dict[str, bytes]:
    return {
        "png": png,
        "gif screen": gif_bomb(60_000, 60_000, small_screen=False),
        "gif frame": gif_bomb(60_000, 60_000, small_screen=True),
        "gif below Pillow's own cap": gif_bomb(12_000, 12_000, small_screen=False),
        "webp VP8": webp_bomb(b"VP8 ", 16_383, 16_383),
        "webp VP8L": webp_bomb(b"VP8L", 16_384, 16_384),
        "webp VP8X": webp_bomb(b"VP8X", 16_384, 10_000),
        "webp below Pillow's own cap": webp_bomb(b"VP8X", 12_000, 12_000),
        "tiff strip": tiff_bomb(60_000, 60_000),
        "tiff tile": tiff_bomb(64, 64, tile=60_000),
        "tiff tile below Pillow's own cap": tiff_bomb(64, 64, tile=12_000),
        "bmp": patched("BMP", b"BM", 18, struct.pack("<ii", 60_000, 60_000)),
        "jpeg": patched("JPEG", b"\xff\xc0", 5, struct.pack(">HH", 60_000, 60_000)),
        "progressive jpeg": patched(
            "JPEG", b"\xff\xc2", 5, struct.pack(">HH", 12_000, 12_000), progressive=True
        ),
    }


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux reports peak memory")
def test_bombs_of_every_format_allocate_no_memory(images, tmp_path: Path) -> None:
    contents = bombs(images.png_bomb(40_000, 40_000))
    for number, content in enumerate(contents.values()):
        (tmp_path / str(number)).write_bytes(content)
    script = textwrap.dedent(
        """
        import json, resource, sys, warnings
        from mmecinstruct.images.measure import measure_image
        from mmecinstruct.recipe import ImageSettings

        warnings.simplefilter("ignore")
        settings = ImageSettings()
        contents = [open(f"{sys.argv[1]}/{number}", "rb").read() for number in range(int(sys.argv[2]))]

        def memory():  # peak of this process; getrusage would include its parent's
            status = open("/proc/self/status").read()
            return int(status.split("VmHWM:")[1].split()[0]) // 1024

        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        outcomes, before = [], memory()
        for content in contents:
            reason = measure_image(content, settings).reason
            outcomes.append((reason, memory() - before))
        print(json.dumps(outcomes))
        """
    )
    command = [sys.executable, "-c", script, str(tmp_path), str(len(contents))]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    outcomes = dict(zip(contents, json.loads(output), strict=True))
    assert {name: reason for name, (reason, _) in outcomes.items()} == dict.fromkeys(
        contents, "too_many_pixels"
    )
    assert max(memory for _, memory in outcomes.values()) < ALLOWED, outcomes
