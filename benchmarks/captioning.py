r"""Captions per second: ours beside one image at a time, and beside a bare loop of requests to a server.

    python benchmarks/captioning.py --data DATASET [--images 16] [--results benchmarks/results]

DATASET is a dataset folder (`mmec build --tasks all` without sources builds the sample).

*Models.* Small random image-text models, those of the tests and a larger one. One image at a time is what the paper's
scripts do, written anew with transformers: a prompt and an image are prepared, up to 128 tokens generated, then the
next ones. Here both sides decode greedily, so that texts can be compared. Both take turns in one process.

*Equal pairs.* How many requests of the dataset another sample makes too: counted, apart from the above.

*Server.* A server in a process of its own answers each request after a fixed time. The bare loop sends the bodies that
our own `--write-batch` writes, by as many workers on one session of the same HTTP client, and keeps the texts in
memory; ours is the whole `caption`, of which the server sees the time from the first request to the last answer. Ours
reads and encodes images meanwhile, checks and counts, and writes each caption to disk.
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
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads take no CPU seconds
sys.path.insert(0, str(Path(__file__).parent.parent))  # the tests' models and server

import torch
from captioning_page import MAX_TOKENS, page
from PIL import Image

import caslie_model
from caslie_model.backbones.image_text_model import load_image_text_model
from caslie_model.captions.captioner import CaptionRequest
from caslie_model.captions.estimates import estimate_captions
from caslie_model.captions.model_captioners import ImageTextCaptioner
from caslie_model.captions.prompts import caption_prompt
from caslie_model.config.presets import caption_config
from caslie_model.data.image_bytes import SpooledImages, spool_images
from caslie_model.data.samples import read_samples
from caslie_model.inference import image_text_answers
from caslie_model.inference.near_tokens import NearTokens
from caslie_model.inference.server_client import open_session
from caslie_model.inference.server_settings import settings_of
from caslie_model.runtime.device import choose_device
from mmecinstruct.tasks import TASKS

# As in the paper's scripts.
# Below the size of the sample's images, which are shrunk by neither side then.
MAX_PIXELS = 262_144
TASK, SPLIT = "category_classification", "test"
LARGER = "larger"
SERVED = "openai:served"
Result = dict[str, Any]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, least and most."""
    found = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {name: round(value, 3) for name, value in found.items()}


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return wall-clock and CPU seconds, and the result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - wall, time.process_time() - cpu, result


# -- models ------------------------------------------------------------------------------------------------


