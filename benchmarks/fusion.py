"""What does seeing cost? Cross-attention beside text alone and beside images as tokens, in time, memory and FLOPs.

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

Every way is a process of its own with one thread; the processes take turns, so that what else the machine does hits
all alike. Cells are kept as they come, and a run that was stopped goes on where it was (--results). Processor seconds
are compared, wall-clock seconds are recorded beside them. Peak memory is VmHWM, reset before each cell.

FLOPs are counted by torch's counter on the meta device, where attention falls apart into products that the counter
knows (on a CPU it counts none for attention), and compared with a formula of this implementation. Both count whole
squares for attention. The kernel leaves the upper half of a causal square out and computes the scores a second time on
the way back; the formula of the work done, which ratios are compared with, says so too. Real passes check it.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM, masking_utils

from caslie_model.fusion import CaslieForCausalLM
from caslie_model.fusion.configuration import CaslieConfig
from caslie_model.fusion.lora import inject_lora

VISION_WIDTH, GUIDE, ANSWER, DECODED, LORA_RANK = 768, 48, 8, 5, 16
LOOKS = 15  # repetitions of what takes milliseconds
XATTN_AIM, RATIO_AIM = 1.15, 0.20
LORA = {"rank": LORA_RANK, "alpha": 32, "dropout": 0.05, "target_modules": "all-linear"}
SHAPES: dict[str, dict[str, Any]] = {
    "SmolLM2-135M": {
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
    },
    "Llama-3.2-1B": {
        "vocab_size": 128256,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
}
SMALL = "SmolLM2-135M"


@dataclass(frozen=True)
class Way:
    """A way of fusing and the patches of an image that it is given."""

    fusion: str
    patches: int = 49


WAYS = {
    "text": Way("text"),
    "xattn": Way("xattn"),
    "concat": Way("concat"),
    "concat-full 49": Way("concat-full"),
    "xattn 576": Way("xattn", 576),
    "concat-full 576": Way("concat-full", 576),
}
CASES = ((1, 300), (2, 300), (10, 1100), (30, 1100))  # images, text tokens
ANSWERING = ("prefill", "decode")
PHASES = (*ANSWERING, "training, frozen", "training, LoRA")

Result = dict[str, Any]


# -- models and inputs -------------------------------------------------------------------------------------


def build(shape: str, way: Way, device: str = "cpu") -> Any:
    """Return a model of random weights in evaluation mode, without LoRA."""
    config = LlamaConfig(
        **SHAPES[shape],
        max_position_embeddings=131072,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    config._attn_implementation = "sdpa"
    torch.manual_seed(0)
    with torch.device(device):
        model = LlamaForCausalLM(config)
        if way.fusion != "text":
            model = CaslieForCausalLM.from_base(
                model,
                fusion=way.fusion,
                vision_width=VISION_WIDTH,
                vision_patches=way.patches,
                visual_scale=0.02,
                gate_init=0.5,
            )
    return model.eval()


def add_lora(model: Any) -> None:
    """Put LoRA into the language model, and train nothing else of it."""
    if isinstance(model, CaslieForCausalLM):
        model.add_lora(LORA["rank"], LORA["alpha"], LORA["dropout"], LORA["target_modules"])
    else:
        inject_lora(model, LORA)


def inputs_for(model: Any, way: Way, images: int, tokens: int, device: str = "cpu") -> dict[str, Tensor]:
    """Return one prompt of an instruction, the text of each item and an end, with an image per item."""
    torch.manual_seed(1)
    on = {"device": device}
    length = tokens
    places: dict[str, Tensor] = {}
    if way.fusion == "xattn":
        texts = torch.zeros(1, tokens, dtype=torch.long)
        first, last = tokens // 5, tokens * 4 // 5
        texts[0, first:last] = 1 + torch.arange(last - first) * images // (last - first)
        places = {"token_items": texts.to(device)}
    elif way.fusion != "text":
        visual = images * model.config.tokens_per_image
        length = tokens + visual
        slots = torch.full((1, length), -1)
        slots[0, tokens // 5 : tokens // 5 + visual] = torch.arange(visual)
        places = {"token_slots": slots.to(device)}
    inputs = {"input_ids": torch.randint(1, 1000, (1, length), **on), **places}
    if device == "cpu":
        inputs["attention_mask"] = torch.ones(1, length, dtype=torch.long)
    if way.fusion != "text":
        inputs |= {
            "image_features": torch.randn(images, way.patches, VISION_WIDTH, **on),
            "image_counts": torch.tensor([images]),
            "guide_ids": torch.randint(1, 1000, (images, GUIDE), **on),
            "guide_mask": torch.ones(images, GUIDE, dtype=torch.long, **on),
        }
        if device == "cpu":
            inputs["image_items"] = torch.arange(1, images + 1)
            inputs["image_roles"] = torch.ones(images, dtype=torch.long)
    return inputs


def prefill(model: Any, inputs: dict[str, Tensor]) -> Any:
    """Return the output of a pass over the prompt, with the cache."""
    with torch.inference_mode():
        return model(**inputs, use_cache=True, logits_to_keep=1)


def decode(model: Any, way: Way, inputs: dict[str, Tensor], output: Any) -> Any:
    """Return the output of the next token, as `generate` asks for it."""
    token = output.logits[:, -1:].argmax(dim=-1)
    more: dict[str, Any] = {}
    if "attention_mask" in inputs:
        inputs["attention_mask"] = torch.nn.functional.pad(inputs["attention_mask"], (0, 1), value=1)
        more["attention_mask"] = inputs["attention_mask"]
    if way.fusion == "xattn":
        more |= {"media": output.media, "token_items": torch.zeros_like(token)}
    elif way.fusion != "text" and not token.is_meta:  # on meta, whether a slot is taken cannot be read
        more |= {"media": output.media, "token_slots": torch.full_like(token, -1)}
    with torch.inference_mode():
        return model(
            input_ids=token, past_key_values=output.past_key_values, use_cache=True, logits_to_keep=1, **more
        )


def loss_of(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """Return the loss on the last ANSWER tokens, with logits for these alone."""
    labels = inputs["input_ids"][:, -ANSWER - 1 :].clone()
    labels[:, 0] = -100
    return model(**inputs, labels=labels, logits_to_keep=ANSWER + 1, use_cache=False).loss


# -- FLOPs by formula --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Products:
    """How products of matrices are summed up; a multiply-add counts 2.

    back: a training step. work: what the kernels do; else what the counter counts, which takes attention for two
    products each way and whole squares.
    """

    back: bool
    work: bool

    def linear(self, rows: int, width_in: int, width_out: int, weight: bool, entry: bool = True) -> float:
        """Return the FLOPs of a linear layer; weight, entry: whether it passes gradients to these."""
        return 2.0 * rows * width_in * width_out * (1 + self.back * (weight + entry))

    def attention(
        self, queries: int, keys: int, width: int, causal: bool = False, back: bool = True
    ) -> float:
        """Return the FLOPs of attention. causal: queries are the last of the keys."""
        pairs: float = queries * keys
        if causal and self.work:
            pairs -= queries * (queries - 1) / 2
        return pairs * width * (4 + (10 if self.work else 8) * (self.back and back))


def formula(shape: str, way: Way, images: int, tokens: int, phase: str, work: bool) -> float:
    """Return the FLOPs of a phase."""
    sizes = SHAPES[shape]
    choices: dict[str, Any] = {} if way.fusion == "text" else {"fusion": way.fusion}
    config = CaslieConfig.for_base(LlamaConfig(**sizes), vision_patches=way.patches, **choices)
    one_by_one, lora = phase == "decode", phase == "training, LoRA"
    p = Products(phase.startswith("training"), work)
    visual = 0 if way.fusion in ("text", "xattn") else images * config.tokens_per_image
    length = tokens + visual
    new, keys = (1, length + 1) if one_by_one else (length, length)

    d, ff, vocabulary = (sizes[name] for name in ("hidden_size", "intermediate_size", "vocab_size"))
    kv = d // sizes["num_attention_heads"] * sizes["num_key_value_heads"]
    # Gradients come down to the first layer that something trained stands before.
    lowest = 0 if lora or visual else config.adapter_layers[0] if config.adapter_layers else config.depth
    total = p.linear(ANSWER + 1 if p.back else 1, d, vocabulary, weight=False)
    for layer in range(config.depth):
        here = p if layer >= lowest else Products(False, work)
        outer = not (layer == 0 and not visual)  # whether the embeddings have gradients
        for width_in, width_out, is_first in (
            (d, d, True),
            (d, kv, True),
            (d, kv, True),
            (d, d, False),
            (d, ff, False),
            (d, ff, False),
            (ff, d, False),
        ):
            entry = outer or not is_first
            total += here.linear(new, width_in, width_out, weight=False, entry=entry)
            if lora:
                total += here.linear(new, width_in, LORA_RANK, weight=True, entry=entry)
                total += here.linear(new, LORA_RANK, width_out, weight=True)
        total += here.attention(new, keys, d, causal=True)
    if way.fusion == "text":
        return total

    r, a, k, g = config.resampler_width, config.adapter_width, config.latents, GUIDE
    n = 0 if one_by_one else images  # what is seen is encoded before the first token, then kept
    for _ in config.adapter_layers:
        total += p.linear(new, d, a, True) + p.linear(n * k, r, 2 * a, True) + p.linear(new, a, d, True)
        total += p.attention(new, images * k, a)
    if way.fusion == "concat-full":
        visual = n * way.patches
        return total + p.linear(visual, VISION_WIDTH, d, True) + p.linear(visual, d, d, True)
    total += p.linear(n * (way.patches + 1), VISION_WIDTH, r, True) + p.linear(n * g, d, r, True)
    for _ in range(config.resampler_blocks):
        for context in (g, way.patches + k):
            total += 2 * p.linear(n * k, r, r, True) + p.linear(n * context, r, 2 * r, True)
            total += n * p.attention(k, context, r)
        total += 2 * p.linear(n * k, r, 4 * r, True)
    return total + (p.linear(n * k, r, d, True) if way.fusion == "concat" else 0)


# -- FLOPs by torch's counter ------------------------------------------------------------------------------


def counted(shape: str, way: Way) -> Iterator[tuple[int, int, str, int]]:
    """Yield images, text tokens, phase and FLOPs, counted on the meta device.

    What reads values, which the meta device has none of, is left out or done on the CPU.
    """
    from caslie_model.fusion import model as module

    row_slots = module.row_slots

    def slots_on_meta(*args: Any) -> Any:
        return tuple(each.to("meta") for each in row_slots(*args))

    def step(inputs: dict[str, Tensor]) -> int:
        with FlopCounterMode(display=False) as counter:
            loss_of(model, inputs).backward()
        model.zero_grad()
        return counter.get_total_flops()

    with (
        mock.patch.object(module, "row_slots", slots_on_meta),
        mock.patch.object(module, "check_slots"),
        mock.patch.object(masking_utils, "find_packed_sequence_indices", return_value=None),
    ):
        model = build(shape, way, "meta")
        cases = [(*case, inputs_for(model, way, *case, "meta")) for case in CASES]
        for images, tokens, inputs in cases:
            with FlopCounterMode(display=False) as counter:
                output = prefill(model, inputs)
            yield images, tokens, "prefill", counter.get_total_flops()
            with FlopCounterMode(display=False) as counter:
                decode(model, way, inputs, output)
            yield images, tokens, "decode", counter.get_total_flops()
        model.train()
        for phase in PHASES[2:]:
            if phase == "training, LoRA":
                add_lora(model)
            elif way.fusion == "text":
                continue
            for images, tokens, inputs in cases:
                yield images, tokens, phase, step(inputs)


def _pairs(query: Any, key: Any, causal: bool) -> float:
    """Return how many pairs of queries and keys, in all heads, the CPU's kernel multiplies, times their width."""
    batch, heads, queries, width = query
    return batch * heads * width * (queries * key[2] - (queries * (queries - 1) / 2 if causal else 0))


