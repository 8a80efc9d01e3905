"""Encoded samples as tensors: padded on the left, labels on the answer alone, with their images.

Images are ragged: those of all samples follow one another, and `image_counts` has the number of each sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from caslie_model.data.images import Features
from caslie_model.prompts.encoder import Encoded
from caslie_model.runtime.device import Device

if TYPE_CHECKING:
    from torch import Tensor

# Labels that the loss leaves out.
IGNORED = -100


def training_batch(
    examples: Sequence[Encoded], padding: int, features: Features | None = None
) -> dict[str, Any]:
    """Return a batch to train on, prompts with answers.

    K is one more than the tokens of the longest answer: labels are for the last K positions, the first of which has
    none, as the loss compares each position with the next label.

    Args:
        examples: B samples in tokens.
        padding: Token that fills rows.
        features: Features of images by key, None for text.

    Returns:
        input_ids, attention_mask and position_ids [B, T], labels [B, K]; with features also the inputs of
        `text_image_inputs`.
    """
    import torch

    batch = padded([(*each.prompt, *each.target) for each in examples], padding)
    labelled = max(len(each.target) for each in examples) + 1
    labels = torch.full((len(examples), labelled), IGNORED)
    for row, each in enumerate(examples):
        labels[row, labelled - len(each.target) :] = torch.tensor(each.target)
    batch["labels"] = labels
    if features is not None:
        batch |= text_image_inputs(
            examples, batch["input_ids"].shape[1], padding, features, [len(each.target) for each in examples]
        )
    return batch


def prompt_batch(
    examples: Sequence[Encoded],
    padding: int,
    device: Device,
    features: Features | None = None,
) -> dict[str, Any]:
    """Return the prompts of a batch, to be answered.

    Args:
        examples: B samples in tokens.
        padding: Token that fills rows.
        device: Where the tensors are put.
        features: Features of images by key, None for text.

    Returns:
        input_ids, attention_mask and position_ids [B, T]; with features also the inputs of `text_image_inputs`.
    """
    batch = padded([each.prompt for each in examples], padding)
    if features is not None:
        batch |= text_image_inputs(
            examples, batch["input_ids"].shape[1], padding, features, [0] * len(examples)
        )
    return device.move(batch)


def text_image_inputs(
    examples: Sequence[Encoded], width: int, padding: int, features: Features, after: Sequence[int]
) -> dict[str, Any]:
    """Return the inputs of a fusion model beside the tokens.

    Args:
        examples: B samples in tokens.
        width: Tokens T of a padded row.
        padding: Token that fills guides.
        features: Features of images by key.
        after: Tokens that follow each prompt, which attend to all images.

    Returns:
        The inputs of `image_inputs`, token_items [B, T], and token_slots [B, T] where images are among the tokens.
    """
    inputs = image_inputs(examples, padding, features)
    inputs["token_items"] = _aligned([each.token_items for each in examples], after, width, 0)
    if any(each.token_slots for each in examples):
        inputs["token_slots"] = _aligned([each.token_slots for each in examples], after, width, -1)
    return inputs


def image_inputs(examples: Sequence[Encoded], padding: int, features: Features) -> dict[str, Any]:
    """Return the images of samples, M in all.

    Args:
        examples: B samples in tokens.
        padding: Token that fills guides.
        features: Features of images by key.

    Returns:
        image_features [M, P, dv], image_items and image_roles [M], guide_ids and guide_mask [M, G], image_counts [B].
    """
    import torch

    shown = [image for each in examples for image in each.images]
    guide_width = max((len(image.guide) for image in shown), default=1)
    guides = torch.full((len(shown), guide_width), padding)
    guide_mask = torch.zeros((len(shown), guide_width), dtype=torch.long)
    for row, image in enumerate(shown):
        guides[row, : len(image.guide)] = torch.tensor(image.guide)
        guide_mask[row, : len(image.guide)] = 1
    return {
        "image_features": features([image.key for image in shown]),
        "image_counts": torch.tensor([len(each.images) for each in examples]),
        "image_items": torch.tensor([image.item for image in shown], dtype=torch.long),
        "image_roles": torch.tensor([image.kind for image in shown], dtype=torch.long),
        "guide_ids": guides,
        "guide_mask": guide_mask,
    }


def padded(rows: Sequence[Sequence[int]], padding: int) -> dict[str, Any]:
    """Return rows of tokens as one batch, padded on the left.

    Args:
        rows: B rows.
        padding: Token that fills them.

    Returns:
        input_ids, attention_mask and position_ids [B, T].
    """
    import torch

    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), padding)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for number, row in enumerate(rows):
        shift = width - len(row)
        ids[number, shift:] = torch.tensor(row)
        mask[number, shift:] = 1
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "position_ids": (mask.cumsum(dim=1) - 1).clamp(min=0),
    }


def _aligned(rows: Sequence[Sequence[int]], after: Sequence[int], width: int, missing: int) -> Tensor:
    """Return values of prompts' tokens as [B, T], aligned with the tokens."""
    import torch

    values = torch.full((len(rows), width), missing)
    for number, (row, follows) in enumerate(zip(rows, after, strict=True)):
        if row:
            values[number, width - follows - len(row) : width - follows] = torch.tensor(row)
    return values
