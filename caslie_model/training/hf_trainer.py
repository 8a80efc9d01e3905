"""The Hugging Face Trainer as a training needs it: batches in their fixed order, logits where the answers are.

The loss is on the answer alone. Batches are padded on the left, so the answers are at the end and the output head is
computed for the last positions only (about a third faster for a small model).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from caslie_model.batching.loss_inputs import head_can_be_partial, loss_inputs, micro_batch
from caslie_model.config.training import TrainingConfig
from caslie_model.errors import ConfigError
from caslie_model.prompts.encoder import Encoded
from caslie_model.runtime.processes import (
    first_decides,
    is_first_process,
    part_of_batch,
    process_number,
    wait_for_all,
)
from caslie_model.runtime.progress import Progress
from caslie_model.training.divergence import Diverged, check_finite, check_step
from caslie_model.training.early_stopping import EarlyStop
from caslie_model.training.inputs import TrainingInputs
from caslie_model.training.run_folder import CHECKPOINTS

if TYPE_CHECKING:
    from transformers import Trainer, TrainerCallback, TrainingArguments

TENSORBOARD = "tensorboard"
_SEEDS_APART = 1_000_003


def build_trainer(config: TrainingConfig, model: Any, inputs: TrainingInputs) -> Trainer:
    """Return a Trainer that goes through the order of batches, and through nothing else.

    Args:
        config: The settings of the run.
        model: The base model with its trained parts (`trainable_model`).
        inputs: The samples and their order, features and early stop.

    Returns:
        The Trainer, not started.

    Raises:
        ConfigError: If an early stop is asked for where no process has the whole model.
    """
    import torch
    from transformers import Trainer
    from transformers.trainer_callback import PrinterCallback

    padding = model.generation_config.pad_token_id
    features, early_stop = inputs.features, inputs.early_stop
    fuses = features is not None
    head_at_end = head_can_be_partial(model, fuses)
    # Of the forward passes of the current step.
    losses: list[Any] = []

    def collate(examples: Sequence[Encoded]) -> dict[str, Any]:
        return micro_batch(config, examples, padding, features)

    class AnswerTrainer(Trainer):
        """The Trainer, with the output head on the labelled positions only, and rates for each kind of weight."""

        def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
            if fuses and getattr(self, "optimizer", None) is None:
                rates = {"gates": config.lr_gates, "lora": config.lr}
                groups = [
                    {"params": weights, "lr": rates.get(name, config.lr_connector), "name": name}
                    for name, weights in model.parameter_groups().items()
                    if weights
                ]
                self.optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
            return super().create_optimizer(*args, **kwargs)

        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            """Also log how far each adapter's gate is open: one that stays shut fails silently."""
            if fuses and "loss" in logs:
                logs = {**logs, **{f"gate_{layer}": round(gate, 5) for layer, gate in model.gates().items()}}
            # The norm of a gradient that a scaler skipped: JSON has no word for it.
            logs = {
                name: value
                for name, value in logs.items()
                if not isinstance(value, float) or math.isfinite(value)
            }
            super().log(logs, *args, **kwargs)

        def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            inputs = loss_inputs(config, inputs, fuses, head_at_end)
            return super().compute_loss(model, inputs, *args, **kwargs)

        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().training_step(*args, **kwargs)
            losses.append(loss.detach())
            return loss

        def _get_grad_norm(self, *args: Any, **kwargs: Any) -> Any:
            """Check the step's numbers: this is called before each step of the optimiser."""
            norm = super()._get_grad_norm(*args, **kwargs)
            check_step(self.state.global_step + 1, losses, norm if self.accelerator.scaler is None else None)
            losses.clear()
            return norm

        def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
            trained = (weight for weight in model.parameters() if weight.requires_grad)
            check_finite(self.state.global_step, "weights are", trained)
            super()._save_checkpoint(*args, **kwargs)

        def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
            """Measure the model in the first process, keep its weights if they are the best, or stop."""
            assert early_stop is not None
            figure = first_decides(lambda: early_stop.measure(model))
            if not math.isfinite(figure):
                raise Diverged(self.state.global_step, f"validation {early_stop.settings.metric} is")
            figures = {early_stop.logged_as: figure}
            self.log(figures)
            history = self.state.log_history
            first_decides(lambda: early_stop.keep(model, history))
            if early_stop.is_over(history):
                # With a checkpoint: a run killed before the adapter is written need not train again.
                self.control.should_training_stop = self.control.should_save = True
            self.callback_handler.on_evaluate(self.args, self.state, self.control, figures)
            return figures

        def _save_rng_state(self, output_dir: str) -> None:
            """Wait for all processes: the files that complete a checkpoint are written after this."""
            super()._save_rng_state(output_dir)
            wait_for_all()

    trainer = AnswerTrainer(
        model=model,
        args=_arguments(config, inputs),
        train_dataset=[inputs.encoded[index] for batch in inputs.order.batches for index in batch],
        # The Trainer wants one where it validates, and reads none.
        eval_dataset=list(early_stop.encoded) if early_stop else None,
        data_collator=collate,
        callbacks=[_progress(early_stop)] if is_first_process() else [],
    )
    if early_stop is not None and (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        raise ConfigError(
            "early_stop needs the whole model in the first process, which FSDP and DeepSpeed divide: leave it out"
        )
    trainer.remove_callback(PrinterCallback)
    for callback in trainer.callback_handler.callbacks:
        if type(callback).__name__ == "TensorBoardCallback" and callback.logging_dir is None:
            # Not among the checkpoints: these are deleted.
            callback.logging_dir = str(config.out / TENSORBOARD)
    if not is_first_process():
        # The Trainer gave all processes one seed: they would drop out the same positions of different samples.
        torch.manual_seed(config.seed + _SEEDS_APART * process_number())
    return trainer


def _progress(early_stop: EarlyStop | None) -> TrainerCallback:
    """Return the callback that shows steps and loss on stderr; the Trainer's own bar writes its logs to stdout."""
    from transformers import TrainerCallback

    class ProgressCallback(TrainerCallback):
        progress: Progress | None = None

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.progress = Progress("training", state.max_steps, "steps")
            self.progress.__enter__()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            assert self.progress is not None
            losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
            notes = [f"loss {losses[-1]:.3f}"] if losses else []
            if early_stop is not None and (measured := early_stop.evaluations(state.log_history)):
                notes.append(f"validation {early_stop.settings.metric} {measured[-1][1]:.3f}")
            self.progress.update(state.global_step, ", ".join(notes))

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if early_stop is not None:
                early_stop.forget(state.log_history)

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            assert self.progress is not None
            self.progress.__exit__(None, None, None)

    return ProgressCallback()


def _arguments(config: TrainingConfig, inputs: TrainingInputs) -> TrainingArguments:
    from transformers import TrainingArguments

    steps, device, early_stop = len(inputs.order.batches), inputs.device, inputs.early_stop
    arguments = TrainingArguments(
        output_dir=str(config.out / CHECKPOINTS),
        max_steps=steps,
        per_device_train_batch_size=part_of_batch(config.batch_size),
        gradient_accumulation_steps=config.gradient_accumulation,
        # The samples are handed over in their order.
        train_sampling_strategy="sequential",
        learning_rate=config.lr,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, round(config.warmup * steps)) if config.warmup else 0,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        logging_steps=config.log_every,
        # A diverged run must show.
        logging_nan_inf_filter=False,
        save_steps=config.checkpoint_every,
        save_total_limit=2,
        seed=config.seed,
        bf16=device.precision == "bfloat16",
        use_cpu=device.is_cpu,
        disable_tqdm=True,
        report_to=list(config.report_to),
        run_name=config.out.name,
        torch_compile=config.compile,
        remove_unused_columns=False,
        dataloader_pin_memory=not device.is_cpu,
        eval_strategy="steps" if early_stop else "no",
        eval_steps=early_stop.settings.every if early_stop else None,
        **_checkpointing(config),
    )
    if not device.is_cpu:
        # Otherwise several GPUs in one process are joined by DataParallel.
        arguments._n_gpu = 1
    return arguments


def _checkpointing(config: TrainingConfig) -> dict[str, Any]:
    """Return the arguments for gradient checkpointing, by the name that this version of transformers has for it.

    Never reentrant: that would learn nothing behind frozen embeddings.
    """
    from transformers import TrainingArguments

    new = "activation_checkpointing" in inspect.signature(TrainingArguments).parameters
    name = "activation_checkpointing" if new else "gradient_checkpointing"
    if not config.gradient_checkpointing:
        return {}
    return {name: True, f"{name}_kwargs": {"use_reentrant": False}}
