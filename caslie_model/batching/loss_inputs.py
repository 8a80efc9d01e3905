"""What a forward pass needs to compute the loss on answer tokens alone."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from caslie_model.batching.packing import packed_batch
from caslie_model.batching.padding import IGNORED, training_batch
from caslie_model.config.training import TrainingConfig
from caslie_model.data.images import Features
from caslie_model.prompts.encoder import Encoded

if TYPE_CHECKING:
    pass


def head_can_be_partial(model: Any, fuses: bool) -> bool:
    """Return whether a model computes logits for some positions alone. fuses: it is no language model with LoRA."""
    inner = model if fuses else model.get_base_model()
    return "logits_to_keep" in inspect.signature(inner.forward).parameters


def micro_batch(
    config: TrainingConfig, examples: Sequence[Encoded], padding: int, features: Features | None
) -> dict[str, Any]:
    """Return what goes through the model at once."""
    if config.packing:
        return packed_batch(examples, padding, config.pack_length or config.max_length, features)
    return training_batch(examples, padding, features)


def loss_inputs(
    config: TrainingConfig, inputs: dict[str, Any], fuses: bool, head_at_end: bool
) -> dict[str, Any]:
    """Return a batch with what keeps the output head to the labelled positions, where the model can."""
    import torch

    from caslie_model.fusion.loss import head_positions

    if config.packing:
        # A cache of keys and values would hide from the mask that there are several samples.
        inputs = {**inputs, "use_cache": False}
        return inputs | _labelled_positions(inputs["labels"]) if head_at_end and not fuses else inputs
    length, labels = inputs["input_ids"].shape[1], inputs["labels"]
    if head_at_end:
        return {**inputs, "logits_to_keep": head_positions(labels.shape[1], length, labels.device)}
    missing = length - labels.shape[1]
    return {**inputs, "labels": torch.nn.functional.pad(labels, (missing, 0), value=IGNORED)}


def _labelled_positions(labels: Any) -> dict[str, Any]:
    """Return the inputs that let a language model compute logits where labels [B, T] follow, and nowhere else.

    A fusion model does so by itself.
    """
    from caslie_model.fusion.loss import loss_positions

    kept, following = loss_positions(labels, 0, labels.shape[1], training=True)
    return {"logits_to_keep": kept, "labels": following, "shift_labels": following}


def enable_checkpointing(model: Any) -> None:
    """Let a model's layers be computed again in the backward pass, as the Trainer does when it begins."""
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
