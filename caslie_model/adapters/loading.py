"""The adapter folder, and loading a model to answer: an adapter on its base model, or a base model alone.

adapter_config.json, adapter_model.safetensors   of a text adapter: shapes and every trained tensor, as peft has them
tokenizer.json, tokenizer_config.json, …         of a text adapter: the base model's, for peft and transformers
caslie_config.json, caslie_adapter.safetensors   the same of a fusion adapter, which peft cannot read
prompts/user.j2, prompts/plain.j2                the prompt it was trained with
config.yaml                                      the resolved config
training.json, loss_curve.png                    what happened
README.md                                        the model card
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from caslie_model.adapters.base import ends_by_eos, load_base_of, recorded_fingerprint
from caslie_model.adapters.model_kind import ModelKind, model_kind
from caslie_model.adapters.trained import load_to_answer, peft_weights
from caslie_model.backbones.language_model import BaseModel, is_base_model_name, load_base_model
from caslie_model.config.evaluation import PredictConfig
from caslie_model.config.files import CONFIG, MODEL_CONFIG, PEFT_CONFIG, adapter_weights
from caslie_model.config.presets import built_in_presets, load_config, load_finetune_config, read_preset
from caslie_model.config.training import AlignConfig, FinetuneConfig, VisionSettings
from caslie_model.errors import ConfigError, ModelError
from caslie_model.hub.download import adapter_folder
from caslie_model.prompts.encoder import PromptFormat
from caslie_model.prompts.templates import PROMPTS_FOLDER, packaged_templates, read_templates
from caslie_model.runtime.console import say
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


def load_for_evaluation(config: PredictConfig, kind: ModelKind | None = None) -> LoadedModel:
    """Load the adapter, merged model or language model `config.model`, or with base_only an adapter's base model.

    Args:
        config: The settings of the evaluation.
        kind: What `model_kind` says of the model, where it was asked before.

    Returns:
        The model with its prompt format.

    Raises:
        ModelError: If there is no such model, it is not finished or an alignment, or its base model is another one.
        ConfigError: If its saved config or the preset is not valid, or `config.base` goes with no adapter.
    """
    device = choose_device(config.device, config.precision)
    if not config.base_only and (kind or model_kind(config.model)) != "trained":
        return _bare_model(config, device)
    folder = Path(config.model) if config.base_only else adapter_folder(config.model)
    is_whole = (folder / MODEL_CONFIG).is_file()
    if config.base_only and (is_whole or not (folder / CONFIG).is_file()):
        return _bare_model(config, device)
    if not (folder / CONFIG).is_file():
        return _adapter_of_peft(config, folder, device)
    trained = read_training_config(folder)
    if config.captions is None and trained.captions is not None:
        say(f"{config.model} was trained with captions ({trained.captions}) and is asked without them")
    form = _Form(read_templates(folder / PROMPTS_FOLDER), trained.answers, trained.max_length)
    quantise = config.quantise or trained.quantise
    if is_whole:
        return _merged_model(config, folder, trained, form, device)
    base = load_base_of(folder, trained, device, quantise, config.base, config.any_base)
    if config.base_only:
        return _assemble(base, base.model, form, config)
    weights = adapter_weights(folder)
    if weights is None:
        raise ModelError(f"{folder} holds no finished adapter; finish it with `finetune --resume`")
    model = load_to_answer(base, trained.fusion, folder, any_base=config.any_base)
    loaded = _assemble(base, model, form, config, sha256_file(weights))
    if ends_by_eos(folder):
        loaded = replace(loaded, prompt_format=replace(loaded.prompt_format, ends_by_eos=True))
    if folder != Path(config.model):
        # The folder of a commit in the Hub's cache.
        loaded = replace(loaded, provenance={**loaded.provenance, "adapter_revision": folder.name})
    recorded = recorded_fingerprint(folder)
    if recorded not in (None, base.fingerprint):
        loaded = replace(loaded, provenance={**loaded.provenance, "trained_on_fingerprint": recorded})
    return _with_images(loaded, trained)


def _with_images(loaded: LoadedModel, trained: FinetuneConfig) -> LoadedModel:
    """Return a model with the vision encoder of its training, where it has one."""
    if trained.fusion == "text":
        return loaded
    fusion = loaded.model.config
    tokens = 0 if trained.fusion == "xattn" else fusion.tokens_per_image
    return replace(
        loaded,
        prompt_format=replace(loaded.prompt_format, visual_tokens=tokens),
        provenance={
            **loaded.provenance,
            "fusion": trained.fusion,
            "vision": fusion.vision_fingerprint,
        },
        vision=trained.vision,
    )


def _merged_model(
    config: PredictConfig, folder: Path, trained: FinetuneConfig, form: _Form, device: Device
) -> LoadedModel:
    """Load a folder that `merge` wrote: base model and adapter in one, with the settings of the training."""
    if config.base:
        raise ConfigError(f"{folder} is a merged model, which has no base model: leave out --base")
    if trained.fusion != "text":
        import caslie_model.fusion  # noqa: F401  (its classes are registered)
    whole = load_base_model(str(folder), device, config.quantise or "none")
    return _with_images(_assemble(whole, whole.model, form, config), trained)


def _bare_model(config: PredictConfig, device: Device) -> LoadedModel:
    if config.base:
        raise ConfigError(
            f"--base goes with an adapter, and {config.model} is none: give the base model as --model"
        )
    name, quantise, form = _bare_settings(config.model)
    if _is_fusion_model(Path(name)):
        raise ConfigError(
            f"{name} is a merged image-text model, and --base-only would ask it without its images: leave it out, or "
            "name its base model"
        )
    base = load_base_model(name, device, config.quantise or quantise)
    return _assemble(base, base.model, form, config)


def _is_fusion_model(folder: Path) -> bool:
    try:
        content = json.loads((folder / MODEL_CONFIG).read_text(encoding="utf-8"))
        return bool(content["model_type"] == "caslie")
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return False


def _adapter_of_peft(config: PredictConfig, folder: Path, device: Device) -> LoadedModel:
    """Load an adapter that peft wrote without us: it has no settings of a training, so the defaults hold."""
    if (folder / MODEL_CONFIG).is_file():
        raise ModelError(
            f"{config.model} is a whole model without the settings of its training ({CONFIG}): give --base-only, or of "
            "a merged image-text model the adapter, or merge it again"
        )
    name = _base_of_peft(folder)
    if name is None:
        raise ModelError(
            f"no model '{config.model}': it is not an adapter folder (no {CONFIG}), nor a model folder (no "
            f"{MODEL_CONFIG}), a preset ({', '.join(built_in_presets())}) or user/name on the Hub"
        )
    weights = peft_weights(folder)
    name = config.base or name
    say(
        f"{folder} is peft's own: it does not record the fingerprint of its base model, so {name} is not checked, and "
        "prompts are the packaged ones"
    )
    base = load_base_model(name, device, config.quantise or "none")
    model = load_to_answer(base, "text", folder)
    return _assemble(base, model, _default_form(), config, sha256_file(weights))


def _base_of_peft(folder: Path) -> str | None:
    """Return the base model that peft's adapter names, None for a folder of another kind."""
    try:
        content = json.loads((folder / PEFT_CONFIG).read_text(encoding="utf-8"))
        return str(content["base_model_name_or_path"]) if "peft_type" in content else None
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None


