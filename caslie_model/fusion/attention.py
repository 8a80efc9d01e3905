"""Parts that resampler and adapters share: a norm in float32, and attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Float32LayerNorm(nn.LayerNorm):
    """Layer normalisation computed in float32 for inputs of any type; the result has the weights' type."""

    def forward(self, states: Tensor) -> Tensor:
        """Return normalised states [..., width] in the weights' type."""
        result = functional.layer_norm(
            states.float(), self.normalized_shape, self.weight.float(), self.bias.float(), self.eps
        )
        return result.to(self.weight.dtype)


def split_heads(states: Tensor, heads: int) -> Tensor:
    """Return [..., S, width] as [..., heads, S, width / heads]."""
    return states.unflatten(-1, (heads, -1)).transpose(-3, -2)


def join_heads(states: Tensor) -> Tensor:
    """Return [..., heads, S, d] as [..., S, heads * d]."""
    return states.transpose(-3, -2).flatten(-2)


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """Return scaled dot-product attention.

    A query without any visible key attends to all keys here, as a softmax over nothing is not a number on some devices:
    the caller must mask its result.

    Args:
        queries: [B, heads, T, d].
        keys: [B, heads, S, d].
        values: [B, heads, S, d].
        mask: Boolean [B, 1, T, S], true where a query attends to a key; None: everywhere.

    Returns:
        [B, heads, T, d].
    """
    if mask is not None:
        mask = mask | ~mask.any(dim=-1, keepdim=True)
    # The kernels for 16-bit inputs sum and normalise in float32.
    return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)


class Attention(nn.Module):
    """Attention of normalised states on a context, with projections.

    Args:
        width: Of states and context.
        heads: Number of attention heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, states: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the states' attention on the context.

        Args:
            states: [M, Q, width].
            context: [M, S, width].
            mask: Boolean [M, S], true where the context counts; a row without any gives 0.

        Returns:
            [M, Q, width].
        """
        keys, values = self.key_value(context).chunk(2, dim=-1)
        found = attend(
            split_heads(self.query(states), self.heads),
            split_heads(keys, self.heads),
            split_heads(values, self.heads),
            None if mask is None else mask[:, None, None, :].expand(-1, 1, states.shape[1], -1),
        )
        result = self.output(join_heads(found))
        return result if mask is None else result * mask.any(dim=-1)[:, None, None]


def scalar(value: Any) -> nn.Parameter:
    """Return one trained number as a vector of length 1: FSDP divides no tensor without dimensions."""
    return nn.Parameter(torch.full((1,), float(value)))
