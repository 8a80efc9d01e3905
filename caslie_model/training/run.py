"""Training of what was encoded, with the Hugging Face Trainer: LoRA, or adapters that see, on a frozen base model.

The order of batches is planned before the first step (`plan`), which makes a resumed run equal to an uninterrupted
one.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caslie_model.adapters.trainable import save_trained, trainable_model, trained_tensors
from caslie_model.backbones.language_model import BaseModel, locate
from caslie_model.backbones.quantisation import check_quantisation
from caslie_model.batching.order import Plan, plan_run
from caslie_model.batching.packing import check_packing
from caslie_model.config.files import TRAINING
from caslie_model.config.training import TrainingConfig
from caslie_model.errors import ConfigError, RunError
from caslie_model.hub.public_names import local_folders
from caslie_model.prompts.encoder import Encoded
from caslie_model.runtime.console import say
from caslie_model.runtime.fsdp import check_sharding
from caslie_model.runtime.memory import begin_peak, peak_bytes
from caslie_model.runtime.processes import (
    first_decides,
    join_processes,
    part_of_batch,
    process_count,
    wait_for_all,
)
from caslie_model.training.early_stopping import EarlyStop
from caslie_model.training.hf_trainer import build_trainer
from caslie_model.training.loss_curve import write_loss_curve
from caslie_model.training.preflight import check_compiler, check_trackers, explained_memory_errors
from caslie_model.training.run_folder import CHECKPOINTS, last_checkpoint, prepare_folder, write_run_files
from caslie_model.vision.visual_inputs import VisualInputs
from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.hashing import fingerprint

if TYPE_CHECKING:
    from transformers import Trainer

CardWriter = Callable[[dict[str, Any], Path], None]  # what happened -> README.md


@dataclass(frozen=True)
class TrainingResult:
    """Where the adapter lies, and the content of its training.json."""

    folder: Path
    summary: dict[str, Any]


def finished_before(config: TrainingConfig, resume: bool, overwrite: bool) -> TrainingResult | None:
    """Make the output folder ready; return the result of a run that is already finished.

    Started in several processes, they find each other here. resume: go on from the last checkpoint of an unfinished
    run with the same config (or begin, if there is none). overwrite: delete what an earlier run left in the folder.
    Raises RunError when the folder does not allow it, ConfigError when this machine lacks what the config asks for.
    """
    if resume and overwrite:
        raise RunError("give --resume or --overwrite, not both")
    check_trackers(config.report_to)
    check_quantisation(config.quantise)
    stops_early = getattr(config, "early_stop", None) is not None
    check_sharding(config.quantise, config.compile, stops_early)
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
        from caslie_model.vision.encoder import load_vision_encoder

        vision = config.vision
        load_vision_encoder(vision.encoder, "cpu", "float32", vision.pool, vision.layer)


def train(
    config: TrainingConfig,
    base: BaseModel,
    visual_inputs: VisualInputs | None,
    encoded: Sequence[Encoded],
    templates: tuple[str, str],
    device: str,
    precision: str,
    write_card: CardWriter,
    early_stop: EarlyStop | None = None,
) -> TrainingResult:
    """Train on samples in tokens and write the adapter folder `config.out`; begun before, it goes on.

    visual_inputs: what a fusion model sees, None for text. templates: the user's and the plain one, kept with the
    adapter.
    Raises RunError when samples, prompts or base model are not those that the run was begun with.
    """
    from transformers import set_seed

    plan = plan_run(config, encoded)
    model_identity = [visual_inputs.identity] if visual_inputs else []
    identity = fingerprint(
        [
            base.identity,
            plan.batches,
            [[each.prompt, each.target, each.mark if each.images else ""] for each in encoded],
            *model_identity,
            *([[each.mark, each.target] for each in early_stop.encoded] if early_stop else []),
        ]
    )
    step = config.batch_size * config.gradient_accumulation
    if process_count() > 1 and len(plan.batches[0]) < step:
        raise ConfigError(
            f"{len(plan.batches[0])} samples are fewer than a step of {step}: give a smaller batch_size or "
            "gradient_accumulation, or train in one process"
        )
    # Before anything is written: a model that is refused leaves no run behind.
    if config.compile:
        check_compiler(device)
    if config.packing:
        check_packing(base.model)
    set_seed(config.seed)
    model = trainable_model(base, config, visual_inputs)
    first_decides(lambda: write_run_files(config, templates, identity))
    say(
        f"{len(encoded)} samples ({sum(each.shortened for each in encoded)} shortened to fit), "
        f"{len(plan.batches)} steps, {plan.tokens:,} tokens (ended by {plan.ended_by}) "
        f"on {device}, {precision}" + (f", {process_count()} processes" if process_count() > 1 else "")
    )
    features = visual_inputs.features if visual_inputs else None
    trainer = build_trainer(config, model, encoded, plan, features, device, precision, early_stop)
    checkpoint = first_decides(lambda: last_checkpoint(config.out / CHECKPOINTS))
    if checkpoint is not None:
        say(f"resuming from {checkpoint.name}")
    begin_peak(device)
    start = time.monotonic()
    state = _stopped_before(checkpoint, early_stop)
    if state is not None:
        trainer.state = state
    else:
        with explained_memory_errors(config):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else False)
    seconds = time.monotonic() - start
    measured = {"memory": peak_bytes(device), "seconds": round(seconds, 1)}
    wait_for_all()  # or a checkpoint that another process still writes would be deleted
    tensors = trained_tensors(model, config)

    def finish() -> dict[str, Any]:
        summary = _summary(config, base, encoded, plan, trainer, model, seconds, checkpoint)
        steps = trainer.state.global_step - summary["resumed_at_step"]
        summary["measured"] = {**measured, "steps": steps}
        best = tensors
        if early_stop is not None:
            summary |= _return_to_the_best(early_stop, model, trainer.state, plan)
            best = trained_tensors(model, config)  # never divided: an early stop does not go with FSDP
        return _finish(config, model, best, {**summary, "identity": identity}, write_card)

    return TrainingResult(config.out, first_decides(finish))


def _stopped_before(checkpoint: Path | None, early_stop: EarlyStop | None) -> Any:
    """Return the Trainer's state in the checkpoint of a run that has stopped early, None of one that goes on."""
    if checkpoint is None or early_stop is None:
        return None
    from transformers import TrainerState

    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    return state if early_stop.is_over(state.log_history) else None


