"""Initial weights of what a fusion model adds to its language model."""

from __future__ import annotations

from torch import nn
from transformers import initialization

from caslie_model.fusion.attention import Float32LayerNorm
from caslie_model.fusion.config import CaslieConfig
from caslie_model.fusion.cross_attention import GatedCrossAttention
from caslie_model.fusion.projector import Projector
from caslie_model.fusion.resampler import FeatureNorm, GuidedResampler, ResamplerBlock


def initialise(module: nn.Module, config: CaslieConfig) -> None:
    """Set the weights that a module holds itself; what was loaded is left alone by transformers' functions."""
    if isinstance(module, nn.Linear):
        # Unit variance in, unit variance out, whatever the width.
        initialization.normal_(module.weight, std=module.in_features**-0.5)
        if module.bias is not None:
            initialization.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        initialization.normal_(module.weight, std=0.1)  # seen beside latents of unit variance
    elif isinstance(module, Float32LayerNorm):
        initialization.ones_(module.weight)
        initialization.zeros_(module.bias)
    elif isinstance(module, GuidedResampler):
        # Zeros would keep all latents of an image the same for ever.
        initialization.normal_(module.latents, std=0.02)
        initialization.normal_(module.places, std=0.3)  # told apart beside features of unit variance
    elif isinstance(module, ResamplerBlock):
        if config.guide:
            initialization.constant_(module.guide_gate, config.guide_gate_init)
    elif isinstance(module, GatedCrossAttention):
        initialization.constant_(module.gate, config.gate_init)
        if config.gate_init:
            # An open gate, but nothing to say yet: the base model, exactly, and a gradient for every layer's output.
            initialization.zeros_(module.output.weight)
    elif isinstance(module, Projector):
        initialization.constant_(module.scale, config.visual_scale)
    elif isinstance(module, FeatureNorm) and module.kind == "standard":
        initialization.zeros_(module.mean)
        initialization.ones_(module.scale)