def read_training_config(folder: Path) -> FinetuneConfig:
    """Return the settings of the fine-tuning that made a folder.

    Args:
        folder: An adapter folder, or a merged model.

    Raises:
        ConfigError: If its settings are not valid.
        ModelError: If it is an alignment.
    """
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


def _defaults() -> dict[str, Any]:
    return {key: entry.default for key, entry in FinetuneConfig.model_fields.items()}


def _default_form(settings: Mapping[str, Any] | None = None) -> _Form:
    settings = settings or _defaults()
    return _Form(packaged_templates(), str(settings["answers"]), int(settings["max_length"]))


def _bare_settings(name: str) -> tuple[str, str, _Form]:
    """Return base model, its quantisation and form: those of a preset, or of a base model the defaults."""
    defaults = _defaults()
    is_preset = name in built_in_presets() or name.endswith((".yaml", ".yml"))
    if is_preset:
        defaults |= read_preset(name)
        if not isinstance(defaults.get("base_model"), str):
            raise ConfigError(f"preset '{name}' names no base_model")
        name = defaults["base_model"]
    elif not is_base_model_name(name):
        raise ModelError(
            f"no model '{name}': give an adapter folder, a preset ({', '.join(built_in_presets())}), a model folder or "
            "user/name on the Hub"
        )
    return name, str(defaults["quantise"]), _default_form(defaults)


def _assemble(
    base: BaseModel, model: Any, form: _Form, config: PredictConfig, adapter: str | None = None
) -> LoadedModel:
    """Return a model with its prompt format and provenance. adapter: SHA-256 of the adapter's weights, if any."""
    answers, max_length = config.answers or form.answers, config.max_length or form.max_length
    prompt_format = PromptFormat(base.tokenizer, *form.templates, answers, max_length)
    provenance = {
        "base_model": base.name,
        "base_fingerprint": base.fingerprint,
        **({"revision": base.revision} if base.revision else {}),
        "adapter_sha256": adapter,
        "user_template": form.templates[0],
        "plain_template": form.templates[1],
        "answers": answers,
        "max_length": max_length,
        "precision": base.device.precision,
        **({"quantise": base.quantise} if base.quantise != "none" else {}),
    }
    return LoadedModel(model, base.tokenizer, prompt_format, base.device, provenance)
