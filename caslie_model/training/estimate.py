"""The estimate of a training, which `--dry-run` prints before anything is trained or written.

Parameters and FLOPs are counted on the meta device, from the configurations of base model and vision encoder alone.
Peak memory and time are measured on real steps of the largest batch, where the weights and the device are here.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import FlopCounterMode

from caslie_model.adapters.trainable import trainable_model, trained_groups
from caslie_model.backbones.language_model import BaseModel, load_base_model, locate
from caslie_model.batching.loss_inputs import (
    enable_checkpointing,
    head_can_be_partial,
    loss_inputs,
    micro_batch,
)
from caslie_model.batching.order import BatchOrder, order_batches
from caslie_model.batching.packing import pack_rows
from caslie_model.batching.positions import check_positions
from caslie_model.config.training import AlignConfig, FinetuneConfig, TrainingConfig
from caslie_model.data.catalogue import read_catalogue
from caslie_model.data.images import Features, SampleImage
from caslie_model.errors import ModelError, RunError
from caslie_model.prompts.encoder import Encoded
from caslie_model.runtime.console import say
from caslie_model.runtime.device import META, Device, choose_device
from caslie_model.runtime.memory import begin_peak, peak_bytes
from caslie_model.runtime.processes import process_count
from caslie_model.training.align import alignment_prompts, alignment_samples, product_images
from caslie_model.training.finetune import encode_samples, select_samples, select_validation, task_prompts
from caslie_model.training.hf_trainer import build_trainer
from caslie_model.training.init_from import with_shapes_of_init_from
from caslie_model.training.inputs import TrainingInputs
from caslie_model.training.preflight import check_compiler, explained_memory_errors
from caslie_model.training.run_folder import check_folder
from caslie_model.vision.encoder import load_vision_encoder
from caslie_model.vision.visual_inputs import VisualInputs, images_of
from mmecinstruct.core.errors import DatasetError, MmecError, SourceError

# The second step is timed, and is the first beside which the optimiser has a state.
_REAL_STEPS = 2
_FROM_DATA = ("samples", "steps", "tokens", "FLOPs", "memory", "time")
_FROM_WEIGHTS = ("memory", "time")


@dataclass(frozen=True)
class Estimate:
    """Estimated cost of a training. A figure that is unknown is None, and `unknown` has the reason.

    FLOPs are those of matrix products, 2 for a multiply-add, forward and backward, with whole squares for attention.

    Attributes:
        base_model: Name of the base model.
        fusion: text, xattn, concat or concat-full.
        device: cpu or cuda.
        precision: float32 or bfloat16.
        parameters: All parameters, frozen ones included.
        trained: Trained parameters by part.
        unknown: Reason by row of the table.
        samples: Training samples.
        shortened: Samples that were shortened to max_length.
        images: Images of the samples.
        captions: Captions that their prompts show.
        captions_cut: Samples whose captions were cut to max_length.
        steps: Optimiser steps.
        samples_per_step: Samples of the first step.
        ended_by: epochs or max_train_tokens.
        tokens: Of prompts and answers, without padding.
        flops: Of the whole run.
        flops_of_largest_batch: Of one forward and backward pass.
        memory: Peak bytes: of torch's allocator on a GPU, of the whole process on a CPU.
        seconds_per_step: Of the step with the largest batch.
        seconds: Of the whole run.
    """

    base_model: str
    fusion: str
    device: str
    precision: str
    parameters: int
    trained: dict[str, int]
    unknown: dict[str, str]
    samples: int | None = None
    shortened: int | None = None
    images: int | None = None
    captions: int | None = None
    captions_cut: int | None = None
    steps: int | None = None
    samples_per_step: int | None = None
    ended_by: str | None = None
    tokens: int | None = None
    flops: float | None = None
    flops_of_largest_batch: float | None = None
    memory: int | None = None
    seconds_per_step: float | None = None
    seconds: float | None = None

    @property
    def trained_parameters(self) -> int:
        """Number of trained parameters, all parts together."""
        return sum(self.trained.values())


def estimate(config: FinetuneConfig | AlignConfig) -> Estimate:
    """Estimate a fine-tuning or an alignment without training, and without writing to `config.out`.

    Args:
        config: The settings of the run.

    Returns:
        The estimate. FLOPs of the run follow from the batch that is nearest to the mean size, its time from the step
        with the largest batch, both in proportion to tokens, padding included. Computing image features, validation
        for early stopping and scoring after an alignment are left out.

    Raises:
        MmecError: As of the run, for wrong settings and where base model or vision encoder have no configuration here.
            Data, weights and devices that are not here are no error: the estimate says what it lacks.
    """
    if process_count() > 1:
        raise RunError("--dry-run works in one process; start it without torchrun or accelerate launch")
    check_folder(config)
    config = with_shapes_of_init_from(config)
    unknown: dict[str, str] = {}
    try:
        device = choose_device(config.device, config.precision)
    except ModelError as error:
        device = Device(config.device, "bfloat16" if config.precision == "auto" else config.precision)
        unknown |= dict.fromkeys(_FROM_WEIGHTS, str(error))
    # Float32 throughout: nothing is cast, and FLOPs do not depend on it.
    base = load_base_model(config.base_model, META)
    shape = _feature_shape(config)
    inputs: TrainingInputs | None = None
    try:
        inputs = _read(config, base, shape)
        images = inputs.visual_inputs
        check_positions(base.model, config.max_length, inputs.longest)
    except (DatasetError, SourceError) as error:
        unknown |= dict.fromkeys(_FROM_DATA, str(error))
        images = shape and _RandomImages({"": (SampleImage("product", ""),)}, shape=shape)
    with torch.device("meta"):
        model = trainable_model(base, config, images)
    known: dict[str, Any] = {
        "base_model": base.name,
        "fusion": config.fusion,
        "device": device.name,
        "precision": device.precision,
        "parameters": sum(each.numel() for each in model.parameters()),
        "trained": {name: sum(each.numel() for each in part) for name, part in trained_groups(model).items()},
    }
    if inputs is None:
        return Estimate(**known, unknown=unknown)
    known |= _counts(inputs)
    batches = _Batches.of(config, inputs)
    flops, reason = _run_flops(config, model, inputs, batches)
    known |= flops
    unknown |= reason
    if "memory" not in unknown and not weights_are_here(config.base_model):
        unknown |= dict.fromkeys(_FROM_WEIGHTS, f"the weights of {config.base_model} are not on this machine")
    if "memory" not in unknown:
        step = inputs.order.batches[batches.largest_step]
        try:
            memory, seconds = _measure(
                config, replace(inputs, order=BatchOrder((step,) * _REAL_STEPS, 0, "epochs")), device
            )
        except MmecError as error:
            unknown |= dict.fromkeys(_FROM_WEIGHTS, str(error))
        else:
            share = batches.tokens_of_step(batches.largest_step) / batches.tokens
            known |= {"memory": memory, "seconds_per_step": seconds, "seconds": seconds / share}
    return Estimate(**known, unknown=unknown)


def _counts(inputs: TrainingInputs) -> dict[str, Any]:
    """Return the figures that follow from samples and their order alone."""
    encoded, order = inputs.encoded, inputs.order
    return {
        "samples": len(encoded),
        "shortened": sum(each.shortened for each in encoded),
        "images": sum(len(each.images) for each in encoded),
        "captions": sum(caption is not None for each in encoded for caption in each.sample.captions),
        "captions_cut": sum(each.captions_cut for each in encoded),
        "steps": len(order.batches),
        "samples_per_step": len(order.batches[0]),
        "ended_by": order.ended_by,
        "tokens": order.tokens,
    }


@dataclass(frozen=True)
class _Batches:
    """Forward passes by step, with tokens (padding included) and images of each."""

    steps: list[list[list[Encoded]]]
    sizes: dict[int, tuple[int, int]]  # by the id of a batch

    @classmethod
    def of(cls, config: TrainingConfig, inputs: TrainingInputs) -> _Batches:
        steps = [_forward_batches(config, inputs.encoded, batch) for batch in inputs.order.batches]
        return cls(steps, {id(each): _size(config, each) for step in steps for each in step})

    @property
    def tokens(self) -> int:
        return sum(size[0] for size in self.sizes.values())

    def tokens_of(self, batch: list[Encoded]) -> int:
        return self.sizes[id(batch)][0]

    def tokens_of_step(self, number: int) -> int:
        return sum(self.tokens_of(each) for each in self.steps[number])

    @property
    def largest(self) -> list[Encoded]:
        return max(self._all, key=lambda each: self.sizes[id(each)])

    @property
    def largest_step(self) -> int:
        largest = self.largest
        return next(number for number, step in enumerate(self.steps) if largest in step)

    @property
    def typical(self) -> list[Encoded]:
        """The batch that is nearest to the mean size."""
        mean = [
            max(1.0, sum(size[part] for size in self.sizes.values()) / len(self.sizes)) for part in (0, 1)
        ]

        def distance(batch: list[Encoded]) -> float:
            return sum(
                abs(value / middle - 1) for value, middle in zip(self.sizes[id(batch)], mean, strict=True)
            )

        return min(self._all, key=distance)

    @property
    def _all(self) -> list[list[Encoded]]:
        return [each for step in self.steps for each in step]


def _run_flops(
    config: TrainingConfig, model: Any, inputs: TrainingInputs, batches: _Batches
) -> tuple[dict[str, float], dict[str, str]]:
    """Return the FLOPs of the run and of its largest batch; or nothing, and why they are unknown."""
    if config.gradient_checkpointing:
        enable_checkpointing(model)
    typical, largest = batches.typical, batches.largest
    try:
        most = _flops(config, model.train(), largest, inputs.visual_inputs)
        usual = most if typical is largest else _flops(config, model, typical, inputs.visual_inputs)
    except (RuntimeError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        return {}, {"FLOPs": f"the model does not run on shapes alone: {reason}"}
    return {
        "flops": usual * batches.tokens / batches.tokens_of(typical),
        "flops_of_largest_batch": most,
    }, {}


@dataclass(frozen=True)
class _RandomImages(VisualInputs):
    """Images whose features are random numbers: the costs of a step do not depend on them."""

    cache: Any = None
    encoder: str = ""
    fingerprint: str = ""
    shape: tuple[int, int] = (0, 0)

    @property
    def features(self) -> Features:
        return lambda keys: torch.randn(len(keys), *self.shape)

    def statistics(self) -> tuple[Tensor, Tensor]:
        return torch.zeros(self.width), torch.ones(self.width)


def _feature_shape(config: TrainingConfig) -> tuple[int, int] | None:
    """Return (P, dv), patches of an image and numbers of a patch, from the encoder's configuration; None for text."""
    if config.vision is None or config.fusion == "text":
        return None
    encoder = load_vision_encoder(config.vision.encoder, META, config.vision.pool, config.vision.layer)
    return encoder.patches, encoder.width


