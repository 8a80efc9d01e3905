"""Parts of a fusion model: a frozen language model, the features of a frozen vision encoder, and their connector.

Widths and heads left at 0 are derived from the language model (`CaslieConfig.__post_init__`), so a saved config holds
numbers. Small language models get narrow connectors: half their width, at most 512.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from caslie_model.data.images import MAX_ITEMS
from caslie_model.errors import ModelError

FUSIONS = ("xattn", "concat", "concat-full")
FEATURE_NORMS = ("layer", "standard", "none")
# The largest width of resampler and adapters, for any language model.
WIDEST = 512

_COUNTS = (
    "vision_width",
    "vision_patches",
    "latents",
    "resampler_width",
    "resampler_heads",
    "resampler_blocks",
    "adapter_width",
    "adapter_heads",
    "adapter_every",
    "max_items",
    "roles",
)
_LORA_FIELDS = frozenset({"rank", "alpha", "dropout", "target_modules", "modules_to_save"})


class CaslieConfig(PreTrainedConfig):
    """Shapes and choices of a `CaslieForCausalLM`. Names of earlier versions (`attribute_map`) are still read.

    Attributes:
        fusion: xattn, concat or concat-full.
        text_config: The language model's config.
        base_model: Name of the language model.
        base_fingerprint: Changes when its weights do.
        base_quantise: none, 8bit or 4bit: how the weights were loaded for training; any will do later.
        vision_encoder: Name of the vision encoder.
        vision_fingerprint: Changes when its features do.
        vision_width: dv, numbers of a patch.
        vision_patches: P, patches of an image.
        feature_norm: layer, standard (statistics of the training images) or none.
        mean_feature: Add the projected mean of an image's features to each of its latents.
        latents: K, latents of an image.
        resampler_width: Width of the latents; 0: from the language model.
        resampler_heads: Attention heads; 0: from the width.
        resampler_blocks: Number of blocks.
        guide: Instruction and item's title guide the resampler.
        guide_gate_init: Initial gate of the guide.
        adapter_width: Width of the adapters' attention; 0: from the language model.
        adapter_heads: Attention heads; 0: from the width.
        first_adapter_layer: First layer with an adapter in front of it; None: a third of the depth.
        adapter_every: Layers from one adapter to the next.
        gate_init: Initial gate; tanh of it scales an adapter's output. Training starts exactly as the base model: with
            an open gate the output's weights start at 0, with a shut one (0) they are random.
        state_scales: Size of the text's states in front of each adapter, in which the adapter's output is measured;
            None: 1 each. Without it a small model's adapters start at a tenth of what they add to, and learn little
            else than to grow.
        max_items: Largest number of an item.
        roles: Kinds of roles of an image.
        visual_scale: With concat, initial size of a visual token's entries, as the text's are.
        lora: rank, alpha, dropout, target_modules and modules_to_save; None: no LoRA.

    Raises:
        ModelError: If a value or a combination of values means nothing.
    """

    model_type: ClassVar[str] = "caslie"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama")
    }
    # Names in configs of earlier versions.
    attribute_map: ClassVar[dict[str, str]] = {
        "base_identity": "base_fingerprint",
        "vision_identity": "vision_fingerprint",
        "first_layer": "first_adapter_layer",
        "every": "adapter_every",
    }
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values", "media"]

    fusion: str = "xattn"
    text_config: dict[str, Any] | PreTrainedConfig | None = None
    base_model: str = ""
    base_fingerprint: str = ""
    base_quantise: str = "none"
    vision_encoder: str = ""
    vision_fingerprint: str = ""
    vision_width: int = 768
    vision_patches: int = 49
    feature_norm: str = "layer"
    mean_feature: bool = True
    latents: int = 8
    resampler_width: int = 0
    resampler_heads: int = 0
    resampler_blocks: int = 2
    guide: bool = True
    guide_gate_init: float = 0.0
    adapter_width: int = 0
    adapter_heads: int = 0
    first_adapter_layer: int | None = None
    adapter_every: int = 4
    gate_init: float = 1.0
    state_scales: tuple[float, ...] | None = None
    max_items: int = MAX_ITEMS
    roles: int = 4
    visual_scale: float = 0.02
    lora: dict[str, Any] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        # transformers sets a composite's attention kernel on its parts; a loaded model keeps its own.
        if isinstance(self.text_config, PreTrainedConfig):
            for name in ("attn_implementation", "experts_implementation"):
                kwargs[name] = kwargs.get(name) or getattr(self.text_config, f"_{name}", None)
        try:
            super().__post_init__(**kwargs)
        except ValueError as error:
            raise ModelError(f"text_config: {error}") from error
        width = self.hidden_size
        # Whole multiples of 64, so that 8 heads divide it and memory is aligned.
        narrow = min(WIDEST, max(64, width // 2 // 64 * 64))
        for part in ("resampler", "adapter"):
            if not getattr(self, f"{part}_width"):
                setattr(self, f"{part}_width", narrow)
            if not getattr(self, f"{part}_heads"):
                wanted = getattr(self, f"{part}_width")
                setattr(self, f"{part}_heads", 8 if wanted >= 256 else max(1, wanted // 32))
        if self.first_adapter_layer is None:
            self.first_adapter_layer = round(self.depth / 3)
        self._check()

    @classmethod
    def for_base(cls, text_config: PreTrainedConfig, **choices: Any) -> CaslieConfig:
        """Return the config of a connector to a language model.

        The constructor takes any name, as transformers' configs do; this method rejects unknown ones.

        Args:
            text_config: The language model's.
            **choices: Fields of this class.

        Returns:
            The config.

        Raises:
            ModelError: If a choice is misspelt or means nothing.
        """
        choices = {cls.attribute_map.get(name, name): value for name, value in choices.items()}
        unknown = sorted(set(choices) - set(cls._choice_names()))
        if unknown:
            raise ModelError(f"no such setting of a fusion model: {', '.join(unknown)}")
        return cls(text_config=text_config, **choices)

    def choices(self) -> dict[str, Any]:
        """Return the arguments of `for_base` beside the language model's config."""
        return {name: getattr(self, name) for name in self._choice_names()}

    @classmethod
    def _choice_names(cls) -> list[str]:
        fields = {field.name for field in dataclasses.fields(cls)}
        return [name for name in cls.__annotations__ if name in fields and name != "text_config"]

    @property
    def hidden_size(self) -> int:
        """Width of the language model."""
        return int(self.get_text_config().hidden_size)

    @property
    def depth(self) -> int:
        """Number of layers of the language model."""
        return int(self.get_text_config().num_hidden_layers)

    @property
    def adapter_layers(self) -> tuple[int, ...]:
        """Indices of the layers with a cross-attention adapter in front of them; none for concat."""
        if self.fusion != "xattn":
            return ()
        assert self.first_adapter_layer is not None
        return tuple(range(self.first_adapter_layer, self.depth, self.adapter_every))

    @property
    def has_resampler(self) -> bool:
        """Whether an image's features are first reduced to latents."""
        return self.fusion != "concat-full"

    @property
    def tokens_per_image(self) -> int:
        """Latents of an image, or its patches with concat-full: its visual tokens in the text of concat."""
        return self.latents if self.has_resampler else self.vision_patches

    def _check(self) -> None:
        if self.fusion not in FUSIONS:
            raise ModelError(f"fusion '{self.fusion}' is not there; choose from: {', '.join(FUSIONS)}")
        if self.feature_norm not in FEATURE_NORMS:
            raise ModelError(f"feature_norm '{self.feature_norm}' is not one of {', '.join(FEATURE_NORMS)}")
        for name in _COUNTS:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ModelError(f"{name}={value!r} is not a whole number of 1 or more")
        for name in ("gate_init", "guide_gate_init", "visual_scale"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise ModelError(f"{name}={value!r} is not a number")
        for part in ("resampler", "adapter"):
            width, heads = getattr(self, f"{part}_width"), getattr(self, f"{part}_heads")
            if width % heads:
                raise ModelError(f"{part}_width={width} does not divide into {part}_heads={heads}")
        if not isinstance(self.first_adapter_layer, int) or not 0 <= self.first_adapter_layer < self.depth:
            raise ModelError(
                f"first_adapter_layer={self.first_adapter_layer}: the language model has layers 0 to {self.depth - 1}"
            )
        if self.state_scales is not None:
            self.state_scales = tuple(self.state_scales)  # JSON has lists alone
            if len(self.state_scales) != len(self.adapter_layers) or not all(
                isinstance(scale, int | float) and 0 < scale < math.inf for scale in self.state_scales
            ):
                raise ModelError(
                    f"state_scales={self.state_scales}: give a number above 0 for each of the layers "
                    f"{', '.join(map(str, self.adapter_layers)) or '(none)'}"
                )
        if self.lora is not None:
            # Adapters of version 0.1 have no modules_to_save.
            if not isinstance(self.lora, Mapping) or {*self.lora, "modules_to_save"} != _LORA_FIELDS:
                raise ModelError(f"lora={self.lora!r}: give {', '.join(sorted(_LORA_FIELDS))}")
            targets = self.lora["target_modules"]
            # JSON knows no tuples: a saved config must equal itself when read back.
            self.lora = {
                **self.lora,
                "target_modules": targets if isinstance(targets, str) else list(targets),
                "modules_to_save": list(self.lora.get("modules_to_save") or ()),
            }
