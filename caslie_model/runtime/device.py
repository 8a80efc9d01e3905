"""The device that a run computes on, and its precision."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caslie_model.errors import ModelError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Device:
    """A device and the precision in which frozen weights are kept and computed.

    Attributes:
        name: cpu, cuda, or meta for shapes without weights.
        precision: float32 or bfloat16.
    """

    name: str = "cpu"
    precision: str = "float32"

    def __str__(self) -> str:
        return f"{self.name}, {self.precision}"

    @property
    def dtype(self) -> torch.dtype:
        """The torch type of the precision."""
        import torch

        dtype: torch.dtype = getattr(torch, self.precision)
        return dtype

    @property
    def is_cpu(self) -> bool:
        """Whether computation and its memory are those of this process."""
        return self.name == "cpu"

    @property
    def is_meta(self) -> bool:
        """Whether tensors have shapes alone."""
        return self.name == "meta"

    def autocast(self) -> AbstractContextManager[Any]:
        """Return a context in which float32 parts compute in bfloat16 beside a bfloat16 base model."""
        import torch

        return torch.autocast(self.name, torch.bfloat16, enabled=self.precision == "bfloat16")

    def move(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return a batch with its tensors on this device.

        Args:
            batch: Tensors by the names of a model's inputs.

        Returns:
            The same tensors on the device, in their own types.
        """
        return {name: value.to(self.name) for name, value in batch.items()}


CPU = Device()
META = Device("meta")


def choose_device(name: str, precision: str) -> Device:
    """Resolve `auto`: a GPU with bfloat16 where there is one, else the CPU with float32, which is faster there.

    Args:
        name: auto, cpu or cuda.
        precision: auto, float32 or bfloat16.

    Returns:
        The device to compute on.

    Raises:
        ModelError: If a GPU is asked for and torch finds none.
    """
    import torch

    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise ModelError("device=cuda: torch finds no GPU; use device=cpu or auto")
    chosen = ("cuda" if has_gpu else "cpu") if name == "auto" else name
    if precision == "auto":
        precision = "bfloat16" if chosen == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    return Device(chosen, precision)