def _read(
    config: FinetuneConfig | AlignConfig, base: BaseModel, shape: tuple[int, int] | None
) -> TrainingInputs:
    """Return the samples in tokens and their images as the run reads them. base: on the meta device."""
    images: VisualInputs | None
    if isinstance(config, AlignConfig):
        values = read_catalogue(config.catalogue, config.id_column, config.attributes)
        found = product_images(config)
        learnt, _ = alignment_samples(config, values, found)
        assert shape is not None
        images = _RandomImages(found, shape=shape)
        prompt_format = alignment_prompts(config, base.tokenizer, images)
        encoded = [prompt_format.encode(sample, shown) for sample, shown in learnt]
    else:
        samples = select_samples(config)
        select_validation(config, samples)
        images = _RandomImages(images_of(config.data, samples), shape=shape) if shape else None
        prompt_format = task_prompts(config, base.tokenizer, images)
        encoded = encode_samples(config, prompt_format, samples, images)
    return TrainingInputs(base, prompt_format, encoded, order_batches(config, encoded), images)


def _forward_batches(
    config: TrainingConfig, encoded: Sequence[Encoded], step: Sequence[int]
) -> list[list[Encoded]]:
    """Return the forward passes of a step."""
    starts = range(0, len(step), config.batch_size)
    return [[encoded[index] for index in step[start : start + config.batch_size]] for start in starts]


