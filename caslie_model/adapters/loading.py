"""The adapter folder, and loading what is evaluated: an adapter on its base model, or a base model alone.

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
from caslie_model.runtime.device import choose_device
from mmecinstruct.core.hashing import sha256_file


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to answer, with the prompt format that it knows and what identifies it."""

    model: Any
    tokenizer: Any
    prompt_format: PromptFormat
    device: str
    precision: str
    identity: dict[str, Any] = field(default_factory=dict)
    vision: VisionSettings | None = None  # of a model that sees


def load_for_evaluation(config: EvaluateConfig) -> LoadedModel:
    """Load the adapter folder `config.model`, or with base_only the base model that it names.

    Raises ModelError or ConfigError when there is no such thing.
    """
    device, precision = choose_device(config.device, config.precision)
    folder = Path(config.model) if config.base_only else adapter_folder(config.model)
    if (folder / CONFIG).is_file():
        trained = _read_config(folder)
        templates = read_templates(folder / PROMPTS_FOLDER)
        base = load_base_model(trained.base_model, precision, device, config.quantise or trained.quantise)
        settings: tuple[str, int] = (trained.answers, trained.max_length)
        if config.base_only:
            return _assemble(base, base.model, templates, settings, config, device, precision, None)
        if not (folder / WEIGHTS).is_file():
            raise ModelError(f"{folder} holds no finished adapter; finish it with `finetune --resume`")
        model = load_trained(base, trained, folder, precision)
        adapter = sha256_file(folder / WEIGHTS)
        loaded = _assemble(base, model, templates, settings, config, device, precision, adapter)
        if trained.fusion == "text":
            return loaded
        tokens = 0 if trained.fusion == "xattn" else model.config.tokens_per_image
        prompt_format = replace(loaded.prompt_format, visual_tokens=tokens)
        identity = {**loaded.identity, "fusion": trained.fusion, "vision": model.config.vision_identity}
        return replace(loaded, prompt_format=prompt_format, identity=identity, vision=trained.vision)
    if not config.base_only:
        raise ModelError(
            f"{config.model} is not an adapter folder (no {CONFIG}); for a base model give --base-only"
        )
    name, quantise, settings = _bare_settings(config.model)
    base = load_base_model(name, precision, device, config.quantise or quantise)
    return _assemble(base, base.model, packaged_templates(), settings, config, device, precision, None)


def _read_config(folder: Path) -> FinetuneConfig:
    try:
        return load_finetune_config(folder / CONFIG)
    except ConfigError as error:
        try:
            load_config(AlignConfig, folder / CONFIG)
        except ConfigError:
            raise error from None
        raise ModelError(
            f"{folder} is an alignment, which knows no task; how well it names attributes stands in its "
            f"training.json. Fine-tune from it first: `finetune --set init_from={folder}`"
        ) from None


def _bare_settings(name: str) -> tuple[str, str, tuple[str, int]]:
    """Return base model, its quantisation, and answer form and length of a preset, or of a base model the defaults."""
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
    return name, str(defaults["quantise"]), (str(defaults["answers"]), int(defaults["max_length"]))


def _assemble(
    base: BaseModel,
    model: Any,
    templates: tuple[str, str],
    settings: tuple[str, int],
    config: EvaluateConfig,
    device: str,
    precision: str,
    adapter: str | None,
) -> LoadedModel:
    answers, max_length = config.answers or settings[0], config.max_length or settings[1]
    prompt_format = PromptFormat(base.tokenizer, *templates, answers, max_length, config.instruction)
    identity = {
        "base_model": base.name,
        "base_identity": base.identity,
        "adapter_sha256": adapter,
        "user_template": templates[0],
        "plain_template": templates[1],
        "answers": answers,
        "max_length": max_length,
        "instruction": config.instruction,
        "precision": precision,
        **({"quantise": base.quantise} if base.quantise != "none" else {}),
    }
    return LoadedModel(model, base.tokenizer, prompt_format, device, precision, identity)