def _attention(
    query: Any, key: Any, value: Any, dropout: float = 0.0, causal: bool = False, **_: Any
) -> float:
    return 4 * _pairs(query, key, causal)


def _attention_back(
    gradient: Any,
    query: Any,
    key: Any,
    value: Any,
    out: Any,
    sums: Any,
    dropout: float,
    causal: bool,
    **_: Any,
) -> float:
    return 10 * _pairs(query, key, causal)


KERNELS = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_back,
}


def counted_work(model: Any, way: Way, images: int, tokens: int, phase: str) -> float:
    """Return the FLOPs of a phase as the CPU does it, counted in a real pass; attention by its kernel's arguments."""
    inputs = inputs_for(model, way, images, tokens)
    with FlopCounterMode(display=False, custom_mapping=KERNELS) as counter:
        if phase.startswith("training"):
            loss_of(model, inputs).backward()
            model.zero_grad()
        else:
            output = prefill(model, inputs)
    if phase == "decode":
        with FlopCounterMode(display=False, custom_mapping=KERNELS) as counter:
            decode(model, way, inputs, output)
    return counter.get_total_flops()


# -- time and memory ---------------------------------------------------------------------------------------


def timed(work: Callable[[], Any]) -> tuple[Any, list[float]]:
    """Return the result and [processor seconds, wall-clock seconds]."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return result, [time.process_time() - processor, time.perf_counter() - wall]


def peak_memory(reset: bool = False) -> float:
    """Return the most memory of this process in MB since the last reset. Linux."""
    if reset:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def work(name: str, pipe: Any) -> None:
    """Build a way's model, then measure what the pipe asks for until it is closed."""
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
            pipe.send({"looks": [measure_seeing(model, way, images, tokens) for _ in range(LOOKS)]})
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
    """Return what prefill and each of DECODED further tokens take."""
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
    """Return what a training step takes."""
    inputs = inputs_for(model, way, images, tokens)
    peak_memory(reset=True)

    def step() -> None:
        loss_of(model, inputs).backward()
        optimizer.step()
        optimizer.zero_grad()

    _, spent = timed(step)
    return {"training": spent, "memory": peak_memory()}