def write_models(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Write random models: families of the tests, and one of some 12 million weights in its language model."""
    from tests.caslie_model.inference.conftest import FAMILIES, write_model

    small = FAMILIES["qwen2_vl"]

    def config(ids: dict[str, int]) -> dict[str, Any]:
        made = small.config(ids)
        text = {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 8, "head_dim": 64}
        text |= {"num_attention_heads": 6, "num_key_value_heads": 2, "initializer_range": 0.05}
        made["text_config"] |= text
        made["text_config"]["rope_parameters"] = made["text_config"]["rope_parameters"] | {
            "mrope_section": [8, 12, 12]
        }
        made["vision_config"] |= {"hidden_size": 384, "embed_dim": 64}
        return made

    FAMILIES[LARGER] = replace(small, config=config, model_type="qwen2_vl")
    return {name: write_model(name, folder / name) for name in names}


class OneAtATime:
    """What the paper's scripts do, with transformers alone, but for the choice of tokens: greedy.

    Model and processor come from the package: transformers' AutoProcessor wants torchvision for videos.
    """

    def __init__(self, folder: Path, images: SpooledImages) -> None:
        loaded = load_image_text_model(str(folder), choose_device("cpu", "float32"), "none")
        self.processor, self.model, self.template = loaded.processor, loaded.model, loaded.chat_template
        self.images = images

    def captions(self, requests: Sequence[CaptionRequest]) -> dict[str, str]:
        """Return texts by the names of requests."""
        return {request.name: self.caption(request) for request in requests}

    def caption(self, request: CaptionRequest) -> str:
        """Return the text of one request."""
        content = [{"type": "image"}, {"type": "text", "text": request.prompt}]
        text = self.processor.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=self.template,
            tokenize=False,
            add_generation_prompt=True,
        )
        image = Image.open(io.BytesIO(self.images.content(request.image))).convert("RGB")
        given = self.processor(text=[text], images=[[image]], return_tensors="pt")
        with torch.inference_mode():
            tokens = self.model.generate(
                **given, max_new_tokens=MAX_TOKENS, do_sample=False, temperature=None
            )
        new = tokens[0, given["input_ids"].shape[1] :]
        return str(self.processor.tokenizer.decode(new, skip_special_tokens=True)).strip()


def measure_model(
    name: str, folder: Path, requests: Sequence[CaptionRequest], images: SpooledImages, options: Any
) -> Result:
    """Caption requests both ways, in turns."""
    config = caption_config(
        captioner=str(folder),
        data="unused",
        device="cpu",
        max_tokens=MAX_TOKENS,
        max_pixels=MAX_PIXELS,
        batch_size=options.batch_size,
    )
    ours, theirs = ImageTextCaptioner(config, images), OneAtATime(folder, images)

    alone = Counter[bool]()

    def generated(inputs: Any, prompts: Sequence[Any], budgets: Sequence[int], **given: Any) -> Any:
        alone[len(prompts) == 1] += 1
        return original(inputs, prompts, budgets, **given)

    def decided(near: NearTokens, row: int, said: Sequence[int]) -> Any:
        nonlocal near_tokens
        near_tokens += 1
        return original_decided(near, row, said)

    near_tokens = 0
    original, original_decided = image_text_answers.generated, NearTokens._decided

    def batched(given: Sequence[CaptionRequest]) -> dict[str, str | None]:
        return {request.name: reply.text for group in ours.captions(given) for request, reply in group}

    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: batched(requests),
        "single": lambda: theirs.captions(requests),
    }
    with (
        mock.patch.object(image_text_answers, "generated", generated),
        mock.patch.object(NearTokens, "_decided", decided),
    ):
        batched(requests)
    theirs.captions(requests[:1])
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    cpu: dict[str, list[float]] = {way: [] for way in ways}
    texts: dict[str, Any] = {}
    for turn in range(options.repeats):
        for way in list(ways)[:: 1 if turn % 2 else -1]:
            wall, used, texts[way] = timed(ways[way])
            seconds[way].append(wall)
            cpu[way].append(used)
            print(f"{name} {way}: {wall:.1f} s, {used:.1f} CPU s", file=sys.stderr)
    equal = sum(texts["ours"][request.name] == texts["single"][request.name] for request in requests)
    return {
        "weights": sum(each.numel() for each in theirs.model.parameters()),
        "images": len(requests),
        "batch_size": options.batch_size,
        "equal_texts": equal,
        "generated_again_alone": alone[True],
        "tokens_decided_alone": near_tokens,
        "different_texts": len(set(texts["ours"].values())),
        "captions_per_second": {way: spread([len(requests) / each for each in seconds[way]]) for way in ways},
        "captions_per_cpu_second": {way: spread([len(requests) / each for each in cpu[way]]) for way in ways},
        "ratio": spread([a / b for a, b in zip(seconds["single"], seconds["ours"], strict=True)]),
        "cpu_ratio": spread([a / b for a, b in zip(cpu["single"], cpu["ours"], strict=True)]),
    }


def measure_models(options: Any, scratch: Path) -> Result:
    """Compare both ways for each model."""
    samples = read_samples(options.data, TASK, SPLIT)[: options.images]
    folders = write_models(scratch / "models", options.models)
    results = {}
    with spool_images(options.data, samples) as images:
        requests = [
            CaptionRequest(image.key, caption_prompt(sample, image.role, 50), "", sample.id)
            for sample in samples
            for image in images.images[sample.id][:1]
        ]
        for name, folder in folders.items():
            results[name] = measure_model(name, folder, requests, images, options)
    return results


def equal_pairs(data: str) -> Result:
    """Return images and different requests of each task."""
    found = {}
    for task in TASKS:
        estimate = estimate_captions(caption_config(captioner="a-model", data=data, tasks=[task]))
        images, requests = estimate["images"], estimate["requests"]
        found[task] = {"images": images, "requests": requests, "ratio": round(images / requests, 2)}
    images, requests = (sum(each[name] for each in found.values()) for name in ("images", "requests"))
    return {**found, "all": {"images": images, "requests": requests, "ratio": round(images / requests, 2)}}


# -- a server ----------------------------------------------------------------------------------------------


def serve(delay: float) -> None:
    """Answer each request after a time until stdin ends, then print when the first came and the last was answered."""
    from tests.servers.chat_server import Asked, Canned, ChatServer, completion

    came: list[float] = []

    def answer(asked: Asked) -> Canned:
        came.append(time.monotonic())
        return Canned(completion("A thing before a white background."), delay=delay)

    with ChatServer(answer) as server:
        print(server.url, flush=True)
        for _ in sys.stdin:
            print(json.dumps([len(came), came[-1] + delay - came[0]] if came else [0, 0.0]), flush=True)
            came.clear()
            server.asked.clear()


class Served:
    """The server in a process of its own."""

    def __init__(self, delay: float) -> None:
        command = [sys.executable, __file__, "--serve", str(delay)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self._line()

    def span(self) -> tuple[int, float]:
        """Return how many requests came since the last call, and the seconds from the first to the last answer."""
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        count, seconds = json.loads(self._line())
        return count, seconds

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


async def bare_loop(settings: Any, url: str, bodies: Sequence[bytes], concurrency: int) -> list[str]:
    """Send requests by as many workers, and return the texts."""
    waiting = iter(enumerate(bodies))
    texts = [""] * len(bodies)
    async with open_session(settings, None) as session:

        async def work() -> None:
            for number, body in waiting:
                response = await session.post(f"{url}/chat/completions", content=body)
                texts[number] = response.json()["choices"][0]["message"]["content"]

        await asyncio.gather(*(work() for _ in range(concurrency)))
    return texts


def measure_server(options: Any, scratch: Path, delay: float, concurrency: int) -> Result:
    """Ask a server by ours and by the bare loop, in turns."""
    bodies_file = scratch / f"batch-{concurrency}.jsonl"
    asked = {"tasks": options.server_tasks, "splits": ["train", "validation", "test"], "limit": options.limit}
    caslie_model.caption(
        SERVED, options.data, scratch / f"batch-{concurrency}", write_batch=bodies_file, **asked
    )
    lines = bodies_file.read_text(encoding="utf-8").splitlines()
    bodies = [json.dumps(json.loads(line)["body"]).encode() for line in lines]
    server = Served(delay)
    served = {"server": server.url, "concurrency": concurrency}
    settings = settings_of(caption_config(captioner=SERVED, data="unused", **served))
    spans, seconds, cpu = (defaultdict[str, list[float]](list) for _ in range(3))
    for turn in range(options.repeats + 1):
        ways: dict[str, Callable[[], Any]] = {
            "ours": partial(
                caslie_model.caption,
                SERVED,
                options.data,
                scratch / f"{concurrency}-{turn}",
                **served,
                **asked,
            ),
            "bare": lambda: asyncio.run(bare_loop(settings, server.url, bodies, concurrency)),
        }
        for way in list(ways)[:: 1 if turn % 2 else -1]:
            wall, used, result = timed(ways[way])
            count, span = server.span()
            assert count == len(bodies), (way, count, len(bodies))
            assert way == "bare" or result.requests == result.asked == len(bodies)
            if turn:  # the first one warms up
                spans[way].append(span)
                seconds[way].append(wall)
                cpu[way].append(used)
            print(f"server {way}: {span:.2f} s, {used:.2f} CPU s", file=sys.stderr)
    server.close()
    count = len(bodies)
    return {
        "requests": count,
        "delay": delay,
        "concurrency": concurrency,
        "limit_per_second": round(concurrency / delay),
        "requests_per_second": {way: spread([count / each for each in spans[way]]) for way in spans},
        "of_the_bare_loop": spread([a / b for a, b in zip(spans["bare"], spans["ours"], strict=True)]),
        "whole_seconds": {way: spread(seconds[way]) for way in seconds},
        "cpu_milliseconds": {way: spread([1000 * each / count for each in cpu[way]]) for way in cpu},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data")
    parser.add_argument("--models", nargs="*", default=["qwen2_5_vl", "smolvlm", LARGER])
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--server-tasks", nargs="*", default=["cc", "sa", "psi", "mpc", "ap"])
    parser.add_argument(
        "--limit", type=int, default=200, help="samples per task and split that a server is asked"
    )
    parser.add_argument("--servers", nargs="*", default=["0.02x8", "0.2x32"], metavar="SECONDSxAT_A_TIME")
    parser.add_argument("--only", choices=["models", "pairs", "server"], nargs="*")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results"))
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve)
        return
    if options.data is None:
        parser.error("give --data")
    torch.set_num_threads(options.threads)
    file = options.results / "captioning.json"
    record: Result = json.loads(file.read_text(encoding="utf-8")) if options.only and file.is_file() else {}
    parts = options.only or ["models", "pairs", "server"]
    record |= {"torch": torch.__version__, "threads": options.threads, "repeats": options.repeats}
    load_before = [round(each, 1) for each in os.getloadavg()]
    with tempfile.TemporaryDirectory() as scratch:
        if "models" in parts:
            record["models"] = measure_models(options, Path(scratch))
        if "pairs" in parts:
            record["equal_pairs"] = equal_pairs(options.data)
        if "server" in parts:
            record["server"] = [
                measure_server(options, Path(scratch), float(delay), int(concurrency))
                for delay, concurrency in (each.split("x") for each in options.servers)
            ]
    record |= {"load_before": load_before, "load_after": [round(each, 1) for each in os.getloadavg()]}
    options.results.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if {"models", "equal_pairs", "server"} <= set(record):
        file.with_suffix(".md").write_text(page(record), encoding="utf-8")


if __name__ == "__main__":
    main()
