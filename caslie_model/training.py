"""Fine-tuning: LoRA on a causal language model, or adapters that see, with the Hugging Face Trainer.

The loss is on the answer alone. Batches are padded on the left, so the answers stand at the end and the
output head is computed for the last positions only (about a third faster for a small model). The order of
batches is planned before the first step (`plan`), which makes a resumed run equal to an uninterrupted one.
"""

from __future__ import annotations

import inspect
import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caslie_model.adapter import CONFIG, TRAINING, WEIGHTS
from caslie_model.base_model import choose_device, load_base_model
from caslie_model.batches import IGNORED, Features, training_batch
from caslie_model.config import FinetuneConfig, config_yaml, load_finetune_config
from caslie_model.data import Sample, first_by_hash, read_samples
from caslie_model.errors import RunError
from caslie_model.plan import Plan, plan_batches
from caslie_model.progress import Progress
from caslie_model.prompts import PROMPTS_FOLDER, Encoded, PromptFormat, packaged_templates
from caslie_model.sight import look_at
from caslie_model.trainable import save_trained, trainable_model, visual_tokens
from caslie_model.training_report import write_loss_curve, write_model_card
from mmecinstruct.errors import DatasetError
from mmecinstruct.hashing import fingerprint
from mmecinstruct.samples import TASKS
from mmecinstruct.workspace import write_atomically

if TYPE_CHECKING:
    from transformers import Trainer

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class FinetuneResult:
    """Where the adapter lies, and the content of its training.json."""

    folder: Path
    summary: dict[str, Any]


def finetune(config: FinetuneConfig, resume: bool = False, overwrite: bool = False) -> FinetuneResult:
    """Fine-tune as the config says and write the adapter folder `config.out`.

    resume: go on from the last checkpoint of an unfinished run with the same config (or begin, if there is
    none). overwrite: delete what an earlier run left in the folder. Raises MmecError with the remedy when
    data, model or folder do not allow it.
    """
    if resume and overwrite:
        raise RunError("give --resume or --overwrite, not both")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RunError("training runs in one process; start it without torchrun or accelerate launch")
    finished = _prepare_folder(config, resume, overwrite)
    if finished is not None:
        return FinetuneResult(config.out, finished)
    samples = select_samples(config)
    from transformers import set_seed  # late: a missing dataset is told before torch is loaded

    device, precision = choose_device(config.device, config.precision)
    # On a GPU mixed precision: trained tensors stay float32.
    base = load_base_model(config.base_model, precision, device)
    templates = packaged_templates()
    sight = None
    if config.vision is not None and config.fusion != "text":
        sight = look_at(config.data, samples, config.vision, device, precision)
    prompt_format = PromptFormat(
        base.tokenizer,
        *templates,
        config.answers,
        config.max_length,
        visual_tokens=visual_tokens(config, sight),
    )
    encoded = prompt_format.encode_all(samples, sight.pictures if sight else None)
    lengths = [len(each.prompt) + len(each.target) for each in encoded]
    plan = plan_batches(
        [sample.id for sample in samples],
        lengths,
        config.batch_size * config.gradient_accumulation,
        config.epochs,
        config.max_train_tokens,
        config.seed,
    )
    identity = fingerprint(
        [
            base.identity,
            plan.batches,
            [[each.prompt, each.target, each.mark if each.pictures else ""] for each in encoded],
            *([sight.identity] if sight else []),
        ]
    )
    _write_run_files(config, templates, identity)
    _say(
        f"{len(samples)} samples ({sum(each.shortened for each in encoded)} shortened to fit), "
        f"{len(plan.batches)} steps, {plan.tokens:,} tokens (ended by {plan.ended_by}) "
        f"on {device}, {precision}"
    )
    set_seed(config.seed)
    model = trainable_model(base, config, sight)
    features = sight.features if sight else None
    trainer = _build_trainer(config, model, encoded, plan, features, device, precision)
    checkpoint = last_checkpoint(config.out / CHECKPOINTS)
    if checkpoint is not None:
        _say(f"resuming from {checkpoint.name}")
    start = time.monotonic()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else False)
    seconds = time.monotonic() - start
    summary = _summary(config, base, samples, encoded, plan, trainer, model, seconds, checkpoint)
    summary["identity"] = identity
    return FinetuneResult(config.out, _finish(config, model, summary))