def measure_seeing(model: Any, way: Way, images: int, tokens: int) -> Result:
    """Return what seeing adds to a pass: encoding the images, and the adapters' work for `tokens` tokens."""
    inputs = inputs_for(model, way, images, tokens)
    given = {name: value for name, value in inputs.items() if name.startswith(("image_", "guide_"))}
    with torch.inference_mode():
        media, encoding = timed(lambda: model.encode_media(**given))
        hidden = torch.randn(1, tokens, model.config.hidden_size)
        visible = media.visible(tokens, inputs["token_items"], None)

        def look() -> None:
            for adapter, keys_values in zip(model.adapters.values(), media.keys_values, strict=True):
                adapter(hidden, keys_values, visible)

        _, looking = timed(look)
    return {"encoding": encoding, "looking": looking}


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
        self.pipe.close()
        self.process.join()


# -- the run -----------------------------------------------------------------------------------------------


# Of every case; the longer, the fewer, so that all fits into minutes.
ROUNDS = {
    "answer": {1: 3, 2: 2, 10: 1, 30: 3},
    "training, frozen": {1: 0, 2: 0, 10: 0, 30: 1},
    "training, LoRA": {1: 2, 2: 1, 10: 1, 30: 2},
}


def rounds_of(name: str, phase: str, images: int, effort: int) -> int:
    """Return how often a cell is timed."""
    often = ROUNDS[phase][images] * effort
    if name == "concat-full 576":
        last = {"answer": 10, "training, LoRA": 1}.get(phase, 0)
        return 0 if images > last else min(often, 1 if images == last else often)
    if name == "xattn 576":
        return 0 if phase != "answer" else often if images <= 2 else 1
    return often if phase != "training, frozen" or name == "xattn" else 0


