"""Inputs of a forward pass that keep loss and logits to the answer tokens."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from caslie_model.batching.labels_and_padding import IGNORED, training_batch
from caslie_model.batching.packing import packed_batch
from caslie_model.config.training import TrainingConfig
from caslie_model.data.images import Features
from caslie_model.prompts.encoder import Encoded

if TYPE_CHECKING:
    pass


def head_can_be_partial(model: Any, fuses: bool) -> bool:
    """Return whether a model can compute logits for some positions only.

    Args:
        model: The model that is trained.
        fuses: Whether it is a fusion model, not a language model with LoRA.

    Returns:
        Whether its forward pass takes logits_to_keep.
    """
    inner = model if fuses else model.get_base_model()
    return "logits_to_keep" in inspect.signature(inner.forward).parameters


def micro_batch(
    config: TrainingConfig, examples: Sequence[Encoded], padding: int, features: Features | None
) -> dict[str, Any]:
    """Return the batch of one forward pass, packed where the config says so.

    Args:
        config: Packing and its length.
        examples: The samples in tokens.
        padding: Token that fills rows.
        features: Features of images by key, None for text.

    Returns:
        Tensors by input name, as `packed_batch` or `training_batch` returns them.
    """
    if config.packing:
        return packed_batch(examples, padding, config.pack_length or config.max_length, features)
    return training_batch(examples, padding, features)


def loss_inputs(
    config: TrainingConfig, inputs: dict[str, Any], fuses: bool, head_at_end: bool
) -> dict[str, Any]:
    """Return a batch with inputs that keep the output head to the labelled positions, where the model can.

    Args:
        config: Whether batches are packed.
        inputs: The batch, as `micro_batch` returns it.
        fuses: Whether the model is a fusion model.
        head_at_end: Whether it can compute logits for some positions only (`head_can_be_partial`).

    Returns:
        The inputs of the forward pass.
    """
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
    """Turn on gradient checkpointing as the Trainer does at its start.

    Args:
        model: The model, changed in place.
    """
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
