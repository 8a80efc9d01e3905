"""Fetch and normalise images into Parquet: ours against img2dataset, in turns, on the same machine.

A server in a process of its own answers each request after 30 ms from the loopback. Both sides fetch the same
images, decode them, bring the longest side to 512 pixels, encode them as JPEG of quality 88 and write them with
their SHA-256 into Parquet files. Ours is `mmec images` with a table of URLs: it also fetches robots.txt, keeps the
received bytes and a row per URL in the ledger, measures structure and deviation, computes two more hashes (pixels,
perceptual), and filters the images.

    python -m venv PEER && PEER/bin/pip install img2dataset
    python benchmarks/images.py --peer PEER/bin/python --json benchmarks/results/images.json

The start of processes (the peer starts two more, each of which imports its libraries) is excluded: every run is
repeated over 512 images, and the difference of the two is compared. Wall clock and CPU are recorded, the latter with
all child processes but the server, by wait4(2).
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

LATENCY = 0.03  # seconds
WIDTHS = {"small": 500, "large": 1500}
AIMS = {"small": 1.5, "large": 2.0}  # times the peer's images per second
CPU_AIM = 0.6  # of the peer's CPU per image
# Different images per size; a comment makes the bytes of every served file unique.
RENDERED = 48
# Grey levels: about 0.1 bytes per pixel, like shops' photographs.
TEXTURE = 2.5
LONGEST_SIDE = 512
QUALITY = 88
SHARD = 1000

PEER = """
import json, sys
from img2dataset import download
task = json.loads(sys.argv[1])
if __name__ == "__main__":
    download(
        url_list=task["urls"], output_folder=task["folder"], input_format="txt", output_format="parquet",
        image_size=task["side"], resize_mode="keep_ratio_largest", resize_only_if_bigger=True,
        encode_quality=task["quality"], processes_count=task["processes"], thread_count=task["threads"],
        number_sample_per_shard=task["shard"], timeout=20, enable_wandb=False,
    )
