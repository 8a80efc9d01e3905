"""Device and precision of a run."""

from __future__ import annotations

from caslie_model.errors import ModelError


def choose_device(device: str, precision: str) -> tuple[str, str]:
    """Resolve `auto`: a GPU with bfloat16 where there is one, else the CPU with float32 (faster there).

    Raises ModelError when a GPU is asked for and there is none.
    """
    import torch

    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise ModelError("device=cuda: torch finds no GPU; use device=cpu or auto")
    chosen = ("cuda" if there else "cpu") if device == "auto" else device
    if precision == "auto":
        precision = "bfloat16" if chosen == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    return chosen, precision
