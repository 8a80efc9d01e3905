"""One training on encoded samples with the Hugging Face Trainer: LoRA, or fusion adapters, on a frozen base model.

The order of batches is fixed before the first step, so a resumed run gives the same result as an uninterrupted one.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caslie_model.adapters.model_card import write_model_card
from caslie_model.adapters.trainable import save_trained, trainable_model, trained_tensors
from caslie_model.backbones.language_model import locate
from caslie_model.backbones.quantisation import check_quantisation
from caslie_model.batching.packing import check_packing
from caslie_model.batching.positions import check_positions
from caslie_model.config.files import TRAINING
from caslie_model.config.training import TrainingConfig
from caslie_model.errors import ConfigError, RunError
from caslie_model.hub.public_names import local_folders
from caslie_model.runtime.console import say
from caslie_model.runtime.device import Device
from caslie_model.runtime.disk_errors import explained_disk_errors
from caslie_model.runtime.fsdp import check_fsdp
from caslie_model.runtime.memory import begin_peak, peak_bytes
from caslie_model.runtime.processes import (
    first_decides,
    join_processes,
    part_of_batch,
    process_count,
    wait_for_all,
)
from caslie_model.training.divergence import Diverged, check_finite, explained, keep_finite_weights
from caslie_model.training.early_stopping import EarlyStop
from caslie_model.training.hf_trainer import build_trainer
from caslie_model.training.inputs import TrainingInputs
from caslie_model.training.loss_curve import write_loss_curve
from caslie_model.training.preflight import check_compiler, check_trackers, explained_memory_errors
from caslie_model.training.run_folder import CHECKPOINTS, last_checkpoint, prepare_folder, write_run_files
from caslie_model.vision.encoder import load_vision_encoder
from mmecinstruct.core.disk_errors import LEAST_FREE_BYTES, check_can_write
from mmecinstruct.core.files import write_atomically

# Of a trained parameter: its weight in float32, and the two moments of AdamW.
_CHECKPOINT_BYTES = 12
# AdamW's first step divides the rate by 0.1, in float32.
_MAX_RATE = 1e37
_KEPT = "then give --resume: it goes on from the last checkpoint"


@dataclass(frozen=True)
class TrainingResult:
    """The files that a training wrote.

    Attributes:
        folder: The adapter folder.
        summary: The content of its training.json.
    """

    folder: Path
    summary: dict[str, Any]


def finished_before(config: TrainingConfig, resume: bool, overwrite: bool) -> TrainingResult | None:
    """Check machine and settings, and prepare the output folder. Several processes join their group here.

    Args:
        config: The settings of the run.
        resume: Continue from the last checkpoint of an unfinished run with the same config; start where there is none.
        overwrite: Delete what an earlier run left in the folder.

    Returns:
        The result of a run that is already finished, None where there is something to train.

    Raises:
        RunError: If the folder does not allow the run.
        ConfigError: If this machine lacks what the config asks for.
    """
    if resume and overwrite:
        raise RunError("give --resume or --overwrite, not both")
    check_trackers(config.report_to)
    check_quantisation(config.quantise)
    stops_early = getattr(config, "early_stop", None) is not None
    check_fsdp(config.quantise, config.compile, stops_early)
    part_of_batch(config.batch_size)
    join_processes(config.device)
    summary = first_decides(lambda: prepare_folder(config, resume, overwrite))
    if summary is not None:
        return TrainingResult(config.out, summary)
    if process_count() > 1:
        first_decides(lambda: _prepare_models(config))
    return None


def _prepare_models(config: TrainingConfig) -> None:
    """Convert models on first use. The others wait: transformers writes weights in the first process alone."""
    locate(config.base_model)
    if config.vision is not None and config.fusion != "text":
        load_vision_encoder(config.vision.encoder, pool=config.vision.pool, layer=config.vision.layer)


def train(config: TrainingConfig, inputs: TrainingInputs) -> TrainingResult:
    """Train on samples in tokens and write the adapter folder `config.out`; continue a run that has checkpoints.

    Args:
        config: The settings of the run.
        inputs: Base model, samples and their order, images and early stop.

    Returns:
        The adapter folder and the content of its training.json.

    Raises:
        RunError: If samples, prompts or base model are not those that the run was started with, or memory runs out.
        ConfigError: If the samples are too few for the processes, the base model has learnt fewer positions than
            `max_length`, or torch.compile does not work here.
        ModelError: If the base model does not support this training, or cannot be packed.
        DatasetError: If no sample has an image for a fusion model.
    """
    from transformers import set_seed

    encoded, order, device = inputs.encoded, inputs.order, inputs.device
    fingerprint = inputs.fingerprint()
    step = config.batch_size * config.gradient_accumulation
    if process_count() > 1 and len(order.batches[0]) < step:
        raise ConfigError(
            f"{len(order.batches[0])} samples are fewer than a step of {step}: give a smaller batch_size or "
            "gradient_accumulation, or train in one process"
        )
    # Before anything is written: a model that is rejected leaves no run behind.
    for name in ("lr", "lr_connector", "lr_gates"):
        if getattr(config, name, 0) > _MAX_RATE:
            raise ConfigError(
                f"{name}={getattr(config, name):g} is more than {_MAX_RATE:g}; usual are 1e-5 to 1e-2"
            )
    check_positions(inputs.base.model, config.max_length, inputs.longest)
    if config.compile:
        check_compiler(device)
    if config.packing:
        check_packing(inputs.base.model)
    set_seed(config.seed)
    model = trainable_model(inputs.base, config, inputs.visual_inputs)
    first_decides(lambda: _check_room(config, model))
    first_decides(lambda: write_run_files(config, inputs.templates, fingerprint))
    say(
        f"{len(encoded)} samples ({sum(each.shortened for each in encoded)} shortened to fit), "
        f"{len(order.batches)} steps, {order.tokens:,} tokens (ended by {order.ended_by}) "
        f"on {device}" + (f", {process_count()} processes" if process_count() > 1 else "")
    )
    trainer = build_trainer(config, model, inputs)
    checkpoint = first_decides(lambda: last_checkpoint(config.out / CHECKPOINTS))
    if checkpoint is not None:
        say(f"resuming from {checkpoint.name}")
    begin_peak(device)
    start = time.monotonic()
    state = _stopped_before(checkpoint, inputs.early_stop)
    try:
        if state is not None:
            trainer.state = state
        else:
            with explained_memory_errors(config), explained_disk_errors(config.out, _KEPT):
                trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else False)
        tensors = trained_tensors(model, config)
        check_finite(trainer.state.global_step, "weights are", tensors.values())
    except Diverged as error:
        found, tensors = error, trained_tensors(model, config)
        raise first_decides(lambda: _diverged(found, config, device, checkpoint, tensors)) from error
    seconds = time.monotonic() - start
    memory = peak_bytes(device)
    # Otherwise a checkpoint that another process still writes would be deleted.
    wait_for_all()

    def finish() -> dict[str, Any]:
        resumed_at = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
        summary = _summary(config, inputs, trainer.state, seconds, resumed_at)
        summary["trained_parameters"] = sum(
            weight.numel() for weight in model.parameters() if weight.requires_grad
        )
        steps = trainer.state.global_step - resumed_at
        summary["measured"] = {"memory": memory, "seconds": round(seconds, 1), "steps": steps}
        best = tensors
        if inputs.early_stop is not None:
            summary |= _restore_best(inputs.early_stop, model, trainer.state, len(order.batches))
            # The model is not divided: an early stop does not go with FSDP.
            best = trained_tensors(model, config)
        return _finish(config, inputs, model, best, {**summary, "fingerprint": fingerprint})

    return TrainingResult(config.out, first_decides(finish))


def _check_room(config: TrainingConfig, model: Any) -> None:
    """Check that the disk takes the checkpoints: two are kept while another is written."""
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    copies = 1 if last_checkpoint(config.out / CHECKPOINTS) else 3
    check_can_write(config.out, LEAST_FREE_BYTES + trained * _CHECKPOINT_BYTES * copies)


def _diverged(
    error: Diverged, config: TrainingConfig, device: Device, resumed: Path | None, tensors: dict[str, Any]
) -> RunError:
    """Keep the last finite weights; return the error with its remedy."""
    folder = config.out / CHECKPOINTS
    found = (last_checkpoint(folder), keep_finite_weights(folder, tensors))
    # A checkpoint that the run began with is no proof of finite weights.
    kept = [path for path in found if path is not None and path != resumed]
    return explained(error, config, device.precision, resumed, kept)


def _stopped_before(checkpoint: Path | None, early_stop: EarlyStop | None) -> Any:
    """Return the Trainer's state in the checkpoint of a run that has stopped early, None of one that continues."""
    if checkpoint is None or early_stop is None:
        return None
    from transformers import TrainerState

    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    return state if early_stop.is_over(state.log_history) else None


