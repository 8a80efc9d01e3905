"""Text-guided fusion of images: registered with transformers, so that its Auto classes know a saved model."""

from __future__ import annotations

from transformers import AutoConfig, AutoModelForCausalLM

from caslie_model.fusion.config import CaslieConfig
from caslie_model.fusion.load_adapter import load_adapter
from caslie_model.fusion.media import Media
from caslie_model.fusion.model import CaslieForCausalLM, CaslieOutput

AutoConfig.register("caslie", CaslieConfig, exist_ok=True)
AutoModelForCausalLM.register(CaslieConfig, CaslieForCausalLM, exist_ok=True)

__all__ = ["CaslieConfig", "CaslieForCausalLM", "CaslieOutput", "Media", "load_adapter"]
