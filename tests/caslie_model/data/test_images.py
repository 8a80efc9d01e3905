from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import caslie_model
from caslie_model.data.images import (
    MAX_PIXELS,
    SampleImage,
    count_samples,
    decode_image,
    iterate_images,
    read_images,
)
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.schemas.samples import published_schema
from tests.servers import hub_server

Row = Callable[..., dict[str, Any]]
Write = Callable[[Path, list[dict[str, Any]]], Path]

TASK = "product_relation_prediction"


def packed(colour: str, kind: str = "JPEG", mode: str = "RGB", size: tuple[int, int] = (24, 16)) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size, colour).save(stream, kind)
    return stream.getvalue()


RED, BLUE = packed("red"), packed("blue")


def shown(*images: tuple[str, bytes | None]) -> dict[str, Any]:
    """Return the columns of a row that shows these images."""
    return {
        "images": [{"bytes": content, "path": "a.jpg"} for _, content in images],
        "image_roles": [role for role, _ in images],
    }


@pytest.fixture
def data(row: Row, write_rows: Write, tmp_path: Path) -> str:
    rows = [
        row(0, TASK, "train", id="both", **shown(("product 1", RED), ("product 2", BLUE))),
        row(1, TASK, "train", id="none"),
        row(2, TASK, "train", id="one", **shown(("product 2", RED))),
    ]
    return str(write_rows(tmp_path / "data", rows))


def test_images_are_keyed_by_their_bytes_in_stored_order(data: str) -> None:
    red, blue = (hashlib.sha256(content).hexdigest() for content in (RED, BLUE))
    images = read_images(data, TASK, "train")
    assert images == {
        "both": (SampleImage("product 1", red), SampleImage("product 2", blue)),
        "none": (),
        "one": (SampleImage("product 2", red),),
    }
    assert list(images) == ["both", "none", "one"]


def test_the_iterator_brings_the_bytes(data: str) -> None:
    found = [
        (sample, [each.content for each in images]) for sample, images in iterate_images(data, TASK, "train")
    ]
    assert found == [("both", [RED, BLUE]), ("none", []), ("one", [RED])]


def test_single_samples_are_read_from_the_row_groups_that_hold_them(
    row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        row(i, TASK, "train", id=f"s{i}", **shown(("product 1", packed("red", size=(8 + i, 8)))))
        for i in range(6)
    ]
    (tmp_path / TASK).mkdir()
    table = pa.Table.from_pylist(rows, schema=published_schema())
    pq.write_table(table, tmp_path / TASK / "train-00000-of-00001.parquet", row_group_size=2)
    read: list[Any] = []
    iter_batches = pq.ParquetFile.iter_batches

    def spied(self: Any, *args: Any, **kwargs: Any) -> Any:
        read.append(kwargs["row_groups"])
        return iter_batches(self, *args, **kwargs)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spied)
    assert list(read_images(str(tmp_path), TASK, "train", {"s5", "s0"})) == ["s0", "s5"]
    assert read == [[0, 2]]


def test_a_split_that_is_not_there_has_no_images(data: str) -> None:
    assert read_images(data, TASK, "test") == {}
    assert count_samples(data, TASK, "test") == 0
    assert count_samples(data, TASK, "train") == 3