"""


# The server.


def render_images(width: int) -> list[bytes]:
    """Render images with a product's proportion of smooth areas, edges and texture."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFilter

    images = []
    for number in range(RENDERED):
        generator = np.random.default_rng(number)
        height = int(width * (0.75, 1.0, 1.25)[number % 3])
        image = Image.new("RGB", (width, height), "white")
        pen = ImageDraw.Draw(image)
        for _ in range(14):
            x, y = generator.integers(0, width), generator.integers(0, height)
            size = int(generator.integers(width // 12, width // 3))
            shape = pen.ellipse if generator.random() < 0.5 else pen.rectangle
            shape(
                (x - size, y - size // 2, x + size, y + size // 2), fill=tuple(generator.integers(0, 256, 3))
            )
        image = image.filter(ImageFilter.GaussianBlur(width / 400))
        pixels = np.asarray(image, dtype=np.float32)
        background = pixels.min(axis=2, keepdims=True) > 250
        texture = np.where(background, 0, generator.normal(0, TEXTURE, (height, width, 1)))
        pixels = (pixels + texture).clip(0, 255).astype(np.uint8)
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=90)
        images.append(stream.getvalue())
    return images


async def serve() -> None:
    """Answer /<size>/<number>.jpg; say the port, then count requests for /count."""
    rendered = {size: render_images(width) for size, width in WIDTHS.items()}
    counted = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal counted
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].decode()
                size, _, name = path[1:].partition("/")
                if size in rendered:
                    counted += 1
                    await asyncio.sleep(LATENCY)
                    number = int(name.removesuffix(".jpg"))
                    comment = b"%d" % number
                    image = rendered[size][number % RENDERED]
                    body = b"".join(
                        (
                            image[:2],
                            b"\xff\xfe",
                            (len(comment) + 2).to_bytes(2, "big"),
                            comment,
                            image[2:],
                        )
                    )
                    writer.write(
                        b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
                        % len(body)
                    )
                    writer.write(body)
                elif path == "/count":
                    text = str(counted).encode()
                    counted = 0
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
                else:
                    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
                if b"connection: close" in head.lower():
                    break
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


@contextmanager
def server_process() -> Iterator[int]:
    """Run the server in a process of its own; yield its port."""
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


# Ours, in a process of its own.


def run_ours(task: dict[str, Any]) -> None:
    """Do what `mmec images` does: fetch a table of URLs, then measure and filter in processes."""
    from mmecinstruct.images.settings import ImageSettings
    from mmecinstruct.pipeline.check_images import check_images
    from mmecinstruct.recipe import ImageCheckSettings
    from mmecinstruct.web.images.settings import FetchSettings

    folder = Path(task["folder"])
    settings = ImageCheckSettings(
        images=ImageSettings(longest_side=LONGEST_SIDE, jpeg_quality=QUALITY),
        fetch=FetchSettings(
            enabled=True,
            contact="benchmark",
            threads=task["threads"],
            connections_per_host=task["threads"],
            requests_per_second=100_000,
            private_networks=("127.0.0.0/8",),
        ),
    )
    report = check_images(
        Path(task["urls"]),
        folder / "images",
        settings,
        workspace=folder / "workspace",
        workers=task["processes"],
    )
    (folder / "count.json").write_text(json.dumps(report.kept))


# The comparison.


def measure(side: str, size: str, count: int, port: int, options: argparse.Namespace) -> dict[str, Any]:
    """Run one side over so many images in a new folder; return seconds, CPU seconds, and exact counts."""
    scratch = Path(tempfile.mkdtemp(dir=options.scratch))
    folder = scratch / "out"
    folder.mkdir()
    lines = [f"http://127.0.0.1:{port}/{size}/{n}.jpg" for n in range(count)]
    urls = scratch / ("urls.csv" if side == "ours" else "urls.txt")
    urls.write_text("\n".join(["image_url", *lines] if side == "ours" else lines) + "\n")
    task = {"urls": str(urls), "folder": str(folder), "side": LONGEST_SIDE, "quality": QUALITY}
    task |= {"shard": min(SHARD, max(1, count // options.peer_processes))}
    if side == "ours":
        task |= {"threads": options.threads, "processes": options.processes}
        command = [sys.executable, __file__, "--ours", json.dumps(task)]
    else:
        task |= {"threads": options.peer_threads, "processes": options.peer_processes}
        script = scratch / "peer.py"
        script.write_text(PEER)
        command = [options.peer, str(script), json.dumps(task)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}
    with urlopen(f"http://127.0.0.1:{port}/count") as answer:
        answer.read()
    log = scratch / "log"
    with log.open("wb") as stream:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{side} failed:\n{log.read_text()[-3000:]}")
    with urlopen(f"http://127.0.0.1:{port}/count") as answer:
        requests = int(answer.read())
    if side == "ours":
        good = json.loads((folder / "count.json").read_text())
    else:
        good = sum(json.loads(path.read_text())["successes"] for path in folder.glob("*_stats.json"))

    return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "good": good, "requests": requests}


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Run both sides in turns over both sizes.

    What the runs write stays until all are over: some file systems are slow to make files where many were just removed.
    """
    few = options.few
    many = options.images // 2
    results: dict[str, Any] = {}
    with server_process() as port:
        for size in WIDTHS:
            rounds = []
            # A first run of each, so that neither reads its libraries from the disk later.
            for side in ("ours", "img2dataset"):
                measure(side, size, few, port, options)
            for number in range(options.rounds):
                entry: dict[str, Any] = {}
                for side in ("ours", "img2dataset"):
                    start = measure(side, size, few, port, options)
                    whole = measure(side, size, many, port, options)
                    for run, count in ((start, few), (whole, many)):
                        if (run["good"], run["requests"]) != (count, count):
                            raise SystemExit(f"{side}: {run} for {count} images")
                    seconds = whole["seconds"] - start["seconds"]
                    cpu = whole["cpu"] - start["cpu"]
                    entry[side] = {
                        "images_per_second": (many - few) / seconds,
                        "cpu_ms_per_image": 1000 * cpu / (many - few),
                        "start": start,
                        "whole": whole,
                    }
                    print(
                        f"{size} round {number + 1} {side}: {entry[side]['images_per_second']:.0f} images/s, "
                        f"{entry[side]['cpu_ms_per_image']:.2f} ms CPU per image",
                        file=sys.stderr,
                    )
                ours, peer = entry["ours"], entry["img2dataset"]
                entry["speed_ratio"] = ours["images_per_second"] / peer["images_per_second"]
                entry["cpu_ratio"] = ours["cpu_ms_per_image"] / peer["cpu_ms_per_image"]
                rounds.append(entry)
            results[size] = {"rounds": rounds, **summarise(rounds)}
    return results


def summarise(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return median, lowest and highest of each figure over the rounds."""
    figures: dict[str, Any] = {}
    for name in ("speed_ratio", "cpu_ratio"):
        figures[name] = spread([entry[name] for entry in rounds])
    for side in ("ours", "img2dataset"):
        figures[side] = {
            name: spread([entry[side][name] for entry in rounds])
            for name in ("images_per_second", "cpu_ms_per_image")
        }
    return figures


def spread(values: list[float]) -> dict[str, float]:
    """Return the median, the lowest and the highest value."""
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


def as_markdown(record: dict[str, Any]) -> str:
    """Return the record as a page."""

    def cell_of(figure: dict[str, float], digits: int) -> str:
        return (
            f"{figure['median']:.{digits}f} ({figure['lowest']:.{digits}f} to {figure['highest']:.{digits}f})"
        )

    lines = [
        "# Images from a server to shards",
        "",
        f"{record['images']} JPEG images over the loopback, {1000 * LATENCY:.0f} ms latency, half "
        f"{WIDTHS['small']} and half {WIDTHS['large']} pixels wide; {record['rounds']} rounds in turns on "
        f"{record['cores']} cores. Median (lowest to highest). Every image arrived once and was written on both "
        "sides.",
        "",
        "| width | images/s, ours | img2dataset | ratio | CPU ms per image, ours | img2dataset | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for size, result in record["results"].items():
        ours, peer = result["ours"], result["img2dataset"]
        cells = [
            str(WIDTHS[size]),
            cell_of(ours["images_per_second"], 0),
            cell_of(peer["images_per_second"], 0),
            cell_of(result["speed_ratio"], 2),
            cell_of(ours["cpu_ms_per_image"], 2),
            cell_of(peer["cpu_ms_per_image"], 2),
            cell_of(result["cpu_ratio"], 2),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    outcome = ", ".join(
        f"{size} {'met' if met(size, result) else 'missed'}" for size, result in record["results"].items()
    )
    lines += [
        "",
        f"Aim: {AIMS['small']} times (small) and {AIMS['large']} times (large) the images per second at {CPU_AIM} of "
        f"the CPU per image or less: {outcome}.",
        "",
        f"Ours: {record['threads']} threads that fetch, then {record['processes']} processes that measure, as in a "
        f"build. img2dataset {record['peer_version']}: "
        f"{record['peer_processes']} processes of {record['peer_threads']} threads. What either side needs to start "
        f"is taken off by a run over {record['few']} images; `images.json` has both runs. Written by "
        "`benchmarks/images.py`.",
    ]
    return "\n".join(lines) + "\n"


def met(size: str, result: dict[str, Any]) -> bool:
    """Return whether the medians meet both aims."""
    return result["speed_ratio"]["median"] >= AIMS[size] and result["cpu_ratio"]["median"] <= CPU_AIM


def main() -> int:
    """Print the table; return 1 where an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--ours", help=argparse.SUPPRESS)
    parser.add_argument("--peer", help="the Python of an environment with img2dataset")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--few", type=int, default=512, help="images of the run that measures the start")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--threads", type=int, default=40)
    parser.add_argument("--peer-processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--peer-threads", type=int, default=32)
    parser.add_argument("--scratch", type=Path, help="where to write; default: the system's")
    parser.add_argument("--json", type=Path, help="write the figures here, and a page beside it")
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return 0
    if options.ours:
        run_ours(json.loads(options.ours))
        return 0
    if not options.peer:
        parser.error("--peer: name the Python of an environment with img2dataset")
    version = subprocess.run(
        [options.peer, "-c", "import importlib.metadata as m; print(m.version('img2dataset'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    record = {
        "images": options.images,
        "few": options.few,
        "rounds": options.rounds,
        "cores": len(os.sched_getaffinity(0)),
        "processes": options.processes,
        "threads": options.threads,
        "peer_version": version,
        "peer_processes": options.peer_processes,
        "peer_threads": options.peer_threads,
    }
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        options.scratch = scratch
        record["results"] = compare(options)
    page = as_markdown(record)
    print(page)
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        options.json.with_suffix(".md").write_text(page, encoding="utf-8")
    return 0 if all(met(size, result) for size, result in record["results"].items()) else 1


if __name__ == "__main__":
    sys.exit(main())
