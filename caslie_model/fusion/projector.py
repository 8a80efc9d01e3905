"""The conventional fusions, as baselines: visual tokens in the text sequence."""

from __future__ import annotations

from torch import Tensor, nn

from caslie_model.fusion.attention import scalar
from caslie_model.fusion.config import CaslieConfig
from caslie_model.fusion.resampler import FeatureNorm


class Projector(nn.Module):
    """Latents (concat) or patch features (concat-full: two layers) as visual tokens.

    They start about as large as the text's embeddings: larger ones stay as they are in the residual stream, since what
    a layer adds is only large beside text.

    Args:
        config: The fusion model's.
    """

    def __init__(self, config: CaslieConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.scale = scalar(config.visual_scale)
        if config.has_resampler:
            self.layers = nn.Sequential(nn.Linear(config.resampler_width, hidden))
        else:
            self.layers = nn.Sequential(
                FeatureNorm(config.feature_norm, config.vision_width),
                nn.Linear(config.vision_width, hidden),
                nn.GELU(),
                nn.Linear(hidden, hidden),
            )

    def forward(self, states: Tensor) -> Tensor:
        """Return visual tokens [M, ·, d].

        Args:
            states: Latents [M, K, width], or features [M, P, dv].

        Returns:
            One token a latent or patch.
        """
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                states = states.to(layer.weight.dtype)
            states = layer(states)
        return states * self.scale