def test_a_wanted_sample_must_be_there(data: str) -> None:
    with pytest.raises(DatasetError, match=f"{TASK}/train has no sample gone"):
        read_images(data, TASK, "train", ["one", "gone"])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (shown(("product 1", RED), ("product 2", None)), "image 'product 2' has no embedded bytes"),
        (shown(("product 1", b"")), "image 'product 1' has no embedded bytes"),
        ({**shown(("product 1", RED)), "image_roles": []}, "1 images and 0 roles"),
        ({"images": None, "image_roles": []}, "no images and 0 roles"),
        ({**shown(("product 1", RED)), "images": [None]}, "image 'product 1' has no embedded bytes"),
    ],
)
def test_damaged_rows_name_the_sample(
    row: Row, write_rows: Write, tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    data = write_rows(tmp_path / "data", [row(0, TASK, "test", id="broken-one", **columns)])
    with pytest.raises(DatasetError, match=f"sample broken-one: {message}"):
        read_images(str(data), TASK, "test")


def test_damaged_and_foreign_files_are_named(data: str) -> None:
    (file,) = Path(data, TASK).glob("train-*.parquet")
    pq.write_table(pq.read_table(file).drop_columns(["images"]), file)
    with pytest.raises(DatasetError, match=r"train-0.*has no column images"):
        read_images(data, TASK, "train")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DatasetError, match=r"train-0.*cannot be read"):
        count_samples(data, TASK, "train")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_images_decode_to_rgb(kind: str) -> None:
    image = decode_image(packed("red", kind), "here")
    assert (image.mode, image.size) == ("RGB", (24, 16))
    red, green, blue = image.getpixel((3, 3))  # type: ignore[misc]
    assert red > 240
    assert max(green, blue) < 15


def test_transparency_becomes_white() -> None:
    assert decode_image(packed("#ff000000", "PNG", "RGBA"), "here").getpixel((3, 3)) == (255, 255, 255)


def png_that_claims(width: int, height: int) -> bytes:
    import struct
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def webp_that_claims(width: int, height: int) -> bytes:
    content = bytearray(packed("red", "WEBP"))
    body = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    content[12:12] = b"VP8X" + (10).to_bytes(4, "little") + bytes(4) + body
    content[4:8] = (len(content) - 8).to_bytes(4, "little")
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (packed("red", size=(200, 200))[:-60], "truncated"),
        (RED[:40], "cannot be read: Truncated"),
        (b"<html><body>gone</body></html>", "an HTML page.*expected JPEG, PNG, WEBP"),
        (packed("red", "GIF"), "a GIF image; expected"),
        (png_that_claims(10_000, 5_001), f"10000x5001, at most {MAX_PIXELS:,}"),
        (png_that_claims(100_000, 100_000), "claims more than"),
        (webp_that_claims(16_000, 16_000), "16000x16000, at most"),
        (RED + bytes(20_000_000), "bytes, at most 20,000,000"),
        (RED[:-2] + b"\xff\xda" * 501, "more than 500 scans"),
    ],
    ids=["cut", "headless", "page", "gif", "large", "bomb", "webp", "bytes", "scans"],
)
def test_unreadable_images_are_errors_that_name_the_sample(content: bytes, message: str) -> None:
    with pytest.raises(DatasetError, match=rf"(?s)here.*{message}"):
        decode_image(content, "here")


@pytest.mark.slow
def test_a_dataset_on_the_hub_gives_the_same_images(data: str, tmp_path: Path) -> None:
    script = """
import json, sys
from caslie_model.data.images import count_samples, iterate_images, read_images
from mmecinstruct.core.errors import DatasetError
from huggingface_hub import HfApi
data, task = sys.argv[1:]
HfApi().create_repo("shop/mugs", repo_type="dataset")
HfApi().upload_folder(repo_id="shop/mugs", repo_type="dataset", folder_path=data)
local, far = (list(iterate_images(name, task, "train")) for name in (data, "shop/mugs"))
assert local == far, (local, far)
assert read_images("shop/mugs", task, "train", ["one"]) == {"one": local[2][1] and (local[2][1][0].image,)}
assert count_samples("shop/mugs", task, "train") == 3 and count_samples("shop/mugs", task, "test") == 0
print("same")
"""
    with hub_server.running_hub({"hf_key": "shop"}) as hub:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        done = subprocess.run(
            [sys.executable, "-c", script, data, TASK],
            env={
                **environment,
                "PYTHONPATH": str(Path(caslie_model.__file__).parents[1]),
                "HF_ENDPOINT": hub.url,
                "HF_TOKEN": "hf_key",
                "HF_HOME": str(tmp_path / "home"),
                "HF_HUB_DISABLE_XET": "1",
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "NO_PROXY": "127.0.0.1,localhost",
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.stdout.strip().endswith("same"), done.stderr
