"""From the name of a captioner or rewriter to one that is ready; torch is loaded for models alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caslie_model.adapters.model_kind import model_kind
from caslie_model.captions.attributes.attribute_captioner import AttributeCaptioner
from caslie_model.captions.captioner import Captioner, trained_with_images
from caslie_model.captions.prompts import GENERAL_VERSION, REWRITING_VERSION, TEMPLATES_VERSION
from caslie_model.config.captions import ATTRIBUTES, CaptionConfig
from caslie_model.config.files import CONFIG
from caslie_model.config.presets import load_finetune_config
from caslie_model.data.image_bytes import ImageBytes
from caslie_model.errors import ModelError
from caslie_model.hub.names import is_hub_name


def is_asked(config: CaptionConfig) -> bool:
    """Return whether a captioner is asked something beside the image."""
    return config.captioner != ATTRIBUTES


def open_captioner(config: CaptionConfig, images: ImageBytes) -> Captioner:
    """Return a captioner, ready.

    Args:
        config: The settings of the step.
        images: The bytes of images.

    Raises:
        MmecError: If model or settings do not allow it.
    """
    if not is_asked(config):
        return AttributeCaptioner(images, config.max_words, config.attribute_parts)
    from caslie_model.captions.model_captioners import ImageTextCaptioner, ServerCaptioner

    return (ServerCaptioner if config.asks_server else ImageTextCaptioner)(config, images)


def open_rewriter(config: CaptionConfig, images: ImageBytes) -> Captioner:
    """Return a model that rewrites captions, ready.

    Args:
        config: The settings of the step; `captioner` is the rewriter.
        images: Not read.

    Raises:
        MmecError: If model or settings do not allow it.
    """
    if config.asks_server or _kind(config) == "image-text":
        return open_captioner(config, images)
    from caslie_model.captions.rewriter import LanguageModel

    return LanguageModel(config)


def check_rewriter(config: CaptionConfig) -> None:
    """Check, before the first step costs something, that there is such a rewriter; its weights are not read.

    Args:
        config: The settings of the step; `captioner` is the rewriter.

    Raises:
        ModelError: If there is none, or it was trained with images.
    """
    if config.asks_server:
        return
    name, kind = config.captioner, _kind(config)
    if kind == "trained" and not Path(name).exists() and not is_hub_name(name):
        raise ModelError(
            f"two_step={name}: no such model; give a folder, user/name on the Hub, package:NAME, a preset or "
            "openai:NAME"
        )
    file = Path(name) / CONFIG
    if kind == "trained" and file.is_file() and load_finetune_config(file).fusion != "text":
        raise trained_with_images(name)
    if name.startswith("package:"):
        from caslie_model.backbones.language_model import find_gguf

        find_gguf(name.removeprefix("package:"))


def _kind(config: CaptionConfig) -> str:
    return model_kind(config.captioner)


def captioner_provenance(config: CaptionConfig, captioner: Captioner) -> dict[str, Any]:
    """Return all that the captions of a step depend on beside image and prompt.

    Args:
        config: The settings of the step.
        captioner: Its captioner.
    """
    asked: dict[str, Any] = {}
    if is_asked(config):
        asked = (
            {"template": "general", "templates": GENERAL_VERSION}
            if config.general
            else {"templates": TEMPLATES_VERSION}
        )
    return {**captioner.provenance, **asked, "max_words": config.max_words}


def rewriter_provenance(config: CaptionConfig, rewriter: Captioner) -> dict[str, Any]:
    """Return all that rewritten captions depend on beside the prompt.

    Args:
        config: The settings of the step.
        rewriter: Its model.
    """
    # It is shown no image.
    own: Mapping[str, Any] = {
        name: value for name, value in rewriter.provenance.items() if name != "max_pixels"
    }
    return {**own, "templates": REWRITING_VERSION, "max_words": config.max_words}
