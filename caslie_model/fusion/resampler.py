"""The resampler: patch features of an image to a few latents, guided by the text.

Images are ragged, all images of a batch one after the other: a sample with one image costs one image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from caslie_model.fusion.attention import Attention, Float32LayerNorm, scalar
from caslie_model.fusion.config import CaslieConfig


class FeatureNorm(nn.Module):
    """Scale the features of any encoder to a common size.

    Args:
        kind: layer: each patch by itself. standard: each channel by its mean and deviation over the training images
            (`set_statistics`; before that nothing changes). none: no scaling.
        width: dv, numbers of a patch.
    """

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.kind = kind
        if kind == "layer":
            self.norm = Float32LayerNorm(width)
        elif kind == "standard":
            self.register_buffer("mean", torch.zeros(width))
            self.register_buffer("scale", torch.ones(width))

    def set_statistics(self, mean: Tensor, deviation: Tensor) -> None:
        """Set the statistics of the training images' features. A constant channel becomes 0.

        Args:
            mean: [dv].
            deviation: Standard deviation [dv].
        """
        with torch.no_grad():
            self.mean.copy_(mean)
            self.scale.copy_(torch.where(deviation > 0, 1 / deviation, torch.zeros_like(deviation)))

    def forward(self, features: Tensor) -> Tensor:
        """Return scaled features [M, P, dv]."""
        if self.kind == "layer":
            return self.norm(features)
        if self.kind == "standard":
            return ((features.float() - self.mean) * self.scale).to(self.mean.dtype)
        return features


class ResamplerBlock(nn.Module):
    """One pass over guide and features, each of which adds to the latents.

    Args:
        width: Width of the latents.
        heads: Of both attentions.
        guide_gate: Initial gate of the guide; None: no guide.
    """

    def __init__(self, width: int, heads: int, guide_gate: float | None) -> None:
        super().__init__()
        if guide_gate is not None:
            self.guide_gate = scalar(guide_gate)
            self.guide_norm = Float32LayerNorm(width)
            self.guide_attention = Attention(width, heads)
        self.feature_norm = Float32LayerNorm(width)
        self.latent_norm = Float32LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp_norm = Float32LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(
        self, latents: Tensor, features: Tensor, guide: Tensor | None, guide_mask: Tensor | None
    ) -> Tensor:
        """Return the latents after one pass.

        Args:
            latents: [M, K, width].
            features: Projected features [M, P, width].
            guide: Projected guide [M, G, width], None without one.
            guide_mask: True for tokens of the guide [M, G].

        Returns:
            [M, K, width].
        """
        if guide is not None:
            guided = self.guide_attention(self.guide_norm(latents), guide, guide_mask)
            latents = latents + torch.tanh(self.guide_gate) * guided
        own = self.latent_norm(latents)
        latents = latents + self.attention(own, torch.cat([self.feature_norm(features), own], dim=1))
        return latents + self.mlp(self.mlp_norm(latents))


class GuidedResampler(nn.Module):
    """Reduce an image to K latents.

    A block: z += tanh(a)·attend(z, G); z += attend(z, [F; z]); z += mlp(z). At the end the embeddings of the item's
    number and of its role are added.

    Args:
        config: The fusion model's.
    """

    def __init__(self, config: CaslieConfig) -> None:
        super().__init__()
        width, heads = config.resampler_width, config.resampler_heads
        self.latents = nn.Parameter(torch.zeros(config.latents, width))
        # Positions of the patches: features of a convolutional encoder do not contain them, and without them a tall
        # thing has the patches of a wide one.
        self.places = nn.Parameter(torch.zeros(config.vision_patches, width))
        self.feature_norm = FeatureNorm(config.feature_norm, config.vision_width)
        self.feature_projection = nn.Linear(config.vision_width, width)
        self.mean_projection = nn.Linear(config.vision_width, width) if config.mean_feature else None
        self.guide_norm = Float32LayerNorm(config.hidden_size) if config.guide else None
        self.guide_projection = nn.Linear(config.hidden_size, width) if config.guide else None
        gate = config.guide_gate_init if config.guide else None
        self.blocks = nn.ModuleList(
            ResamplerBlock(width, heads, gate) for _ in range(config.resampler_blocks)
        )
        self.norm = Float32LayerNorm(width)
        self.item_embedding = nn.Embedding(config.max_items + 1, width)
        self.role_embedding = nn.Embedding(config.roles, width)

    def forward(
        self,
        features: Tensor,
        items: Tensor,
        roles: Tensor,
        guide: Tensor | None = None,
        guide_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the latents of M images.

        Args:
            features: [M, P, dv].
            items: [M].
            roles: [M].
            guide: Embeddings of the tokens that guide [M, G, d].
            guide_mask: True for tokens, false for padding [M, G].

        Returns:
            [M, K, width].
        """
        dtype = self.feature_projection.weight.dtype
        features = self.feature_norm(features).to(dtype)
        latents = self.latents.to(dtype).expand(features.shape[0], -1, -1)
        if self.mean_projection is not None:
            latents = latents + self.mean_projection(features.mean(dim=1, keepdim=True))
        states = self.feature_projection(features) + self.places.to(dtype)
        if guide is not None and self.guide_norm is not None and self.guide_projection is not None:
            guide = self.guide_projection(self.guide_norm(guide))
        for block in self.blocks:
            latents = block(latents, states, guide, guide_mask)
        item_and_role = self.item_embedding(items) + self.role_embedding(roles)
        return self.norm(latents) + item_and_role[:, None, :]
