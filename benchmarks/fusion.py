"""Measure the cost of images: cross-attention against text alone and images as tokens, in time, memory and FLOPs.

    taskset -c 0 env OMP_NUM_THREADS=1 python benchmarks/fusion.py [--results benchmarks/results]

One prompt of T tokens with N images and one answer, random weights at the shape of SmolLM2-135M, random features of
width 768, the same for all ways of fusing that take as many patches:

    text           the language model alone
    xattn          resampler to 8 latents per image and gated cross-attention
    concat         the same latents as 8 tokens per image in the text
    concat-full    all patches as tokens: 49 (a pooled 7 x 7 grid) or 576 (unpooled)

Prefill is a pass over the prompt, resampler included, up to the first answer token's logits; decode is a token more,
with the cache; a training step is forward, loss on an answer of 8 tokens, backward and AdamW, with LoRA (rank 16, all
linear layers) on the language model in every one, and with the language model frozen where something else is trained.

Every way is a process of its own with one thread. The processes take turns, so that other work of the machine affects
all alike. Cells are saved one by one, and a stopped run resumes (--results). Processor seconds are compared, wall-clock
seconds are recorded as well. Peak memory is VmHWM, reset before each cell.

FLOPs are counted by torch's counter on the meta device, where attention falls apart into products that the counter
knows (on a CPU it counts none for attention), and compared with a formula of this implementation. Both count whole
squares for attention. The kernel skips the upper half of a causal square and recomputes the scores in the backward
pass; so does the formula of the work, with which ratios are compared. Real passes check it.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from fusion_cases import (
    ANSWERING,
    CASES,
    DECODED,
    PHASES,
    REPETITIONS,
    ROUNDS,
    SHAPES,
    SMALL,
    WAYS,
    Result,
    Way,
    add_lora,
    build,
    decode,
    inputs_for,
    loss_of,
    prefill,
    rounds_of,
)
from fusion_flops import counted, counted_work, formula
from fusion_page import markdown

# -- time and memory ---------------------------------------------------------------------------------------


def timed(work: Callable[[], Any]) -> tuple[Any, list[float]]:
    """Return the result and [processor seconds, wall-clock seconds]."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return result, [time.process_time() - processor, time.perf_counter() - wall]


def peak_memory(reset: bool = False) -> float:
    """Return the peak memory of this process in MB since the last reset. Linux only."""
    if reset:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def work(name: str, pipe: Any) -> None:
    """Build a way's model, then measure the requested cells until the pipe is closed."""
    torch.set_num_threads(1)
    way = WAYS[name]
    model = build(SMALL, way)
    prefill(model, inputs_for(model, way, 1, 50))  # the first pass of a process is slow
    optimizer = None
    trained_in = ""
    pipe.send("ready")
    while True:
        try:
            phase, images, tokens = pipe.recv()
        except EOFError:
            return
        if phase == "seeing":
            pipe.send(
                {"looks": [measure_image_parts(model, way, images, tokens) for _ in range(REPETITIONS)]}
            )
            continue
        if phase == "answer":
            pipe.send(measure_answer(model, way, images, tokens))
            continue
        if phase != trained_in:
            trained_in = phase
            if phase == "training, LoRA":
                add_lora(model)
            optimizer = torch.optim.AdamW(
                [weight for weight in model.parameters() if weight.requires_grad], lr=1e-4
            )
            model.train()
        pipe.send(measure_step(model, optimizer, way, images, tokens))


def measure_answer(model: Any, way: Way, images: int, tokens: int) -> Result:
    """Measure prefill and each of DECODED further tokens."""
    inputs = inputs_for(model, way, images, tokens)
    peak_memory(reset=True)
    output, spent = timed(lambda: prefill(model, inputs))

    def go_on() -> None:
        nonlocal output
        for _ in range(DECODED):
            output = decode(model, way, inputs, output)

    _, all_tokens = timed(go_on)
    return {
        "prefill": spent,
        "decode": [seconds / DECODED for seconds in all_tokens],
        "memory": peak_memory(),
    }


def measure_step(model: Any, optimizer: Any, way: Way, images: int, tokens: int) -> Result:
    """Measure a training step."""
    inputs = inputs_for(model, way, images, tokens)
    peak_memory(reset=True)

    def step() -> None:
        loss_of(model, inputs).backward()
        optimizer.step()
        optimizer.zero_grad()

    _, spent = timed(step)
    return {"training": spent, "memory": peak_memory()}


