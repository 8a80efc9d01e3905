"""Stop a training whose loss, gradient or weights are no finite numbers, and say what to change.

Loss and gradient are checked before the step that would use them, weights before a checkpoint is written and at the
end: no checkpoint and no adapter holds NaN. In several processes all agree, so that none waits for another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from caslie_model.config.training import TrainingConfig
from caslie_model.errors import RunError
from caslie_model.runtime.processes import process_count
from mmecinstruct.core.files import write_atomically

LAST_FINITE = "last_finite.safetensors"


class Diverged(RunError):
    """A step whose loss, gradient or weights are no finite numbers.

    Attributes:
        step: Number of the step, from 1.
    """

    def __init__(self, step: int, what: str) -> None:
        super().__init__(f"step {step}: the {what} no finite number")
        self.step = step


def check_step(step: int, losses: Sequence[Any], gradient_norm: Any) -> None:
    """Check the numbers of a step before weights are changed. All processes must call.

    Args:
        step: Number of the step, from 1.
        losses: Loss of each forward pass of this process.
        gradient_norm: Norm of the gradient; None where a scaler skips infinite gradients, as with fp16.

    Raises:
        Diverged: If a loss or the gradient is no finite number in any process.
    """
    for what, values in (("loss is", losses), ("gradient is", [gradient_norm])):
        if gradient_norm is not None or what == "loss is":
            check_finite(step, what, values)


def check_finite(step: int, what: str, values: Iterable[Any]) -> None:
    """Check tensors or numbers. All processes must call.

    Args:
        step: Number of the step, for the error.
        what: Name and verb of the values, for the error.
        values: Tensors of any shape, or of FSDP the part that this process has.

    Raises:
        Diverged: If one is no finite number in any process.
    """
    import torch

    flags = []
    for value in values:
        local = value.to_local() if hasattr(value, "to_local") else torch.as_tensor(value)
        flags.append(local.isfinite().all())
    fine = torch.stack(flags).all() if flags else torch.tensor(True)
    if process_count() > 1:
        fine = fine.int()
        torch.distributed.all_reduce(fine, op=torch.distributed.ReduceOp.MIN)
    if not bool(fine):
        raise Diverged(step, what)


def keep_finite_weights(folder: Path, tensors: dict[str, Any]) -> Path | None:
    """Write the weights that a training was stopped with.

    Args:
        folder: The folder of checkpoints.
        tensors: The trained tensors by name, whole.

    Returns:
        The file, None where the weights are no finite numbers.
    """
    from safetensors.torch import save

    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        return None
    file = folder / LAST_FINITE
    write_atomically(file, save({name: each.detach().cpu().contiguous() for name, each in tensors.items()}))
    return file


def explained(
    error: Diverged, config: TrainingConfig, precision: str, resumed: Path | None, kept: Sequence[Path]
) -> RunError:
    """Return the error of a diverged training with its remedy.

    Args:
        error: What was found.
        config: The settings of the run.
        precision: float32 or bfloat16.
        resumed: The checkpoint that the run was resumed from.
        kept: Files and folders with finite weights.

    Returns:
        An error whose message says what is kept and what to change.
    """
    at_once = error.step - 1 == (int(resumed.name.rpartition("-")[2]) if resumed else 0)
    parts = [f"{error}; the training was stopped"]
    if kept:
        parts.append(f"finite weights are kept in {' and '.join(str(path) for path in kept)}")
    if resumed is not None:
        parts.append(f"it was resumed from {resumed}: if that is damaged, delete it and give --resume again")
    elif at_once:
        parts.append("nothing was trained yet: the base model or the image features may hold such numbers")
    parts.append(f"start again with --overwrite and {', or '.join(_remedies(config, precision))}")
    return RunError("; ".join(parts))


def _remedies(config: TrainingConfig, precision: str) -> list[str]:
    rates = [] if config.fusion == "text" else ["lr_connector", "lr_gates"]
    rates = ["lr", *rates] if config.trains_lora else rates
    changes = [
        "a lower learning rate than " + ", ".join(f"{name}={getattr(config, name):g}" for name in rates)
    ]
    for name, usual in (("warmup", 0.05), ("max_grad_norm", 1.0)):
        value = getattr(config, name)
        if value < usual if name == "warmup" else value > usual:
            changes.append(f"{name}={usual:g} instead of {value:g}")
    return [*changes, "precision=float32"] if precision == "bfloat16" else changes