def _size(config: TrainingConfig, batch: Sequence[Encoded]) -> tuple[int, int]:
    """Return the tokens of a batch, padding included, and its images."""
    lengths = [len(each.prompt) + len(each.target) for each in batch]
    rows = [[index] for index in range(len(batch))]
    if config.packing:
        rows = pack_rows(lengths, config.pack_length or config.max_length)
    longest = max(sum(lengths[index] for index in row) for row in rows)
    return len(rows) * longest, sum(len(each.images) for each in batch)


class _OnMeta(TorchDispatchMode):
    """Compute with shapes alone wherever a meta tensor takes part; token ids, masks and positions keep their values."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = (args, kwargs or {})
        if any(isinstance(each, Tensor) and each.is_meta for each in tree_leaves(given)):
            given = tree_map_only(Tensor, lambda each: each.to("meta"), given)
        return func(*given[0], **given[1])


def _flops(
    config: TrainingConfig, model: Any, batch: Sequence[Encoded], images: VisualInputs | None
) -> float:
    """Count the FLOPs of forward and backward pass of a batch by a model on the meta device."""
    features = images.features if images else None
    inputs = micro_batch(config, batch, model.generation_config.pad_token_id, features)
    inputs = loss_inputs(config, inputs, bool(images), head_can_be_partial(model, bool(images)))
    # Whole squares are counted, so padding changes nothing; models read the values of its mask, which meta has not.
    inputs.pop("attention_mask", None)
    with _OnMeta(), FlopCounterMode(display=False) as counter:
        model(**inputs).loss.backward()
    model.zero_grad()
    return float(counter.get_total_flops())


def weights_are_here(name: str) -> bool:
    """Return whether a base model's weights are on this machine, so that nothing is downloaded for an estimate.

    Args:
        name: As `load_base_model` takes it.

    Returns:
        Whether a folder has them, or the Hub's cache.
    """
    folder = Path(locate(name))
    if folder.is_dir():
        return any(folder.glob("*.safetensors"))
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(name, "model.safetensors.index.json")
    files = {"model.safetensors"}
    if isinstance(index, str):
        files = set(json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values())
    return all(isinstance(try_to_load_from_cache(name, file), str) for file in files)


def _measure(config: TrainingConfig, inputs: TrainingInputs, device: Device) -> tuple[int, float]:
    """Take the steps of `inputs` with the run's own trainer; return peak bytes, and seconds of the last step."""
    from transformers import TrainerCallback

    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            times.append(time.perf_counter())

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            if not device.is_cpu:
                torch.cuda.synchronize()
            times[-1] = time.perf_counter() - times[-1]

    if config.compile:
        check_compiler(device)
    say(f"{_REAL_STEPS} real steps of the largest batch, to measure memory and time")
    base = load_base_model(config.base_model, device, config.quantise)
    model = trainable_model(base, config, inputs.visual_inputs)
    with tempfile.TemporaryDirectory() as folder:
        scratch = config.model_copy(update={"out": Path(folder), "report_to": ()})
        trainer = build_trainer(scratch, model, replace(inputs, base=base))
        trainer.add_callback(Clock)
        begin_peak(device)
        with explained_memory_errors(config):
            trainer.train()
    return peak_bytes(device), times[-1]