def measure(result: Result, effort: int, minutes: float, keep: Callable[[], None]) -> None:
    """Time every cell that the result lacks, the ways taking turns, and keep each; stop when time is up."""
    cells = result.setdefault("cells", [])
    done = {tuple(cell[key] for key in ("phase", "images", "turn", "way")) for cell in cells}
    end = time.monotonic() + minutes * 60
    workers: dict[str, Worker] = {}

    def add(phase: str, images: int, tokens: int, turn: int, name: str) -> None:
        if (phase, images, turn, name) in done or time.monotonic() > end:
            return
        if name not in workers:
            workers[name] = Worker(name)
        cell = {"way": name, "phase": phase, "images": images, "tokens": tokens, "turn": turn}
        cells.append(cell | workers[name](phase, images, tokens))
        keep()

    for images in (1, 2, 5, 10, 20, 30):
        add("seeing", images, 1100, 0, "xattn")
    for phase in ROUNDS:
        for images, tokens in reversed(CASES):
            for turn in range(ROUNDS[phase][images] * effort):
                for name in WAYS:
                    if turn < rounds_of(name, phase, images, effort):
                        add(phase, images, tokens, turn, name)
    for worker in workers.values():
        worker.close()


def check_kernels() -> list[Result]:
    """Return what was counted in small passes on the CPU, beside the formula of the work."""
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


