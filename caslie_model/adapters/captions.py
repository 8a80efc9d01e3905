"""Captions that a model is asked with: those of the settings, else those that it was trained with."""

from __future__ import annotations

from pathlib import Path

from caslie_model.adapters.loading import read_training_config
from caslie_model.adapters.model_kind import model_kind
from caslie_model.config.evaluation import PredictConfig
from caslie_model.config.files import CONFIG
from caslie_model.hub.download import adapter_folder


def with_captions_of_training(config: PredictConfig) -> PredictConfig:
    """Return settings that name the captions which the prompts show.

    Args:
        config: The settings; without captions those of the model's training are taken.

    Returns:
        The settings, with `captions: none` or a name.

    Raises:
        MmecError: If the model's folder cannot be read.
    """
    if config.captions is not None:
        return config
    return config.model_copy(update={"captions": captions_of_training(config) or "none"})


def captions_of_training(config: PredictConfig) -> str | None:
    """Return the captions that a model was trained with, None for a model that was trained without, or elsewhere."""
    # With base_only a name on the Hub is that of a base model.
    asks_base = config.base_only and not Path(config.model).exists()
    if config.asks_server or asks_base or model_kind(config.model) != "trained":
        return None
    folder = adapter_folder(config.model, cached=True)
    return read_training_config(folder).captions if (folder / CONFIG).is_file() else None
