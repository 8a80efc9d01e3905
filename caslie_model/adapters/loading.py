"""The adapter folder, and loading a model for evaluation: an adapter on its base model, or a base model alone.

adapter_config.json, adapter_model.safetensors   every trained tensor and nothing else; for text they are peft's own
prompts/user.j2, prompts/plain.j2                the prompt it was trained with
config.yaml                                      the resolved config
training.json, loss_curve.png                    what happened
README.md                                        the model card
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from caslie_model.adapters.trainable import load_trained
from caslie_model.backbones.language_model import BaseModel, is_base_model_name, load_base_model
from caslie_model.config.evaluation import EvaluateConfig
from caslie_model.config.files import CONFIG, WEIGHTS
from caslie_model.config.presets import built_in_presets, load_config, load_finetune_config, read_preset
from caslie_model.config.training import AlignConfig, FinetuneConfig, VisionSettings
from caslie_model.errors import ConfigError, ModelError
from caslie_model.hub.download import adapter_folder
from caslie_model.prompts.encoder import PromptFormat
from caslie_model.prompts.templates import PROMPTS_FOLDER, packaged_templates, read_templates
from caslie_model.runtime.device import Device, choose_device
from mmecinstruct.core.hashing import sha256_file


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to answer.

    Attributes:
        model: The base model, with its adapter where there is one, in evaluation mode.
        tokenizer: The base model's.
        prompt_format: How samples become tokens for this model.
        device: Where the model is, and its precision.
        provenance: All that its answers depend on: base model, adapter, templates and settings, by name.
        vision: The vision encoder of a fusion model, None for text.
    """

    model: Any
    tokenizer: Any
    prompt_format: PromptFormat
    device: Device
    provenance: dict[str, Any] = field(default_factory=dict)
    vision: VisionSettings | None = None


@dataclass(frozen=True)
class _Form:
    """How a model was trained to answer, where an evaluation does not say otherwise."""

    templates: tuple[str, str]
    answers: str
    max_length: int


def load_for_evaluation(config: EvaluateConfig) -> LoadedModel:
    """Load the adapter folder `config.model`, or with base_only the base model that it names.

    Args:
        config: The settings of the evaluation.

    Returns:
        The model with its prompt format.

    Raises:
        ModelError: If there is no such model, or it is not finished or an alignment.
        ConfigError: If its saved config or the preset is not valid.
    """
    device = choose_device(config.device, config.precision)
    folder = Path(config.model) if config.base_only else adapter_folder(config.model)
    if not (folder / CONFIG).is_file():
        if not config.base_only:
            raise ModelError(
                f"{config.model} is not an adapter folder (no {CONFIG}); for a base model give --base-only"
            )
        name, quantise, form = _bare_settings(config.model)
        base = load_base_model(name, device, config.quantise or quantise)
        return _assemble(base, base.model, form, config, None)
    trained = _read_config(folder)
    form = _Form(read_templates(folder / PROMPTS_FOLDER), trained.answers, trained.max_length)
    base = load_base_model(trained.base_model, device, config.quantise or trained.quantise)
    if config.base_only:
        return _assemble(base, base.model, form, config, None)
    if not (folder / WEIGHTS).is_file():
        raise ModelError(f"{folder} holds no finished adapter; finish it with `finetune --resume`")
    model = load_trained(base, trained, folder)
    loaded = _assemble(base, model, form, config, sha256_file(folder / WEIGHTS))
    if trained.fusion == "text":
        return loaded
    tokens = 0 if trained.fusion == "xattn" else model.config.tokens_per_image
    return replace(
        loaded,
        prompt_format=replace(loaded.prompt_format, visual_tokens=tokens),
        provenance={
            **loaded.provenance,
            "fusion": trained.fusion,
            "vision": model.config.vision_fingerprint,
        },
        vision=trained.vision,
    )


def _read_config(folder: Path) -> FinetuneConfig:
    try:
        return load_finetune_config(folder / CONFIG)
    except ConfigError as error:
        try:
            load_config(AlignConfig, folder / CONFIG)
        except ConfigError:
            raise error from None
        raise ModelError(
            f"{folder} is an alignment, which knows no task; its training.json says how well it names "
            f"attributes. Fine-tune from it first: `finetune --set init_from={folder}`"
        ) from None


def _bare_settings(name: str) -> tuple[str, str, _Form]:
    """Return base model, its quantisation and form: those of a preset, or of a base model the defaults."""
    defaults = {key: entry.default for key, entry in FinetuneConfig.model_fields.items()}
    is_preset = name in built_in_presets() or name.endswith((".yaml", ".yml"))
    if is_preset:
        defaults |= read_preset(name)
        if not isinstance(defaults.get("base_model"), str):
            raise ConfigError(f"preset '{name}' names no base_model")
        name = defaults["base_model"]
    elif not is_base_model_name(name):
        raise ModelError(
            f"no model '{name}': give an adapter folder, or with --base-only also a preset "
            f"({', '.join(built_in_presets())}), a model folder or user/name on the Hub"
        )
    form = _Form(packaged_templates(), str(defaults["answers"]), int(defaults["max_length"]))
    return name, str(defaults["quantise"]), form


def _assemble(
    base: BaseModel, model: Any, form: _Form, config: EvaluateConfig, adapter: str | None
) -> LoadedModel:
    """Return a model with its prompt format and provenance. adapter: SHA-256 of the adapter's weights."""
    answers, max_length = config.answers or form.answers, config.max_length or form.max_length
    prompt_format = PromptFormat(base.tokenizer, *form.templates, answers, max_length, config.instruction)
    provenance = {
        "base_model": base.name,
        "base_fingerprint": base.fingerprint,
        "adapter_sha256": adapter,
        "user_template": form.templates[0],
        "plain_template": form.templates[1],
        "answers": answers,
        "max_length": max_length,
        "instruction": config.instruction,
        "precision": base.device.precision,
        **({"quantise": base.quantise} if base.quantise != "none" else {}),
    }
    return LoadedModel(model, base.tokenizer, prompt_format, base.device, provenance)