# -- the page ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    """What was measured, by way, number of images and phase."""

    result: Result

    def cells(self, name: str, images: int, phase: str) -> dict[int, Result]:
        """Return the cells of a phase by turn."""
        group = "answer" if phase in ANSWERING else phase
        return {
            cell["turn"]: cell
            for cell in self.result["cells"]
            if (cell["way"], cell["images"], cell["phase"]) == (name, images, group)
        }

    def seconds(self, name: str, images: int, phase: str) -> dict[int, float]:
        """Return processor seconds by turn."""
        key = phase if phase in ANSWERING else "training"
        return {turn: cell[key][0] for turn, cell in self.cells(name, images, phase).items()}

    def ratios(self, name: str, other: str, images: int, phase: str) -> list[float]:
        """Return how many times as long as the other one way takes, turn by turn."""
        ours, theirs = self.seconds(name, images, phase), self.seconds(other, images, phase)
        return [ours[turn] / theirs[turn] for turn in sorted(ours.keys() & theirs.keys())]

    def flops(self, name: str, images: int, phase: str, kind: str, shape: str = SMALL) -> float:
        """Return FLOPs of a kind (counted, formula, work), not a number where there are none."""
        for row in self.result["flops"]:
            if (row["shape"], row["way"], row["images"], row["phase"]) == (shape, name, images, phase):
                return float(row[kind])
        return float("nan")

    def work_ratio(self, name: str, other: str, images: int, phase: str, shape: str = SMALL) -> float:
        """Return the ratio of the work of two ways by the formula."""
        return self.flops(name, images, phase, "work", shape) / self.flops(
            other, images, phase, "work", shape
        )


def spread(values: Iterable[float], digits: int = 2, scale: float = 1.0) -> str:
    """Return median [lowest, highest]."""
    every = sorted(value * scale for value in values)
    if not every:
        return ""
    middle = f"{statistics.median(every):.{digits}f}"
    return middle if len(every) == 1 else f"{middle} [{every[0]:.{digits}f}, {every[-1]:.{digits}f}]"


def table(corner: str, columns: Iterable[str], rows: dict[str, list[str]]) -> Iterator[str]:
    """Yield a table; rows without any figure are left out."""
    columns = list(columns)
    yield ""
    yield f"| {corner} | " + " | ".join(columns) + " |"
    yield "|---|" + "---:|" * len(columns)
    for name, row in rows.items():
        if any(row):
            yield f"| {name} | " + " | ".join(row) + " |"
    yield ""


def aims(figures: Figures) -> Iterator[str]:
    """Yield what was aimed at and what came out."""
    for phase in PHASES:
        if phase == "training, frozen":
            continue  # of text alone, nothing would be trained
        found = figures.ratios("xattn", "text", 30, phase)
        said = figures.work_ratio("xattn", "text", 30, phase)
        if not found:
            yield f"* xattn within {XATTN_AIM} times text at 30 images, {phase}: **not timed**, formula {said:.3f}."
        else:
            met = "met" if statistics.median(found) <= XATTN_AIM else "missed"
            yield (
                f"* xattn within {XATTN_AIM} times text at 30 images, {phase}: {spread(found, 3)}, formula "
                f"{said:.3f}: **{met}**."
            )
    for patches, bridge in (("49", "xattn"), ("576", "xattn 576")):
        for phase in PHASES:
            for images, _ in CASES:
                found = figures.ratios(f"concat-full {patches}", bridge, images, phase)
                said = figures.work_ratio(f"concat-full {patches}", bridge, images, phase)
                if not found:
                    if images == 30:
                        yield (
                            f"* concat-full {patches} against {bridge}, 30 images, {phase}: **not timed**, formula "
                            f"{said:.2f}."
                        )
                    continue
                off = statistics.median(found) / said - 1
                met = "met" if abs(off) <= RATIO_AIM else "missed"
                yield (
                    f"* concat-full {patches} against {bridge}, {images} images, {phase}: measured "
                    f"{spread(found)}, formula {said:.2f}, {off:+.0%}: **{met}**."
                )


