"""A causal language model with images: frozen weights, a trained connector, transformers' own interface.

The adapters are forward pre-hooks on the decoder's layers. The language model's modules and the names of its weights
stay as they are, so LoRA, quantisation and FSDP work as on any model.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.utils import can_return_tuple

from caslie_model.backbones.quantisation import is_quantised, sparing
from caslie_model.errors import ModelError
from caslie_model.fusion.config import CaslieConfig
from caslie_model.fusion.cross_attention import GatedCrossAttention
from caslie_model.fusion.generation import CaslieGenerationMixin
from caslie_model.fusion.init_weights import initialise
from caslie_model.fusion.inputs import check_images, check_slots, check_tokens
from caslie_model.fusion.language_model import (
    LanguageModelAccess,
    check_base,
    decoder_layers,
    embedding_scale,
    state_scales,
)
from caslie_model.fusion.lora import inject_lora
from caslie_model.fusion.loss import check_prompts_unlabelled, head_positions, loss_positions
from caslie_model.fusion.media import Media, row_slots, splice, spread
from caslie_model.fusion.projector import Projector
from caslie_model.fusion.resampler import GuidedResampler
from caslie_model.fusion.trained_weights import TrainedWeights
from caslie_model.hub.push_to_hub import push


@dataclass
class CaslieOutput(CausalLMOutputWithPast):
    """The output of any causal language model, with `media` for the next forward pass beside `past_key_values`."""

    media: Media | None = None


class CaslieForCausalLM(LanguageModelAccess, TrainedWeights, PreTrainedModel, CaslieGenerationMixin):
    """A frozen language model with a resampler and cross-attention (xattn) or visual tokens (concat).

    Args:
        config: Shapes and choices.
        language_model: The loaded model to connect to. Without it, one is built from `config.text_config` for
            `from_pretrained` to fill. Its weights are frozen; those of `config.lora` are not.
    """

    config_class = CaslieConfig
    base_model_prefix = "language_model"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _tied_weights_keys: ClassVar[dict[str, str]] = {}  # `post_init` adds the language model's

    def __init__(self, config: CaslieConfig, language_model: Any = None) -> None:
        super().__init__(config)
        if language_model is None:
            language_model = AutoModelForCausalLM.from_config(config.get_text_config())
        self.language_model = language_model
        layers = decoder_layers(language_model)
        if config.lora is not None:
            inject_lora(language_model, config.lora)
        self.freeze_base()
        self.resampler = GuidedResampler(config) if config.has_resampler else None
        scales = config.state_scales or (1.0,) * len(config.adapter_layers)
        self.adapters = nn.ModuleDict(
            {
                str(layer): GatedCrossAttention(config, scale)
                for layer, scale in zip(config.adapter_layers, scales, strict=True)
            }
        )
        self.projector = None if config.fusion == "xattn" else Projector(config)
        for index, layer in enumerate(config.adapter_layers):
            # A bound method, not a closure: a copied model must call its own adapters.
            layers[layer].register_forward_pre_hook(partial(self._before_layer, index), with_kwargs=True)
        # Media and visibility of the running forward pass.
        self._now: tuple[Media, Tensor] | None = None
        parameters = inspect.signature(language_model.forward).parameters
        self._head_can_be_partial = "logits_to_keep" in parameters
        is_loaded = language_model.device.type != "meta"  # else `from_pretrained` will fill it
        if is_loaded:
            for module in language_model.modules():
                # Otherwise `post_init` would initialise its weights again.
                module._is_hf_initialized = True
        self.post_init()
        if is_loaded:
            for part in self._own_parts():  # float32 also beside a 16-bit language model
                part.to(language_model.device)
        self.generation_config = language_model.generation_config
        # Otherwise the Trainer would move its weights, and `to` change their type.
        if is_quantised(language_model):
            self.quantization_method = language_model.quantization_method

    @classmethod
    def from_base(
        cls, language_model: Any, config: CaslieConfig | None = None, **choices: Any
    ) -> CaslieForCausalLM:
        """Return a fusion model on a loaded language model.

        Args:
            language_model: The model to connect to.
            config: Shapes and choices; None: made from `choices`.
            **choices: Fields of `CaslieConfig`.

        Returns:
            The model.

        Raises:
            ModelError: If the language model cannot carry adapters, or a choice means nothing.
        """
        if config is None:
            # It reads the weights, which shapes alone do not have.
            if "visual_scale" not in choices and language_model.device.type != "meta":
                choices["visual_scale"] = embedding_scale(language_model)
            config = CaslieConfig.for_base(language_model.config, **choices)
            if config.adapter_layers and config.state_scales is None and language_model.device.type != "meta":
                choices["state_scales"] = state_scales(language_model, config.adapter_layers)
                config = CaslieConfig.for_base(language_model.config, **choices)
        check_base(config, language_model)
        return cls(config, language_model)

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Load a folder with all weights, as with any transformers model.

        A quantization_config of bitsandbytes applies to the language model only.

        Args:
            *args: As transformers takes them.
            **kwargs: As transformers takes them.

        Returns:
            The model, as transformers' own method returns it.
        """
        if kwargs.get("quantization_config") is not None:
            parts = ("resampler", "adapters", "projector")
            kwargs["quantization_config"] = sparing(kwargs["quantization_config"], parts)
        loaded = super().from_pretrained(*args, **kwargs)
        # Loading replaces parameters, and the new ones would all be trained.
        (loaded[0] if isinstance(loaded, tuple) else loaded).freeze_base()
        return loaded

    def push_to_hub(self, repo_id: str, *, adapter_only: bool = False, **options: Any) -> str:
        """Upload the whole model, which `from_pretrained` reads, or the adapter, which `load_adapter` reads.

        A card is added unless the repository has one.

        Args:
            repo_id: The model repository, as user/name.
            adapter_only: Upload the adapter without its base model.
            **options: commit_message, private, token, revision, max_shard_size and tags
                (`caslie_model.hub.push_to_hub`).

        Returns:
            The URL of the commit, or of the repository when nothing changed.

        Raises:
            HubError: If the Hub rejects it; the message has the remedy.
            ModelError: If the base model is left out of saving, or is quantised.
        """
        if not adapter_only:
            self.check_saved_whole()
        return push(self, repo_id, adapter_only, **options)

    # -- modules and weights -------------------------------------------------------------------------------

    def enable_input_require_grads(self) -> None:
        """Do nothing: checkpoints are non-reentrant, so the adapters get gradients without the embeddings'.

        With them, every layer below the first adapter would be kept and computed again for nothing.
        """

    def _set_gradient_checkpointing(
        self, enable: bool = True, gradient_checkpointing_func: Any = None, **kwargs: Any
    ) -> None:
        if enable:
            options = getattr(gradient_checkpointing_func, "keywords", None) or {}
            if options.get("use_reentrant", False):
                raise ModelError(
                    "checkpointing must be non-reentrant, or nothing is learned behind frozen layers: give "
                    "gradient_checkpointing_kwargs={'use_reentrant': False}"
                )
            kwargs["gradient_checkpointing_func"] = gradient_checkpointing_func
        super()._set_gradient_checkpointing(enable=enable, **kwargs)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        initialise(module, self.config)

    # -- media ---------------------------------------------------------------------------------------------

    def encode_media(
        self,
        image_features: Tensor,
        image_counts: Tensor,
        image_items: Tensor | None = None,
        image_roles: Tensor | None = None,
        guide_ids: Tensor | None = None,
        guide_mask: Tensor | None = None,
        image_groups: Tensor | None = None,
    ) -> Media:
        """Compute the images of a batch as its text attends to them.

        Args:
            image_features: The M images of all samples one after the other [M, P, dv].
            image_counts: Images of each sample [B].
            image_items: Item of each image [M]; default 0.
            image_roles: Role of each image [M]; default 0.
            guide_ids: Tokens of the prompt that guide the resampler, never of the answer [M, G].
            guide_mask: Which of them are no padding [M, G].
            image_groups: Of packed samples [M].

        Returns:
            The media, one row per sample.

        Raises:
            ModelError: If shapes or numbers do not fit.
        """
        check_images(self.config, image_features, image_items, image_roles, guide_ids, guide_mask)
        images = image_features.shape[0]
        # Without any image in a batch, an empty slot keeps the loss connected to the trained weights.
        at_least = int(self.training and torch.is_grad_enabled())
        slots, present = row_slots(image_counts, images, at_least)
        if image_items is None:
            image_items = slots.new_zeros(images)
        if image_roles is None:
            image_roles = slots.new_zeros(images)
        states = image_features
        if self.resampler is not None:
            guide = None
            if self._is_guided:
                with torch.no_grad():
                    guide = self.get_input_embeddings()(guide_ids)
            mask = None if guide_mask is None else guide_mask.bool()
            states = self.resampler(image_features, image_items, image_roles, guide, mask)
        keys_values: tuple[Tensor, ...] = ()
        tokens = None
        if self.projector is not None:
            tokens = spread(self.projector(states), slots).flatten(1, 2)
        else:
            # [B, N, 2, heads, K, d_head] -> [B, 2, heads, N·K, d_head]
            keys_values = tuple(
                spread(adapter.keys_values(states), slots).permute(0, 2, 3, 1, 4, 5).flatten(3, 4)
                for adapter in self.adapters.values()
            )
        groups = None if image_groups is None else spread(image_groups, slots)
        return Media(spread(image_items, slots), present, keys_values, tokens, groups)

    # -- forward -------------------------------------------------------------------------------------------

    def _before_layer(
        self, index: int, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Add the output of attention to the images to the text's states, in front of a layer."""
        if self._now is None:
            return None
        media, visible = self._now
        adapter = self.adapters[str(self.config.adapter_layers[index])]
        if args:
            hidden = self._adapted(adapter, args[0], media.keys_values[index], visible)
            return (hidden, *args[1:]), kwargs
        hidden = self._adapted(adapter, kwargs["hidden_states"], media.keys_values[index], visible)
        return args, {**kwargs, "hidden_states": hidden}

    @staticmethod
    def _adapted(adapter: nn.Module, hidden: Tensor, keys_values: Tensor, visible: Tensor) -> Tensor:
        if hidden.dim() != 3:
            raise ModelError(f"a decoder layer takes states of shape {list(hidden.shape)}, not [B, T, d]")
        return adapter(hidden, keys_values, visible)

    @contextmanager
    def _with_media(self, media: Media | None, visible: Tensor | None) -> Iterator[None]:
        self._now = None if media is None or visible is None else (media, visible)
        try:
            yield
        finally:
            self._now = None

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        num_items_in_batch: Tensor | int | None = None,
        image_features: Tensor | None = None,
        image_counts: Tensor | None = None,
        image_items: Tensor | None = None,
        image_roles: Tensor | None = None,
        image_groups: Tensor | None = None,
        guide_ids: Tensor | None = None,
        guide_mask: Tensor | None = None,
        token_items: Tensor | None = None,
        token_groups: Tensor | None = None,
        token_slots: Tensor | None = None,
        media: Media | None = None,
        **kwargs: Any,
    ) -> CaslieOutput:
        """Return logits, and with labels the loss on the token after each position.

        While training, logits are computed for labelled positions only. The inputs of images are those of
        `encode_media`, or `media` from an earlier pass; the others are those of any causal language model.

        Args:
            input_ids: [B, T].
            attention_mask: [B, T].
            position_ids: [B, T].
            past_key_values: The cache of earlier positions.
            inputs_embeds: [B, T, d], instead of input_ids.
            labels: [B, T], or [B, L] for the last L positions: then logits are computed for these only.
            use_cache: Return a cache.
            logits_to_keep: Number of last positions, or their indices.
            num_items_in_batch: Labelled tokens of a step, by which the loss is divided.
            image_features: [M, P, dv].
            image_counts: [B].
            image_items: [M].
            image_roles: [M].
            image_groups: [M].
            guide_ids: [M, G].
            guide_mask: [M, G].
            token_items: As for `Media.visible` [B, T].
            token_groups: Of packed samples [B, T].
            token_slots: With concat, index of the visual token at each position, -1 for text [B, T].
            media: From an earlier pass.
            **kwargs: For the language model.

        Returns:
            Logits [B, T or fewer, vocabulary], the loss, the cache and media.

        Raises:
            ModelError: If inputs do not fit together.
        """
        states = input_ids if input_ids is not None else inputs_embeds
        if states is None:
            raise ModelError("give input_ids or inputs_embeds")
        batch, length = states.shape[:2]
        if media is None and image_features is not None:
            if image_counts is None or image_counts.shape != (batch,):
                raise ModelError(f"give image_counts of shape [{batch}] beside image_features")
            media = self.encode_media(
                image_features, image_counts, image_items, image_roles, guide_ids, guide_mask, image_groups
            )
        if media is not None and len(media) != batch:
            raise ModelError(
                f"media of {len(media)} samples for a batch of {batch}; select them with .rows()"
            )
        check_tokens(
            (batch, length), token_items=token_items, token_groups=token_groups, token_slots=token_slots
        )
        if labels is not None and (labels.shape[0] != batch or labels.shape[1] > length):
            raise ModelError(f"labels of shape {list(labels.shape)} for tokens of shape {[batch, length]}")
        if self.training and labels is not None and media is not None and self._is_guided:
            check_prompts_unlabelled(labels, attention_mask, length)

        visible = None
        if media is not None and media.present.shape[1]:
            if self.projector is None:
                visible = media.visible(length, token_items, token_groups)
            else:
                started = past_key_values is not None and past_key_values.get_seq_length() > 0
                inputs_embeds = self._spliced(input_ids, inputs_embeds, media, token_slots, started)
                input_ids = None if inputs_embeds is not None else input_ids

        keep, targets = loss_positions(labels, logits_to_keep, length, self.training)
        if use_cache is None and labels is not None:
            # Training and measuring a loss keep no keys and values.
            use_cache = False
        if self._head_can_be_partial:
            kwargs["logits_to_keep"] = head_positions(keep, length, states.device)
        for name, value in (
            ("input_ids", input_ids),
            ("attention_mask", attention_mask),
            ("position_ids", position_ids),
            ("past_key_values", past_key_values),
            ("inputs_embeds", inputs_embeds),
            ("use_cache", use_cache),
        ):
            if value is not None:
                kwargs[name] = value
        with self._with_media(media, visible):
            output = self.language_model(**kwargs)
        logits = output.logits
        if not self._head_can_be_partial:
            logits = logits[:, slice(-keep, None) if isinstance(keep, int) else keep]
        loss = None
        if targets is not None:
            loss = self.loss_function(
                logits=logits,
                labels=None,
                vocab_size=logits.shape[-1],
                num_items_in_batch=num_items_in_batch,
                shift_labels=targets,
            )
        return CaslieOutput(
            loss=loss,
            logits=logits,
            past_key_values=output.past_key_values,
            hidden_states=output.hidden_states,
            attentions=output.attentions,
            media=None if self.training else media,
        )

    def _spliced(
        self,
        input_ids: Tensor | None,
        inputs_embeds: Tensor | None,
        media: Media,
        token_slots: Tensor | None,
        started: bool,
    ) -> Tensor | None:
        """Return embeddings with visual tokens in them, or None where there are none to put in."""
        assert media.tokens is not None
        if token_slots is None:
            images = bool(media.present.any())
            if images and not started:
                raise ModelError(f"fusion={self.config.fusion} needs token_slots: positions of visual tokens")
            if started or not self.training:
                return inputs_embeds
        elif not started:
            check_slots(self.config, token_slots, media.present.sum(dim=1))
        elif bool((token_slots < 0).all()):
            return inputs_embeds
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
        if token_slots is None:
            token_slots = torch.full(inputs_embeds.shape[:2], -1, device=inputs_embeds.device)
        return splice(inputs_embeds, media.tokens, token_slots)
