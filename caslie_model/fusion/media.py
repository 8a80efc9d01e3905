"""The images of a batch as its text attends to them: computed once per prompt, then kept while answers are generated.

Everything has one row per sample, so beams and several answers per prompt only select rows.
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

    Attributes:
        items: Number of the item that an image belongs to, 0: to all [B, N].
        present: False where a sample has fewer images [B, N].
        keys_values: With xattn, per adapter [B, 2, heads, N·K, d_head].
        tokens: With concat, visual tokens [B, N·K, d].
        groups: Which of several samples in a packed row an image belongs to [B, N].
    """

    items: Tensor
    present: Tensor
    keys_values: tuple[Tensor, ...] = ()
    tokens: Tensor | None = None
    groups: Tensor | None = None

    def rows(self, indices: Tensor) -> Media:
        """Return the media of some rows.

        Args:
            indices: Rows, in the wanted order; one may occur several times.

        Returns:
            The media.
        """
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
        """Return which token attends to which image.

        Args:
            length: Tokens T.
            token_items: [B, T]. 0: all images of the sample; i: those of item i and those of no single item; -1: none.
                None: all images for all tokens.
            token_groups: Sample of each token in packed rows [B, T].

        Returns:
            Boolean [B, T, N].
        """
        visible = self.present[:, None, :].expand(-1, length, -1)
        if token_items is not None:
            tokens, items = token_items[:, :, None], self.items[:, None, :]
            visible = visible & (tokens != NO_IMAGES) & ((tokens == 0) | (items == 0) | (tokens == items))
        if token_groups is not None and self.groups is not None:
            visible = visible & (token_groups[:, :, None] == self.groups[:, None, :])
        return visible

    def __len__(self) -> int:
        return self.items.shape[0]


def row_slots(image_counts: Tensor, images: int, at_least: int = 0) -> tuple[Tensor, Tensor]:
    """Return the index of each sample's images among all, and which slots are taken.

    Args:
        image_counts: Images of each sample [B].
        images: M, all images.
        at_least: Slots of a sample at least.

    Returns:
        Indices [B, N], where an empty slot holds M, and taken slots, boolean [B, N].

    Raises:
        ModelError: If the counts do not add up to M.
    """
    counts = image_counts.tolist()
    if any(count < 0 for count in counts) or sum(counts) != images:
        raise ModelError(f"image_counts {counts} add up to {sum(counts)}, but there are {images} images")
    numbers = torch.arange(max([at_least, *counts]), device=image_counts.device)
    starts = image_counts.cumsum(0) - image_counts
    present = numbers < image_counts[:, None]
    return torch.where(present, starts[:, None] + numbers, images), present


def spread(values: Tensor, slots: Tensor) -> Tensor:
    """Return values [M, …] by sample: [B, N, …], zeros where there is no image."""
    return torch.cat([values, values.new_zeros(1, *values.shape[1:])])[slots]


def splice(embeddings: Tensor, tokens: Tensor, token_slots: Tensor) -> Tensor:
    """Put visual tokens at their positions.

    Args:
        embeddings: Of the text [B, T, d].
        tokens: Visual tokens [B, V, d].
        token_slots: Index of the visual token at each position, -1 for text [B, T].

    Returns:
        Embeddings [B, T, d].
    """
    index = token_slots.clamp(min=0)[:, :, None].expand(-1, -1, embeddings.shape[2])
    visual = tokens.to(embeddings.dtype).gather(1, index)
    return torch.where((token_slots >= 0)[:, :, None], visual, embeddings)