def seeing(result: Result) -> Iterator[str]:
    """Yield the table of what one more image costs."""
    parts = {"encoding": "encoding", "adapters": "looking"}
    rows: dict[str, list[str]] = {f"{row}, ms": [] for row in parts}
    rows |= {f"one more image, {row}, ms": [] for row in parts}
    before: Result = {}
    columns = []
    for cell in result["cells"]:
        if cell["phase"] != "seeing":
            continue
        columns.append(str(cell["images"]))
        for row, key in parts.items():
            every = [look[key][0] * 1000 for look in cell["looks"]]
            rows[f"{row}, ms"].append(spread(every, 1))
            more = (min(every) - before[key]) / (cell["images"] - before["images"]) if key in before else None
            rows[f"one more image, {row}, ms"].append("" if more is None else f"{more:.2f}")
            before[key] = min(every)
        before["images"] = cell["images"]
    yield from table("images", columns, rows)


def seen_alone(figures: Figures) -> Iterator[str]:
    """Yield what seeing adds to text by its parts, which the noise of a whole pass does not hide."""
    looks = {cell["images"]: cell["looks"] for cell in figures.result["cells"] if cell["phase"] == "seeing"}
    text = figures.seconds("text", 30, "prefill")
    if not text or 30 not in looks:
        return
    middle = statistics.median(text.values())
    added = [look["encoding"][0] + look["looking"][0] for look in looks[30]]
    yield (
        f"* The same by its parts: encoding 30 images and all adapters take {spread(added, 0, 1000)} ms beside "
        f"{middle:.2f} s of text, {1 + statistics.median(added) / middle:.3f} times text."
    )
    counts = sorted(looks)
    least = {n: min(look["encoding"][0] for look in looks[n]) * 1000 for n in counts}
    each = [(least[b] - least[a]) / (b - a) for a, b in pairwise(counts)]
    flat = [
        formula(SMALL, WAYS["xattn"], n + 1, 1100, "prefill", True)
        - formula(SMALL, WAYS["xattn"], n, 1100, "prefill", True)
        for n in (0, 29)
    ]
    steps = ", ".join(f"{ms:.2f}" for ms in each)
    yield (
        f"* One more image: {flat[0] / 1e9:.3f} GFLOPs for the first, {flat[1] / 1e9:.3f} for the thirtieth; "
        f"{steps} ms of encoding each, from one of {', '.join(map(str, counts))} images to the next."
    )


def unmeasured(result: Result) -> list[str]:
    """Return the phases and numbers of images that lack a cell."""
    done = {tuple(cell[key] for key in ("phase", "images", "turn", "way")) for cell in result["cells"]}
    lacking = {
        f"{phase}, N={images}"
        for phase, rounds in ROUNDS.items()
        for images in rounds
        for name in WAYS
        for turn in range(rounds_of(name, phase, images, 1))
        if (phase, images, turn, name) not in done
    }
    return sorted(lacking)


