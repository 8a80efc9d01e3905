"""Initial weights of a fusion model's own parts. The language model initialises its own."""

from __future__ import annotations

from torch import nn
from transformers import initialization

from caslie_model.fusion.attention import Float32LayerNorm
from caslie_model.fusion.config import CaslieConfig
from caslie_model.fusion.cross_attention import GatedCrossAttention
from caslie_model.fusion.projector import Projector
from caslie_model.fusion.resampler import FeatureNorm, GuidedResampler, ResamplerBlock


def initialise(module: nn.Module, config: CaslieConfig) -> None:
    """Set the weights that a module holds itself; transformers' functions leave loaded ones as they are.

    Args:
        module: A part of the model, changed in place.
        config: The fusion model's.
    """
    if isinstance(module, nn.Linear):
        # Unit variance in, unit variance out, whatever the width.
        initialization.normal_(module.weight, std=module.in_features**-0.5)
        if module.bias is not None:
            initialization.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        # Small beside latents of unit variance.
        initialization.normal_(module.weight, std=0.1)
    elif isinstance(module, Float32LayerNorm):
        initialization.ones_(module.weight)
        initialization.zeros_(module.bias)
    elif isinstance(module, GuidedResampler):
        # Zeros would keep all latents of an image equal throughout training.
        initialization.normal_(module.latents, std=0.02)
        # Distinct beside features of unit variance.
        initialization.normal_(module.places, std=0.3)
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
