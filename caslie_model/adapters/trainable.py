"""The trained parts of a model: LoRA, a fusion connector, or both; create, save and load them."""

from __future__ import annotations

from typing import Any

from caslie_model.backbones.language_model import BaseModel
from caslie_model.backbones.tied_weights import (
    check_targets_not_tied,
    find_modules,
    has_tied_head,
    ties_are_handled,
)
from caslie_model.config.training import TrainingConfig
from caslie_model.errors import ModelError
from caslie_model.hub.public_names import public_name
from caslie_model.runtime.console import say
from caslie_model.runtime.fsdp import whole_tensors
from caslie_model.vision.visual_inputs import VisualInputs
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.files import give_ordinary_permissions


def trainable_model(base: BaseModel, config: TrainingConfig, visual_inputs: VisualInputs | None) -> Any:
    """Return the base model with the parts that the config trains; all else is frozen.

    LoRA of the adapter that `init_from` names is trained where the config trains LoRA, else it is frozen.

    Args:
        base: The base model.
        config: The settings of the training.
        visual_inputs: Images and features for a fusion model, None for text.

    Returns:
        A peft model for text, else a `CaslieForCausalLM`.

    Raises:
        ModelError: If the base model cannot carry the parts, or `init_from` does not fit.
        DatasetError: If there is no image at all.
    """
    if visual_inputs is None:
        return _with_lora(base, config)
    if not any(visual_inputs.images.values()):
        raise DatasetError(
            f"none of the {len(visual_inputs.images)} samples has an image: fusion={config.fusion} has nothing "
            "to learn from; choose other tasks or another dataset, or give fusion=text"
        )
    lora = config.lora.model_dump(mode="json") if config.trains_lora else None
    model = _fusion_model(base, config, visual_inputs, lora)
    check_targets_not_tied(model)
    model.leave_base_out_of_checkpoints()
    return model


def _fusion_model(
    base: BaseModel, config: TrainingConfig, visual_inputs: VisualInputs, lora: dict[str, Any] | None
) -> Any:
    if config.init_from is not None:
        from caslie_model.fusion import load_adapter

        model = load_adapter(
            base.model,
            config.init_from,
            base_fingerprint=base.fingerprint,
            vision_fingerprint=visual_inputs.fingerprint,
            trainable=True,
        )
        model.config.base_quantise = base.quantise
        if lora is not None and model.config.lora is None:
            model.add_lora(**lora)
        elif lora is None and model.config.lora is not None:
            model.freeze_lora()
            if base.model.device.type != "meta":
                say(f"the LoRA of {config.init_from} stays as it is; give --lora to train it too")
        return model
    from caslie_model.fusion import CaslieForCausalLM

    model = CaslieForCausalLM.from_base(
        base.model,
        fusion=config.fusion,
        # Names, not paths: on another machine a relative path could be taken for a repository of the Hub.
        base_model=public_name(config.base_model),
        base_fingerprint=base.fingerprint,
        base_quantise=base.quantise,
        vision_encoder=public_name(visual_inputs.encoder),
        vision_fingerprint=visual_inputs.fingerprint,
        vision_width=visual_inputs.width,
        vision_patches=visual_inputs.patches,
        lora=lora,
        **config.connector.model_dump(),
    )
    if config.connector.feature_norm == "standard" and base.model.device.type != "meta":
        model.set_feature_statistics(*visual_inputs.statistics())
    return model


def trained_groups(model: Any) -> dict[str, list[Any]]:
    """Return the trained parameters by part.

    Args:
        model: As `trainable_model` returns it.

    Returns:
        Parameters by name of the part.
    """
    groups = getattr(model, "parameter_groups", None)
    if groups is not None:
        return {name: found for name, found in groups().items() if found}
    return {"lora": [weight for weight in model.parameters() if weight.requires_grad]}