def select_samples(config: FinetuneConfig) -> list[Sample]:
    """Return the training samples, ordered by task and draw.

    Raises DatasetError when the dataset has none of a wanted task.
    """
    result, missing = [], []
    for task in config.tasks:
        limit = config.task_limits.get(task, config.samples_per_task)
        samples = read_samples(config.data, task, config.split)
        if not samples:
            missing.append(task)
        result.extend(first_by_hash(samples, limit, config.seed, "training samples"))
    if missing and (config.tasks != TASKS or not result):
        raise DatasetError(
            f"{config.data} has no {config.split} samples of {', '.join(missing)}; choose others with --tasks"
        )
    for task in missing:
        _say(f"no {config.split} samples of {task}")
    return result


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint; what a kill left half-written is deleted.

    Trainer writes trainer_state.json last.
    """
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for path in reversed(found):
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(path)
            continue
        return path
    return None


def _prepare_folder(config: FinetuneConfig, resume: bool, overwrite: bool) -> dict[str, Any] | None:
    """Clear or keep what lies in the output folder; return the summary of a run that is already finished."""
    out = config.out
    if out.is_file():
        raise RunError(f"--out {out} is a file")
    if not out.is_dir() or not any(out.iterdir()):
        return None
    if not (out / CONFIG).is_file() and not (out / TRAINING).is_file():
        raise RunError(f"--out {out} is not empty and not of caslie_model; give another folder")
    if overwrite:
        for name in (WEIGHTS, "adapter_config.json", "README.md", "loss_curve.png", TRAINING, CONFIG):
            (out / name).unlink(missing_ok=True)
        for name in (CHECKPOINTS, PROMPTS_FOLDER):
            shutil.rmtree(out / name, ignore_errors=True)
        return None
    finished = (out / WEIGHTS).is_file() and (out / TRAINING).is_file()
    if not resume:
        state = "a finished adapter" if finished else "an unfinished run"
        remedy = "--overwrite" if finished else "--resume to go on, --overwrite to start again"
        raise RunError(f"--out {out} holds {state}; give {remedy}, or another folder")
    before = load_finetune_config(out / CONFIG).model_dump(exclude={"out"})
    now = config.model_dump(exclude={"out"})
    changed = sorted(key for key in now if now[key] != before[key])
    if changed:
        raise RunError(
            f"--resume: {out} was begun with another config ({', '.join(changed)} differ); give the same "
            "one, or --overwrite"
        )
    if not finished:
        return None
    _say(f"{out} is already finished")
    summary: dict[str, Any] = json.loads((out / TRAINING).read_text(encoding="utf-8"))
    return summary


def _write_run_files(config: FinetuneConfig, templates: tuple[str, str], identity: str) -> None:
    """Write what a resumed run is compared with. Raises RunError when data or prompts changed meanwhile."""
    config.out.mkdir(parents=True, exist_ok=True)
    checkpoints = config.out / CHECKPOINTS
    mark = checkpoints / "identity.txt"
    if mark.is_file() and mark.read_text(encoding="utf-8") != identity:
        raise RunError(
            f"--resume: the samples, the prompts or the base model changed since {config.out} was begun; "
            "start again with --overwrite"
        )
    (config.out / PROMPTS_FOLDER).mkdir(exist_ok=True)
    for name, source in zip(("user.j2", "plain.j2"), templates, strict=True):
        write_atomically(config.out / PROMPTS_FOLDER / name, source.encode())
    checkpoints.mkdir(exist_ok=True)
    write_atomically(mark, identity.encode())
    write_atomically(config.out / CONFIG, config_yaml(config).encode())


def _build_trainer(
    config: FinetuneConfig,
    model: Any,
    encoded: Sequence[Encoded],
    plan: Plan,
    features: Features | None,
    device: str,
    precision: str,
) -> Trainer:
    from transformers import Trainer, TrainerCallback, TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    padding = model.generation_config.pad_token_id
    fuses = features is not None
    inner = model if fuses else model.get_base_model()
    head_at_end = "logits_to_keep" in inspect.signature(inner.forward).parameters

    class AnswerTrainer(Trainer):
        """The Trainer, with the output head on the labelled positions only, and rates for each kind of weight."""

        def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
            if fuses and getattr(self, "optimizer", None) is None:
                import torch

                rates = {"gates": config.lr_gates, "lora": config.lr}
                groups = [
                    {"params": weights, "lr": rates.get(name, config.lr_bridge), "name": name}
                    for name, weights in model.parameter_groups().items()
                    if weights
                ]
                self.optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
            return super().create_optimizer(*args, **kwargs)

        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            """Also say how far each adapter's gate is open: one that stays shut fails silently."""
            if fuses and "loss" in logs:
                logs = {**logs, **{f"gate_{layer}": round(gate, 5) for layer, gate in model.gates().items()}}
            super().log(logs, *args, **kwargs)

        def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            missing = inputs["input_ids"].shape[1] - inputs["labels"].shape[1]
            if head_at_end:
                inputs = {**inputs, "logits_to_keep": inputs["labels"].shape[1]}
            else:
                import torch

                labels = torch.nn.functional.pad(inputs["labels"], (missing, 0), value=IGNORED)
                inputs = {**inputs, "labels": labels}
            return super().compute_loss(model, inputs, *args, **kwargs)

    class ProgressCallback(TrainerCallback):
        """Shows steps and loss on stderr; the Trainer's own bar writes its logs to stdout."""

        progress: Progress | None = None

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.progress = Progress("training", state.max_steps, "steps")
            self.progress.__enter__()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            assert self.progress is not None
            losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
            self.progress.update(state.global_step, f"loss {losses[-1]:.3f}" if losses else "")

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            assert self.progress is not None
            self.progress.__exit__(None, None, None)

    arguments = TrainingArguments(
        output_dir=str(config.out / CHECKPOINTS),
        max_steps=len(plan.batches),
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation,
        train_sampling_strategy="sequential",  # the plan is the order
        learning_rate=config.lr,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, round(config.warmup * len(plan.batches))) if config.warmup else 0,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        logging_steps=config.log_every,
        logging_nan_inf_filter=False,  # a diverged run must show
        save_steps=config.checkpoint_every,
        save_total_limit=2,
        seed=config.seed,
        bf16=precision == "bfloat16",
        use_cpu=device == "cpu",
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        dataloader_pin_memory=device != "cpu",
    )
    if device != "cpu":
        arguments._n_gpu = 1  # else several GPUs in one process are joined by DataParallel
    trainer = AnswerTrainer(
        model=model,
        args=arguments,
        train_dataset=[encoded[index] for batch in plan.batches for index in batch],
        data_collator=lambda examples: training_batch(examples, padding, features),
        callbacks=[ProgressCallback()],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _summary(
    config: FinetuneConfig,
    base: Any,
    samples: Sequence[Sample],
    encoded: Sequence[Encoded],
    plan: Plan,
    trainer: Trainer,
    model: Any,
    seconds: float,
    checkpoint: Path | None,
) -> dict[str, Any]:
    used = Counter(index for batch in plan.batches for index in batch)
    resumed_at = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
    lengths = [len(each.prompt) + len(each.target) for each in encoded]
    tokens_now = sum(lengths[index] for batch in plan.batches[resumed_at:] for index in batch)
    return {
        "base_model": base.name,
        "base_identity": base.identity,
        "samples": len(samples),
        "samples_per_task": dict(Counter(sample.task for sample in samples)),
        "samples_seen": len(used),
        "samples_shortened": sum(each.shortened for each in encoded),
        "steps": len(plan.batches),
        "tokens": plan.tokens,
        "answer_tokens": sum(len(encoded[index].target) * count for index, count in used.items()),
        "ended_by": plan.ended_by,
        "trained_parameters": sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
        "resumed_at_step": resumed_at,
        "seconds": round(seconds, 1),  # of this run, without what came before a resume
        "tokens_per_second": round(tokens_now / seconds, 1) if tokens_now else None,
        "log": [entry for entry in trainer.state.log_history if "loss" in entry],
    }


def _finish(config: FinetuneConfig, model: Any, summary: dict[str, Any]) -> dict[str, Any]:
    """Write the adapter folder. The weights come last but one, training.json last: it makes it finished."""
    save_trained(model, config)
    write_loss_curve(summary["log"], config.out / "loss_curve.png")
    write_model_card(config, summary, config.out / "README.md")
    write_atomically(
        config.out / TRAINING, (json.dumps(summary, indent=1, ensure_ascii=False) + "\n").encode()
    )
    shutil.rmtree(config.out / CHECKPOINTS, ignore_errors=True)
    return summary


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