def markdown(result: Result) -> Iterator[str]:
    """Yield the lines of the recorded page."""
    figures = Figures(result)
    columns = [f"N={images}, T={tokens}" for images, tokens in CASES]
    every = [
        value for cell in result["cells"] for key in ("prefill", "training") for value in [cell.get(key)]
    ]
    waited = sum(wall for _, wall in filter(None, every)) / sum(cpu for cpu, _ in filter(None, every))
    yield "# What seeing costs"
    yield ""
    yield (
        "`fusion.py`, SmolLM2-135M's shape, random weights, float32, one thread, one prompt; 6 processes in turns, "
        "a cell without brackets measured once, an empty one not at all. "
        "Processor seconds, median [lowest, highest]. The machine was shared: the wall clock showed "
        f"{waited:.1f} times as much. "
        f"T tokens of text, N images, K = 8 latents, guides of {GUIDE} tokens, features of width {VISION_WIDTH}, "
        "the resampler in every prefill and step."
    )
    if missing := unmeasured(result):
        yield ""
        yield (
            f"The run ended when its time was up. Not timed, or not in every turn: {'; '.join(missing)}. The same "
            "command goes on with these; ways of a turn that was cut in two are then not to be compared."
        )
    yield ""
    yield "## Against the aims"
    yield ""
    yield from aims(figures)
    yield from seen_alone(figures)
    yield ""
    rates = [
        figures.flops("text", 30, phase, "work")
        / statistics.median(figures.seconds("text", 30, phase).values() or [float("nan")])
        / 1e9
        for phase in ANSWERING
    ]
    yield (
        f"Speed of text at 30 images' length: prefill {rates[0]:.0f} GFLOPs per second, decode {rates[1]:.1f}. A token "
        "alone has the processor read every weight for one row of products, so decoding follows memory, and what more "
        "a way computes shows less in it than the formula says."
    )
    for phase, unit, scale, digits in (
        ("prefill", "seconds", 1, 2),
        ("decode", "ms per token", 1000, 1),
        ("training, LoRA", "seconds per step", 1, 2),
        ("training, frozen", "seconds per step", 1, 2),
    ):
        rows = {
            name: [
                spread(figures.seconds(name, images, phase).values(), digits, scale) for images, _ in CASES
            ]
            for name in WAYS
        }
        if any(any(row) for row in rows.values()):
            yield ""
            yield f"## {phase[0].upper()}{phase[1:]}: {unit}"
            yield from table("", columns, rows)
    yield "## Peak memory in MB"
    yield ""
    yield "Of the whole process, with 540 MB of weights and the libraries; answering is prefill and decode."
    rows = {}
    for name in WAYS:
        for phase, told in (("prefill", "answering"), ("training, LoRA", "training")):
            rows[f"{name}, {told}"] = [
                spread((cell["memory"] for cell in figures.cells(name, images, phase).values()), 0)
                for images, _ in CASES
            ]
    yield from table("", columns, rows)
    yield "## One more image"
    yield ""
    yield (
        f"What xattn adds to a pass of 1,100 tokens, {LOOKS} times each: encoding the images (resampler, keys and "
        "values), and the adapters. Below: what one more image added since the column before, from the quickest "
        "repetitions."
    )
    yield from seeing(result)
    yield "By the formula, GFLOPs that one more image adds to a prefill of 1,100 tokens, from N to N + 1:"
    steps = (0, 1, 9, 29)
    rows = {}
    for name, way in list(WAYS.items())[1:]:
        flops = [[formula(SMALL, way, n + more, 1100, "prefill", True) for more in (0, 1)] for n in steps]
        rows[name] = [f"{(then - now) / 1e9:.2f}" for now, then in flops]
    yield from table("", [f"N={n}" for n in steps], rows)
    off = [abs(row["counted"] / row["formula"] - 1) for row in result["flops"]]
    off_work = [abs(row["counted"] / row["formula"] - 1) for row in result["kernel_checks"]]
    yield "## Counted FLOPs"
    yield ""
    yield (
        f"Counter and formula, {len(off)} cells of both shapes, every way, N and phase: at most {max(off):.4%} "
        f"apart. The formula of the work and what was counted in {len(off_work)} real passes on the CPU (2 images, "
        f"40 tokens; attention by its kernel's arguments): at most {max(off_work):.4%} apart. GFLOPs as counted, in "
        "brackets the work over that of text."
    )
    for shape in SHAPES:
        for phase in PHASES:
            rows = {}
            base = "text" if phase != "training, frozen" else "xattn"
            for name in WAYS:
                rows[name] = [
                    f"{figures.flops(name, n, phase, 'counted', shape) / 1e9:,.{3 if phase == 'decode' else 1}f} "
                    f"({figures.work_ratio(name, base, n, phase, shape):.3f})"
                    if (name, phase) != ("text", "training, frozen")
                    else ""
                    for n, _ in CASES
                ]
            told = phase if base == "text" else f"{phase} (in brackets: over xattn)"
            yield ""
            yield f"### {shape}, {told}"
            yield from table("", columns, rows)


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
