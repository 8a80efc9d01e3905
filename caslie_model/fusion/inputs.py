"""Checks of a fusion model's inputs, so that a wrong shape is named here and not inside a kernel."""

from __future__ import annotations

from torch import Tensor

from caslie_model.errors import ModelError
from caslie_model.fusion.config import CaslieConfig


def check_images(
    config: CaslieConfig,
    features: Tensor,
    items: Tensor | None,
    roles: Tensor | None,
    guide_ids: Tensor | None,
    guide_mask: Tensor | None,
) -> None:
    """Check that the inputs of M images fit together and to the model.

    Args:
        config: The fusion model's.
        features: [M, P, dv].
        items: [M].
        roles: [M].
        guide_ids: [M, G].
        guide_mask: [M, G].

    Raises:
        ModelError: If a shape or a number does not fit, or the guide is missing.
    """
    patches, width = config.vision_patches, config.vision_width
    if features.dim() != 3 or features.shape[1:] != (patches, width):
        raise ModelError(
            f"image_features of shape {list(features.shape)}, but this model takes [M, {patches}, {width}], as "
            f"{config.vision_encoder or 'its vision encoder'} gives them"
        )
    images = features.shape[0]
    for name, values, highest in (
        ("image_items", items, config.max_items),
        ("image_roles", roles, config.roles - 1),
    ):
        if values is None or not images:
            continue
        if values.shape != (images,):
            raise ModelError(f"{name} of shape {list(values.shape)} for {images} images")
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > highest:
            raise ModelError(f"{name} must be between 0 and {highest}, not {low if low < 0 else high}")
    if config.guide and config.has_resampler:
        if guide_ids is None:
            raise ModelError(
                "this model's resampler is guided: give guide_ids [M, G], or build it with guide=False"
            )
        for name, values in (("guide_ids", guide_ids), ("guide_mask", guide_mask)):
            if values is not None and (values.dim() != 2 or values.shape[0] != images):
                raise ModelError(f"{name} of shape {list(values.shape)} for {images} images")


def check_tokens(shape: tuple[int, int], **inputs: Tensor | None) -> None:
    """Check that inputs have the shape of the tokens.

    Args:
        shape: (B, T).
        **inputs: By name; None is skipped.

    Raises:
        ModelError: If one has another shape.
    """
    for name, values in inputs.items():
        if values is not None and values.shape != shape:
            raise ModelError(f"{name} of shape {list(values.shape)} for tokens of shape {list(shape)}")


def check_slots(config: CaslieConfig, token_slots: Tensor, counts: Tensor) -> None:
    """Check that each sample's slots are its visual tokens, each once.

    Args:
        config: The fusion model's.
        token_slots: [B, T], -1 for text.
        counts: Images of each sample [B].

    Raises:
        ModelError: If they are not.
    """
    expected = (counts * config.tokens_per_image).tolist()
    for row, wanted in zip(token_slots, expected, strict=True):
        found = row[row >= 0]
        if found.sort().values.tolist() != list(range(wanted)):
            raise ModelError(
                f"token_slots of a sample with {wanted} visual tokens ({config.tokens_per_image} per image) must "
                f"hold 0 to {wanted - 1}, each once; there are {len(found)}, up to {int(row.max())}"
            )