def _restore_best(early_stop: EarlyStop, model: Any, state: Any, all_steps: int) -> dict[str, Any]:
    """Give the model the weights of its best validation; return the entries for training.json."""
    stopped = state.global_step < all_steps
    early_stop.restore(model, state.log_history)
    summary = early_stop.summary(state.log_history, stopped)
    say(
        f"{f'stopped at step {state.global_step}' if stopped else 'not stopped early'}: validation "
        f"{summary['metric']} was best at step {summary['best_step']} ({summary['best']:.4f})"
    )
    return {"early_stop": summary, **({"ended_by": "early_stop"} if stopped else {})}


def _summary(
    config: TrainingConfig, inputs: TrainingInputs, state: Any, seconds: float, resumed_at: int
) -> dict[str, Any]:
    """Return the content of training.json that follows from inputs and steps. state: the Trainer's."""
    base, encoded, order = inputs.base, inputs.encoded, inputs.order
    done = order.batches[: state.global_step]  # fewer than ordered where it stopped early
    used = Counter(index for batch in done for index in batch)
    lengths = [len(each.prompt) + len(each.target) for each in encoded]
    tokens_now = sum(lengths[index] for batch in done[resumed_at:] for index in batch)
    return {
        "base_model": base.name,
        "base_fingerprint": base.fingerprint,
        "quantise": base.quantise,
        "end_token": base.tokenizer.convert_ids_to_tokens(inputs.prompt_format.end),
        "folders": local_folders(config),
        "samples": len(encoded),
        "samples_per_task": dict(Counter(each.sample.task for each in encoded)),
        "samples_seen": len(used),
        "samples_shortened": sum(each.shortened for each in encoded),
        **({"captions": _captions(inputs)} if inputs.captions else {}),
        "steps": len(done),
        "processes": process_count(),
        "tokens": sum(lengths[index] * count for index, count in used.items()),
        "answer_tokens": sum(len(encoded[index].target) * count for index, count in used.items()),
        "ended_by": order.ended_by,
        "resumed_at_step": resumed_at,
        # Of this run only, without the part before a resume.
        "seconds": round(seconds, 1),
        "tokens_per_second": round(tokens_now / seconds, 1) if tokens_now else None,
        "log": [entry for entry in state.log_history if "loss" in entry],
    }


def _captions(inputs: TrainingInputs) -> dict[str, Any]:
    return {**inputs.captions, "samples_cut": sum(each.captions_cut for each in inputs.encoded)}


def _finish(
    config: TrainingConfig,
    inputs: TrainingInputs,
    model: Any,
    tensors: dict[str, Any],
    summary: dict[str, Any],
) -> dict[str, Any]:
    """Write the adapter folder. The weights come last but one, training.json last: it makes it finished."""
    with explained_disk_errors(config.out, _KEPT):
        save_trained(model, config, tensors, inputs.base.tokenizer)
        write_loss_curve(summary["log"], config.out / "loss_curve.png", summary.get("early_stop"))
        write_model_card(config, summary, config.out / "README.md")
        write_atomically(
            config.out / TRAINING,
            (json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode(),
        )
    shutil.rmtree(config.out / CHECKPOINTS, ignore_errors=True)
    return summary
