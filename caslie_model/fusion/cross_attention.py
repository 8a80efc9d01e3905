"""The gated cross-attention adapter in front of a decoder layer: text attends to the latents of its images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from caslie_model.fusion.attention import Float32LayerNorm, attend, join_heads, scalar, split_heads
from caslie_model.fusion.config import CaslieConfig


class GatedCrossAttention(nn.Module):
    """h += tanh(g) · s · W_o · attention(W_q norm(h), k, v, mask), where a token has an image.

    s is the size of h, so that a gate is the share of the images in the text's states. There is no feed-forward part:
    in well-known models it has most of the parameters of such a block.

    Args:
        config: The fusion model's.
        scale: s, the size of the text's states in front of this layer.
    """

    def __init__(self, config: CaslieConfig, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        width = config.adapter_width
        self.heads = config.adapter_heads
        self.norm = Float32LayerNorm(config.hidden_size)
        self.query = nn.Linear(config.hidden_size, width, bias=False)
        self.key_value = nn.Linear(config.resampler_width, 2 * width, bias=False)
        self.output = nn.Linear(width, config.hidden_size, bias=False)
        self.gate = scalar(config.gate_init)

    def keys_values(self, latents: Tensor) -> Tensor:
        """Return keys and values of latents.

        Args:
            latents: [M, K, width].

        Returns:
            [M, 2, heads, K, d_head].
        """
        pairs = self.key_value(latents).unflatten(-1, (2, -1))  # [M, K, 2, width]
        return split_heads(pairs.transpose(1, 2), self.heads)

    def forward(self, hidden: Tensor, keys_values: Tensor, visible: Tensor) -> Tensor:
        """Add to each token's state the output of attention to its images.

        Args:
            hidden: Hidden states [B, T, d].
            keys_values: [B, 2, heads, N·K, d_head].
            visible: Boolean [B, T, N], which token attends to which image.

        Returns:
            Hidden states [B, T, d]. A token without images keeps its state bit for bit.
        """
        queries = split_heads(self.query(self.norm(hidden)), self.heads)
        keys, values = keys_values.unbind(dim=1)
        # The mask over single latents lives inside this block alone.
        mask = visible.repeat_interleave(keys.shape[2] // visible.shape[2], dim=2)[:, None]
        found = attend(queries, keys.to(queries.dtype), values.to(queries.dtype), mask)
        update = self.scale * torch.tanh(self.gate) * self.output(join_heads(found))
        return hidden + (update * visible.any(dim=2)[:, :, None]).to(hidden.dtype)