def _return_to_the_best(early_stop: EarlyStop, model: Any, state: Any, plan: Plan) -> dict[str, Any]:
    """Give the model the weights of its best validation; return what training.json says of it."""
    stopped = state.global_step < len(plan.batches)
    early_stop.restore(model, state.log_history)
    summary = early_stop.summary(state.log_history, stopped)
    say(
        f"{f'stopped at step {state.global_step}' if stopped else 'at the end of the plan'}: validation "
        f"{summary['metric']} was best at step {summary['best_step']} ({summary['best']:.4f})"
    )
    return {"early_stop": summary, **({"ended_by": "early_stop"} if stopped else {})}


def _summary(
    config: TrainingConfig,
    base: Any,
    encoded: Sequence[Encoded],
    plan: Plan,
    trainer: Trainer,
    model: Any,
    seconds: float,
    checkpoint: Path | None,
) -> dict[str, Any]:
    done = plan.batches[: trainer.state.global_step]  # fewer than planned where it stopped early
    used = Counter(index for batch in done for index in batch)
    resumed_at = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
    lengths = [len(each.prompt) + len(each.target) for each in encoded]
    tokens_now = sum(lengths[index] for batch in done[resumed_at:] for index in batch)
    return {
        "base_model": base.name,
        "base_identity": base.identity,
        "quantise": base.quantise,
        "folders": local_folders(config),
        "samples": len(encoded),
        "samples_per_task": dict(Counter(each.sample.task for each in encoded)),
        "samples_seen": len(used),
        "samples_shortened": sum(each.shortened for each in encoded),
        "steps": len(done),
        "processes": process_count(),
        "tokens": sum(lengths[index] * count for index, count in used.items()),
        "answer_tokens": sum(len(encoded[index].target) * count for index, count in used.items()),
        "ended_by": plan.ended_by,
        "trained_parameters": sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
        "resumed_at_step": resumed_at,
        "seconds": round(seconds, 1),  # of this run, without what came before a resume
        "tokens_per_second": round(tokens_now / seconds, 1) if tokens_now else None,
        "log": [entry for entry in trainer.state.log_history if "loss" in entry],
    }


def _finish(
    config: TrainingConfig,
    model: Any,
    tensors: dict[str, Any],
    summary: dict[str, Any],
    write_card: CardWriter,
) -> dict[str, Any]:
    """Write the adapter folder. The weights come last but one, training.json last: it makes it finished."""
    save_trained(model, config, tensors)
    write_loss_curve(summary["log"], config.out / "loss_curve.png", summary.get("early_stop"))
    write_card(summary, config.out / "README.md")
    write_atomically(
        config.out / TRAINING, (json.dumps(summary, indent=1, ensure_ascii=False) + "\n").encode()
    )
    shutil.rmtree(config.out / CHECKPOINTS, ignore_errors=True)
    return summary
