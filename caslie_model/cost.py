"""What a training will take, before its first step: parameters, memory, operations and, where its device is, time.

The largest step is gone through on shapes alone (`counting`), with the batch, the loss and the kernels of the training
itself. Its real memory differs by what an allocator keeps and what kernels need beside their tensors.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from caslie_model.base_model import BaseModel
from caslie_model.config import TrainingConfig
from caslie_model.errors import ModelError
from caslie_model.machine import resident_bytes
from caslie_model.packing import pack_rows
from caslie_model.plan import Plan
from caslie_model.processes import part_of_batch, process_count
from caslie_model.prompts import Encoded
from caslie_model.sight import Sight
from caslie_model.speed import Speed, measure_speed
from caslie_model.trainable import trainable_model, trained_groups
from caslie_model.trainer import enable_checkpointing, head_can_be_partial, loss_inputs, micro_batch

if TYPE_CHECKING:
    from collections import Counter

    from caslie_model.counting import Operation

# Batches of so large a share of the largest one's tokens take their share of its time.
_ALIKE = 0.8
# AdamW keeps two numbers of each trained one, and reads and writes about a dozen to move it.
_STATES, _MOVES = 2, 12
# Of a weight; 4 bits have a constant for each 64 weights, itself of 8 bits.
_QUANTISED_BYTES = {"8bit": 1.0, "4bit": 0.5 + 1 / 64}
_PAGE = 4096
# What a CPU's allocator holds beside the tensors of a step, as a share of them. In float32: .19 to .22 in most runs of
# SmolLM2-135M, .4 in two. In bfloat16 tensors are small enough for the heap of glibc, where they leave gaps: .8 to 1.2
# after 50 steps, 1.8 where a step is small, .4 to .6 after 10 steps. (Given back at once, .1, but then a step takes 1.4
# times as long.)
_BESIDE = {"float32": 0.2, "bfloat16": 1.1}
LONGEST_MEASUREMENT = 0.5  # seconds
_SHORTEST_MEASUREMENT = 0.02
_SHARE_FOR_MEASURING = 0.02  # of the time that is foretold


@dataclass(frozen=True)
class Forecast:
    """What a training will take, in each of its processes. Sizes are bytes, times seconds."""

    base_model: str
    fusion: str
    device: str
    precision: str
    samples: int
    shortened: int
    steps: int
    batch: int  # samples of a step
    ended_by: str
    tokens: int  # of prompts and answers, no padding
    most_tokens: int  # in a step
    pictures: int  # shown by the samples; 0 without a fusion
    different_pictures: int
    features_to_compute: int | None  # None: not looked for
    parameters: int
    trained: dict[str, int]
    weights: int
    gradients: int
    optimiser: int
    activations: int  # kept for the backward pass of the largest step
    step: int  # the most at once in a step: activations, gradients and what is between
    beside: int  # what a CPU's allocator holds beyond it, by experience
    process: int  # what the process holds beside: libraries and samples; on a GPU nothing is counted
    flops: float  # of all steps
    seconds: float | None  # None: the device is not here
    seconds_low: float | None
    seconds_high: float | None
    speed: Speed | None

    @property
    def trained_parameters(self) -> int:
        """Parameters that are trained, in all."""
        return sum(self.trained.values())

    @property
    def memory(self) -> int:
        """The most memory at once."""
        return self.process + self.weights + self.optimiser + self.step + self.beside

    def summary(self) -> dict[str, Any]:
        """Return it as it stands in training.json."""
        names = ("trained", "weights", "gradients", "optimiser", "activations", "step", "beside", "process")
        return {
            **{name: getattr(self, name) for name in names},
            "memory": self.memory,
            "flops": self.flops,
            "seconds": None if self.seconds is None else round(self.seconds, 1),
            "seconds_low": None if self.seconds_low is None else round(self.seconds_low, 1),
            "seconds_high": None if self.seconds_high is None else round(self.seconds_high, 1),
        }


@dataclass(frozen=True)
class _Pass:
    """Forward and backward of one batch."""

    activations: int
    most: int
    operations: Counter[Operation]


def run_cost(
    config: TrainingConfig,
    base: BaseModel,
    sight: Sight | None,
    encoded: Sequence[Encoded],
    plan: Plan,
    device: str,
    precision: str,
    is_here: bool = True,
    features_to_compute: int | None = None,
) -> Forecast:
    """Return what a training with this plan will take.

    base: only its shapes are read; its model may be on the meta device. is_here: whether the device is, so that its
    speed can be measured. Raises ModelError when the model cannot be gone through without values, and what
    `trainable_model` raises.
    """
    import torch

    from caslie_model.counting import Counting, Operation, total_flops

    counting = Counting(shapes_only=True)
    place = device if is_here else "cpu"
    with torch.device("meta"):
        model = trainable_model(replace(base, model=on_meta(base.model)), config, sight)
    groups = {name: sum(each.numel() for each in found) for name, found in trained_groups(model).items()}
    weights = _bytes([*model.parameters(), *model.buffers()]) - _saved_by_quantising(model, config.quantise)
    gradients = _bytes([each for each in model.parameters() if each.requires_grad])
    counting.fill(model, place)
    model.train()
    if config.gradient_checkpointing:
        enable_checkpointing(model)

    batches = _micro_batches(config, encoded, plan)
    sizes = [_size(config, batch) for batch in batches]
    largest = {sizes.index(max(sizes)), sizes.index(max(sizes, key=lambda size: size[::-1]))}
    typical = _nearest_the_mean(sizes)
    if len(largest) == 1 and sizes[typical][0] > _ALIKE * max(sizes)[0]:
        (typical,) = largest  # one pass does for both
    passes: dict[int, _Pass] = {}
    for index in sorted({*largest, typical}):
        try:
            passes[index] = _pass(config, counting, model, sight, batches[index], place, precision)
        except (RuntimeError, NotImplementedError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ModelError(
                f"base model '{base.name}' cannot be gone through on shapes alone, so nothing is foretold: {reason}"
            ) from error
    # Of each process, in passes of the typical size.
    times = sum(tokens for tokens, _ in sizes) / sizes[typical][0] / process_count()
    process = 0
    if device == "cpu":
        touched = _touched(base.model)  # first: it is what makes them resident
        process = max(0, resident_bytes() - touched)
    step = max(each.most for each in passes.values())
    if config.gradient_accumulation > 1:
        step += gradients  # of the forward passes before, while another is made
    update = {Operation(0.0, _MOVES * gradients, 0): len(plan.batches)}
    speed = None
    seconds = None
    if is_here:
        speed = _measured(device, precision, model, passes[typical], times, sizes[typical][0])
        seconds = times * speed.seconds(passes[typical].operations) + speed.seconds(update)
    shown = [picture.key for each in encoded for picture in each.pictures]
    lengths = [len(each.prompt) + len(each.target) for each in encoded]
    return Forecast(
        base_model=base.name,
        fusion=config.fusion,
        device=device,
        precision=precision,
        samples=len(encoded),
        shortened=sum(each.shortened for each in encoded),
        steps=len(plan.batches),
        batch=len(plan.batches[0]),
        ended_by=plan.ended_by,
        tokens=plan.tokens,
        most_tokens=max(sum(lengths[index] for index in batch) for batch in plan.batches),
        pictures=len(shown),
        different_pictures=len(set(shown)),
        features_to_compute=features_to_compute,
        parameters=sum(each.numel() for each in model.parameters()),
        trained=groups,
        weights=weights,
        gradients=gradients,
        optimiser=_STATES * gradients,
        activations=max(each.activations for each in passes.values()),
        step=step,
        beside=round(_BESIDE[precision] * step) if device == "cpu" else 0,
        process=process,
        flops=times * total_flops(passes[typical].operations),
        seconds=seconds,
        seconds_low=None if seconds is None or speed is None else seconds * speed.low,
        seconds_high=None if seconds is None or speed is None else seconds * speed.high,
        speed=speed,
    )


def on_meta(model: Any) -> Any:
    """Return a base model of the same shapes without weights; to be called where torch makes tensors on `meta`."""
    from transformers import AutoModelForCausalLM

    bare = AutoModelForCausalLM.from_config(
        copy.deepcopy(model.config), dtype=model.dtype, attn_implementation="sdpa"
    )
    bare.generation_config = copy.deepcopy(model.generation_config)
    return bare.eval()


def _pass(
    config: TrainingConfig,
    counting: Any,
    model: Any,
    sight: Sight | None,
    batch: Sequence[Encoded],
    place: str,
    precision: str,
) -> _Pass:
    import torch

    fuses = sight is not None

    def features(keys: Sequence[str]) -> Any:
        assert sight is not None
        return counting.empty(len(keys), sight.patches, sight.width)

    inputs = micro_batch(config, batch, model.generation_config.pad_token_id, features if fuses else None)
    before = counting.alive
    with counting, torch.autocast(place, torch.bfloat16, enabled=precision == "bfloat16"):
        counting.begin()
        inputs = {name: value.to(place) for name, value in inputs.items()}
        loss = model(**loss_inputs(config, inputs, fuses, head_can_be_partial(model, fuses))).loss
        activations = counting.alive - before
        loss.backward()
    model.zero_grad()
    return _Pass(activations, counting.most_alive - before, counting.operations.copy())


def _micro_batches(config: TrainingConfig, encoded: Sequence[Encoded], plan: Plan) -> list[list[Encoded]]:
    """Return what goes through the model at once, of all processes."""
    part = part_of_batch(config.batch_size)
    return [
        [encoded[index] for index in batch[start : start + part]]
        for batch in plan.batches
        for start in range(0, len(batch), part)
    ]


def _size(config: TrainingConfig, batch: Sequence[Encoded]) -> tuple[int, int]:
    """Return tokens, with padding, and pictures of a batch."""
    lengths = [len(each.prompt) + len(each.target) for each in batch]
    if config.packing:
        rows = pack_rows(lengths, config.pack_length or config.max_length)
        tokens = len(rows) * max(sum(lengths[index] for index in row) for row in rows)
    else:
        tokens = len(lengths) * max(lengths)
    return tokens, sum(len(each.pictures) for each in batch)


def _nearest_the_mean(sizes: Sequence[tuple[int, int]]) -> int:
    means = [max(1.0, sum(size[part] for size in sizes) / len(sizes)) for part in (0, 1)]
    return min(
        range(len(sizes)),
        key=lambda index: sum(abs(value / mean - 1) for value, mean in zip(sizes[index], means, strict=True)),
    )


def _measured(device: str, precision: str, model: Any, typical: _Pass, times: float, tokens: int) -> Speed:
    """Return the speed of the device, measured for as long as the training is worth."""
    width = model.config.get_text_config().hidden_size
    inner = getattr(model.config.get_text_config(), "intermediate_size", None) or 4 * width

    def measure(seconds: float) -> Speed:
        return measure_speed(device, precision, tokens, width, inner, seconds)

    quick = measure(_SHORTEST_MEASUREMENT)
    worth = _SHARE_FOR_MEASURING * times * quick.seconds(typical.operations)
    return quick if worth < 2 * _SHORTEST_MEASUREMENT else measure(min(worth, LONGEST_MEASUREMENT))


def _touched(model: Any) -> int:
    """Return the bytes of a model's weights that are in memory: all, once read.

    transformers maps them from their file: what was not used yet is not counted as this process's.
    """
    if model.device.type != "cpu":
        return 0
    for weight in model.parameters():
        weight.detach().flatten()[:: _PAGE // weight.itemsize].sum()
    return _bytes(model.parameters())


def _saved_by_quantising(model: Any, quantise: str) -> int:
    """Return by how many bytes the frozen linear layers are smaller; the output head stays as it is."""
    import torch

    bytes_each = _QUANTISED_BYTES.get(quantise)
    if bytes_each is None:
        return 0
    head = model.get_output_embeddings()
    layers = [each for each in model.modules() if isinstance(each, torch.nn.Linear) and each is not head]
    frozen = {id(each.weight): each.weight for each in layers if not each.weight.requires_grad}
    return sum(round(each.numel() * (each.itemsize - bytes_each)) for each in frozen.values())


def _bytes(tensors: Any) -> int:
    return sum({id(each): each.numel() * each.itemsize for each in tensors}.values())
