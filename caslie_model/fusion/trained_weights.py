"""The trained weights of a fusion model: find, group, freeze and save them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from caslie_model.backbones.quantisation import is_quantised
from caslie_model.errors import ModelError
from caslie_model.fusion.adapter_files import save_adapter
from caslie_model.fusion.lora import inject_lora, is_lora, merge_lora, whole_weights
from caslie_model.fusion.resampler import FeatureNorm
from caslie_model.runtime.fsdp import whole, whole_tensors

# Prefix of the base model's tensors.
LANGUAGE_MODEL = "language_model."


class TrainedWeights:
    """The methods of `CaslieForCausalLM` that concern its weights."""

    # Attributes of the model that this is a part of.
    config: Any
    language_model: Any
    resampler: Any
    adapters: Any
    projector: Any
    state_dict: Any
    modules: Any
    named_parameters: Any
    _keys_to_ignore_on_save: Any

    @property
    def _is_guided(self) -> bool:
        return self.resampler is not None and self.config.guide

    def freeze_base(self) -> None:
        """Freeze the language model, except its LoRA and the modules that are trained whole."""
        whole = whole_weights(self.language_model, self.config.lora)
        for name, weight in self.language_model.named_parameters():
            weight.requires_grad_(is_lora(name) or name in whole)

    def _own_parts(self) -> list[nn.Module]:
        return [part for part in (self.resampler, self.adapters, self.projector) if part is not None]

    def add_lora(
        self, rank: int, alpha: int, dropout: float, target_modules: Any, modules_to_save: Sequence[str] = ()
    ) -> None:
        """Put trained low-rank adapters into the language model.

        Args:
            rank: Of the adapters.
            alpha: Their scale times rank.
            dropout: Share of dropped inputs.
            target_modules: all-linear, or names of modules.
            modules_to_save: Modules that are trained whole.

        Raises:
            ModelError: If they do not fit, or there are some already.
        """
        if self.config.lora is not None:
            raise ModelError("this model has LoRA already")
        settings = {"rank": rank, "alpha": alpha, "dropout": dropout}
        targets = target_modules if isinstance(target_modules, str) else list(target_modules)
        lora = {**settings, "target_modules": targets, "modules_to_save": list(modules_to_save)}
        inject_lora(self.language_model, lora)
        self.config.lora = lora
        self.freeze_base()

    def freeze_lora(self) -> None:
        """Freeze LoRA and modules trained whole while the connector is trained: no gradient and no dropout."""
        for name, module in self.language_model.named_modules():
            if ".lora_dropout." in f".{name}." and isinstance(module, nn.Dropout):
                module.p = 0.0
        self.language_model.requires_grad_(False)

    def merge_lora(self) -> None:
        """Add LoRA to the language model's weights, so that it costs nothing in inference.

        Raises:
            ModelError: If these are quantised, or tied to those of another layer.
        """
        if self.config.lora is not None:
            merge_lora(self.language_model)
            self.config.lora = None

    def set_feature_statistics(self, mean: Tensor, deviation: Tensor) -> None:
        """Set the statistics of feature_norm=standard.

        Args:
            mean: Mean of the training images' features [dv].
            deviation: Their standard deviation [dv].

        Raises:
            ModelError: If the model has another feature_norm or width.
        """
        norms = [module for module in self.modules() if isinstance(module, FeatureNorm)]
        if self.config.feature_norm != "standard" or mean.shape != (self.config.vision_width,):
            raise ModelError(
                f"feature statistics are for feature_norm=standard and {self.config.vision_width} channels, not "
                f"for feature_norm={self.config.feature_norm} and {tuple(mean.shape)}"
            )
        for norm in norms:
            norm.set_statistics(mean, deviation)

    def trained_state_dict(self) -> dict[str, Tensor]:
        """Return every tensor that is not the base model's, by its name in the model.

        With FSDP they are gathered, and all processes must call.
        """
        ours = self._own_names()
        return whole_tensors({name: tensor for name, tensor in self.state_dict().items() if name in ours})

    def _own_names(self) -> set[str]:
        """Return the names of all tensors but the base model's."""
        whole = {LANGUAGE_MODEL + name for name in whole_weights(self.language_model, self.config.lora)}
        return whole | {
            name for name in self.state_dict() if not name.startswith(LANGUAGE_MODEL) or is_lora(name)
        }

    def save_adapter(self, folder: str | Path, tensors: dict[str, Tensor] | None = None) -> None:
        """Write the adapter folder (`caslie_model.fusion.adapter_files`), which `load_adapter` reads.

        Args:
            folder: Where to write; created if need be.
            tensors: Those of `trained_state_dict`, where it cannot be called here.
        """
        save_adapter(self.config, self.trained_state_dict() if tensors is None else tensors, folder)

    def set_own_dtype(self, dtype: torch.dtype) -> None:
        """Set the type of all that is trained but LoRA; norms still compute in float32."""
        for part in self._own_parts():
            part.to(dtype)
        whole = whole_weights(self.language_model, self.config.lora)
        for name, weight in self.language_model.named_parameters():
            if name in whole:
                weight.data = weight.data.to(dtype)

    def leave_base_out_of_checkpoints(self, leave: bool = True) -> None:
        """Let `save_pretrained`, and so the Trainer's checkpoints, save the trained part only.

        Such a folder resumes a training; `from_pretrained` needs one with all weights.

        Args:
            leave: False: save all weights again.
        """
        self._keys_to_ignore_on_save = set(self.state_dict()) - self._own_names() if leave else set()

    def check_saved_whole(self) -> None:
        """Check that `save_pretrained` saves a model that `from_pretrained` reads.

        Raises:
            ModelError: If the base model is left out of saving, or is quantised.
        """
        if self._keys_to_ignore_on_save:
            raise ModelError(
                "the base model is left out of what this model saves: push the adapter (adapter_only=True), or call "
                "leave_base_out_of_checkpoints(False) before"
            )
        if is_quantised(self.language_model):
            raise ModelError(
                "its base model is quantised, and a whole model of quantised weights is not read back: push the "
                "adapter (adapter_only=True), or load the base model with quantise=none"
            )

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the trained parameters under gates, resampler, adapters (with the projector) and lora."""
        groups: dict[str, list[nn.Parameter]] = {"gates": [], "resampler": [], "adapters": [], "lora": []}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                groups[_group(name)].append(parameter)
        return groups

    def gates(self) -> dict[int, float]:
        """Return tanh(gate) of the adapter in front of each layer, 0 for a shut one. Empty for concat."""
        gates = {int(layer): whole(each.gate.detach()) for layer, each in self.adapters.items()}
        return {layer: float(torch.tanh(gate)) for layer, gate in gates.items()}

    def guide_gates(self) -> list[float]:
        """Return tanh(gate) of the text guidance in each block of the resampler."""
        if self.resampler is None or not self._is_guided:
            return []
        return [float(torch.tanh(whole(block.guide_gate.detach()))) for block in self.resampler.blocks]


def _group(name: str) -> str:
    if name.startswith(LANGUAGE_MODEL):
        return "lora"
    if name.endswith(("gate", "guide_gate")):
        return "gates"
    return "resampler" if name.startswith("resampler.") else "adapters"