def visual_tokens(config: TrainingConfig, visual_inputs: VisualInputs | None) -> int:
    """Return the number of visual tokens of an image in the prompt.

    Args:
        config: The settings of the training.
        visual_inputs: Images and features, None for text.

    Returns:
        The number, 0 for text and xattn.

    Raises:
        ModelError: If `init_from` is no fusion adapter.
    """
    if visual_inputs is None or config.fusion == "xattn":
        return 0
    if config.fusion == "concat-full":
        return visual_inputs.patches
    if config.init_from is None:
        return config.connector.latents
    from caslie_model.fusion.adapter_files import read_adapter_config

    # Its shapes hold, whatever the settings leave open.
    latents: int = read_adapter_config(config.init_from)["config"].get("latents", config.connector.latents)
    return latents


def trained_tensors(model: Any, config: TrainingConfig) -> dict[str, Any]:
    """Return every trained tensor by its name. With FSDP they are gathered, and all processes must call.

    Args:
        model: As `trainable_model` returns it.
        config: The settings of the training.

    Returns:
        Tensors by name.
    """
    if config.fusion != "text":
        tensors: dict[str, Any] = model.trained_state_dict()
        return tensors
    # peft asks for tied weights under each of their names.
    named = model.named_parameters(remove_duplicate=False)
    return whole_tensors({name: weight for name, weight in named if weight.requires_grad})


def save_trained(model: Any, config: TrainingConfig, tensors: dict[str, Any], tokenizer: Any) -> None:
    """Write the adapter's shapes and every trained tensor; of a text adapter the tokenizer too.

    peft and transformers open a text adapter: its adapter_config.json names a place that they can load the base model
    from, on this machine or on the Hub.

    Args:
        model: As `trainable_model` returns it.
        config: The settings of the training, with the folder `out`.
        tensors: As `trained_tensors` returns them.
        tokenizer: The base model's.
    """
    if config.fusion != "text":
        model.save_adapter(config.out, tensors)
        return
    tokenizer.save_pretrained(config.out)
    model.save_pretrained(config.out, save_embedding_layers=False, state_dict=tensors)
    give_ordinary_permissions(config.out)


def _with_lora(base: BaseModel, config: TrainingConfig) -> Any:
    from peft import LoraConfig, get_peft_model
    from torch import bfloat16, float16

    model, lora = base.model, config.lora
    whole = find_modules(model, lora.modules_to_save)
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    keeps_tie = has_tied_head(model) and any(
        model.get_submodule(name) is end for name in whole for end in ends
    )
    targets = lora.target_modules
    adapter = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        modules_to_save=whole or None,
        ensure_weight_tying=keeps_tie,
    )
    try:
        with ties_are_handled():
            adapted = get_peft_model(model, adapter)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"LoRA does not fit on {type(model).__name__}: {error}") from error
    # A place that exists: peft reads it when it saves, and would otherwise ask the network.
    adapted.peft_config["default"].base_model_name_or_path = base.location
    check_targets_not_tied(adapted)
    _shorten_targets(adapted)
    if keeps_tie and not has_tied_head(adapted):
        raise ModelError(
            f"lora.modules_to_save: peft does not keep {', '.join(whole)} tied in {type(model).__name__}; leave it out"
        )
    for name, weight in adapted.named_parameters():
        if ".modules_to_save." in name and weight.dtype in (bfloat16, float16):
            # As LoRA: small updates would be rounded away.
            weight.data = weight.data.float()
    return adapted


def _shorten_targets(model: Any) -> None:
    """Let the config of a peft model name its targets by their last parts, where these name the same modules.

    peft resolves all-linear to full names. `AutoModel` has the decoder without its head, where these are others.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    settings = model.peft_config["default"]
    short = {name.rpartition(".")[2] for name in settings.target_modules}
    named = [module for name, module in model.named_modules() if name.rpartition(".")[2] in short]
    if all(isinstance(module, BaseTunerLayer) for module in named):
        settings.target_modules = short
