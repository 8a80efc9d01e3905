"""What the text of a batch can see: computed once per prompt, then kept while answers are written.

Everything here has one row per sample, so beams and several answers per prompt only select rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from caslie_model.errors import ModelError

NO_IMAGES = -1  # in token_items


@dataclass(frozen=True)
class Media:
    """The images of B samples, N in the largest, each as K latents.

    items: [B, N] number of the item that an image belongs to, 0: to all. present: boolean [B, N], false where a
    sample has fewer images. keys_values (xattn): per adapter [B, 2, heads, N·K, d_head]. tokens (concat):
    visual tokens [B, N·K, d]. groups: [B, N] which of several samples packed into one row an image belongs to.
    """

    items: Tensor
    present: Tensor
    keys_values: tuple[Tensor, ...] = ()
    tokens: Tensor | None = None
    groups: Tensor | None = None

    def rows(self, indices: Tensor) -> Media:
        """Return the media of these rows, in this order; a row may be taken several times."""
        indices = indices.to(self.items.device)
        return Media(
            self.items[indices],
            self.present[indices],
            tuple(each.index_select(0, indices) for each in self.keys_values),
            None if self.tokens is None else self.tokens.index_select(0, indices),
            None if self.groups is None else self.groups[indices],
        )

    def repeat(self, times: int) -> Media:
        """Return each row several times in succession, as `generate` does with its prompts."""
        if times == 1:
            return self
        return self.rows(torch.arange(len(self), device=self.items.device).repeat_interleave(times))

    def visible(self, length: int, token_items: Tensor | None, token_groups: Tensor | None) -> Tensor:
        """Return which token sees which image, boolean [B, T, N].

        token_items: [B, T] 0: all images of the sample; i: those of item i and those of no single item;
        -1: none. Without it all text sees all images.
        """
        seen = self.present[:, None, :].expand(-1, length, -1)
        if token_items is not None:
            tokens, items = token_items[:, :, None], self.items[:, None, :]
            seen = seen & (tokens != NO_IMAGES) & ((tokens == 0) | (items == 0) | (tokens == items))
        if token_groups is not None and self.groups is not None:
            seen = seen & (token_groups[:, :, None] == self.groups[:, None, :])
        return seen

    def __len__(self) -> int:
        return self.items.shape[0]


def row_slots(image_counts: Tensor, images: int, at_least: int = 0) -> tuple[Tensor, Tensor]:
    """Return where each sample's images stand among all, and which of these places are taken: both [B, N].

    A place without an image holds `images`, the index after the last. Raises ModelError when the counts do not
    add up.
    """
    counts = image_counts.tolist()
    if any(count < 0 for count in counts) or sum(counts) != images:
        raise ModelError(f"image_counts {counts} add up to {sum(counts)}, but there are {images} images")
    places = torch.arange(max([at_least, *counts]), device=image_counts.device)
    starts = image_counts.cumsum(0) - image_counts
    present = places < image_counts[:, None]
    return torch.where(present, starts[:, None] + places, images), present


def spread(values: Tensor, slots: Tensor) -> Tensor:
    """Return values [M, …] by sample: [B, N, …], zeros where there is no image."""
    return torch.cat([values, values.new_zeros(1, *values.shape[1:])])[slots]


def splice(embeddings: Tensor, tokens: Tensor, token_slots: Tensor) -> Tensor:
    """Return embeddings [B, T, d] with the visual tokens [B, V, d] at their slots ([B, T], -1: text)."""
    index = token_slots.clamp(min=0)[:, :, None].expand(-1, -1, embeddings.shape[2])
    visual = tokens.to(embeddings.dtype).gather(1, index)
    return torch.where((token_slots >= 0)[:, :, None], visual, embeddings)
