"""The loss on answers, with logits for few positions: answers are a few of a thousand tokens."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from caslie_model.errors import ModelError

IGNORED = -100  # labels that the loss leaves out


def loss_positions(
    labels: Tensor | None, logits_to_keep: int | Tensor, length: int, training: bool
) -> tuple[int | Tensor, Tensor | None]:
    """Return the positions to compute logits for, and the tokens that follow them.

    Args:
        labels: [B, T], or [B, L] for the last L of T positions; None without a loss.
        logits_to_keep: A number of last positions, or their indices; 0: those with labels while training, else all that
            labels are for.
        length: T.
        training: Whether the model is in training mode.

    Returns:
        Number or indices of positions, and labels of the tokens that follow them; None without labels.

    Raises:
        ModelError: If labels are for more positions than logits.
    """
    if labels is None:
        return logits_to_keep, None
    following = functional.pad(labels[:, 1:], (0, 1), value=IGNORED)
    short = labels.shape[1]
    if isinstance(logits_to_keep, Tensor):
        whole = functional.pad(following, (length - short, 0), value=IGNORED)
        return logits_to_keep, whole[:, logits_to_keep].contiguous()
    if logits_to_keep == 0 and short == length and training:
        keep = (following != IGNORED).any(dim=0).nonzero().squeeze(1)
        return keep, following[:, keep].contiguous()
    last = logits_to_keep or short
    if last < short:
        raise ModelError(f"labels for {short} positions, but logits_to_keep={last}")
    return last, functional.pad(following, (last - short, 0), value=IGNORED)


def head_positions(keep: int | Tensor, length: int, device: torch.device | None = None) -> int | Tensor:
    """Return positions in the form in which a language model computes its head fastest.

    A number makes models slice their states, and the head of a slice is one product per sample, each with a copy of the
    whole head in 16 bits: half of a small model's step. Indices gather the states into one matrix.

    Args:
        keep: As `loss_positions` returns it.
        length: Positions T.
        device: Of the indices.

    Returns:
        Indices, or the number where all positions are kept.
    """
    if isinstance(keep, Tensor) or not 0 < keep < length:
        return keep
    return torch.arange(length - keep, length, device=device)


def check_prompts_unlabelled(labels: Tensor, attention_mask: Tensor | None, length: int) -> None:
    """Check that the loss is not on the prompt: a guided resampler would leak labels there to every position.

    (The caller makes sure that a guide has no token of the answer.)

    Args:
        labels: [B, L].
        attention_mask: [B, T], None without padding.
        length: T.

    Raises:
        ModelError: If a sample's first token has a label.
    """
    if labels.shape[1] < length:
        # Only the last positions, those of an answer, have labels.
        return
    labelled = labels != IGNORED
    real = torch.ones_like(labelled)
    if attention_mask is not None and attention_mask.shape == labels.shape:
        real = attention_mask.bool()
    if bool((labelled & real & (real.cumsum(dim=1) == 1)).any()):
        raise ModelError(
            f"labels cover the prompt, but it guides the resampler: set them to {IGNORED} there, so that the "
            "loss is on the answer alone, or build the model with guide=False"
        )