def measure_image_parts(model: Any, way: Way, images: int, tokens: int) -> Result:
    """Measure what images add to a pass: encoding them, and the adapters' work for `tokens` tokens."""
    inputs = inputs_for(model, way, images, tokens)
    given = {name: value for name, value in inputs.items() if name.startswith(("image_", "guide_"))}
    with torch.inference_mode():
        media, encoding = timed(lambda: model.encode_media(**given))
        hidden = torch.randn(1, tokens, model.config.hidden_size)
        visible = media.visible(tokens, inputs["token_items"], None)

        def run_adapters() -> None:
            for adapter, keys_values in zip(model.adapters.values(), media.keys_values, strict=True):
                adapter(hidden, keys_values, visible)

        _, adapting = timed(run_adapters)
    return {"encoding": encoding, "looking": adapting}


class Worker:
    """A process that holds the model of one way."""

    def __init__(self, name: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=work, args=(name, other), daemon=True)
        self.process.start()
        other.close()
        self.pipe.recv()

    def __call__(self, phase: str, images: int, tokens: int) -> Result:
        """Measure a cell in the process, and wait for it."""
        self.pipe.send((phase, images, tokens))
        return self.pipe.recv()

    def close(self) -> None:
        """End the process."""
        self.pipe.close()
        self.process.join()


# -- the run -----------------------------------------------------------------------------------------------


def measure(result: Result, effort: int, minutes: float, keep: Callable[[], None]) -> None:
    """Measure and save every missing cell, the ways taking turns; stop when time is up."""
    cells = result.setdefault("cells", [])
    done = {tuple(cell[key] for key in ("phase", "images", "turn", "way")) for cell in cells}
    # [phase, images, way] whose process ran out of memory.
    given_up = result.setdefault("given_up", [])
    end = time.monotonic() + minutes * 60
    workers: dict[str, Worker] = {}

    def add(phase: str, images: int, tokens: int, turn: int, name: str) -> None:
        if (phase, images, turn, name) in done or time.monotonic() > end or [phase, images, name] in given_up:
            return
        if name not in workers:
            workers[name] = Worker(name)
        cell = {"way": name, "phase": phase, "images": images, "tokens": tokens, "turn": turn}
        try:
            cells.append(cell | workers[name](phase, images, tokens))
        except EOFError:
            given_up.append([phase, images, name])
            workers.pop(name).close()
        keep()

    for images in (1, 2, 5, 10, 20, 30):
        add("seeing", images, 1100, 0, "xattn")
    for phase in ROUNDS:
        for images, tokens in reversed(CASES):
            for turn in range(ROUNDS[phase][images] * effort):
                for name in WAYS:
                    if turn < rounds_of(name, phase, images, effort):
                        add(phase, images, tokens, turn, name)
            for name in [each for each in workers if each.startswith("concat-full")]:
                workers.pop(name).close()  # it would keep gigabytes of memory
    for worker in workers.values():
        worker.close()


def check_kernels() -> list[Result]:
    """Count FLOPs of small passes on the CPU, and compute the formula of the work."""
    checks: list[Result] = []
    for name, way in WAYS.items():
        model = build(SMALL, way)
        for phase in PHASES:
            if phase == "training, LoRA":
                add_lora(model)
            elif (name, phase) == ("text", "training, frozen"):
                continue
            model.train(phase not in ANSWERING)
            done = counted_work(model, way, 2, 40, phase)
            said = formula(SMALL, way, 2, 40, phase, True)
            checks.append({"way": name, "phase": phase, "counted": done, "formula": said})
    return checks


def count_all() -> list[Result]:
    """Return counted FLOPs beside the formula's, and the work, of every way and case at every shape."""
    found = []
    for shape in SHAPES:
        for name, way in WAYS.items():
            for images, tokens, phase, flops in counted(shape, way):
                said, done = (formula(shape, way, images, tokens, phase, actual) for actual in (False, True))
                row = {"shape": shape, "way": name, "images": images, "tokens": tokens, "phase": phase}
                found.append({**row, "counted": flops, "formula": said, "work": done})
    return found


def main() -> None:
    """Count, measure and write fusion.json and fusion.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, help="fusion.json there is continued, if it exists")
    parser.add_argument("--effort", type=int, default=1, help="times the rounds of ROUNDS")
    parser.add_argument(
        "--minutes", type=float, default=60, help="no cell is begun later; 0: measure nothing"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    kept = args.results / "fusion.json" if args.results else None
    result: Result = json.loads(kept.read_text("utf-8")) if kept is not None and kept.is_file() else {}

    def keep() -> None:
        if kept is not None:
            kept.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    measure(result, args.effort, args.minutes, keep)
    for name, count in (("kernel_checks", check_kernels), ("flops", count_all)):
        if name not in result:
            result[name] = count()
            keep()
    page = "\n".join(markdown(result)) + "\n"
    sys.stdout.write(page)
    if args.results:
        (args.results / "fusion.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
