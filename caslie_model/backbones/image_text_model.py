"""Image-text-to-text models of transformers: loaded with a processor that needs neither torchvision nor remote code.

A processor joins an image processor and a tokenizer. Those of many families also want a video processor, which needs
torchvision: here image processor and tokenizer are loaded apart and joined without it. Images are always prepared by
Pillow, so that features are the same on a machine with torchvision and on one without.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from caslie_model.backbones.language_model import (
    answer_greedily,
    check_ends,
    check_weights,
    fingerprint_of_files,
    locate,
    name_in_config,
    snapshot_of,
)
from caslie_model.backbones.quantisation import is_quantised, quantised_loading
from caslie_model.errors import ModelError
from caslie_model.hub.errors import loading_errors, not_loaded
from caslie_model.prompts.chat import end_token, rendered_turns
from caslie_model.prompts.message import control_texts
from caslie_model.runtime.device import CPU, Device
from mmecinstruct.core.hashing import fingerprint
from mmecinstruct.core.hub import reading_from_hub

# Model types whose batches, positions and shared prompts are tested against one plain pass.
TESTED_FAMILIES = (
    "gemma3",
    "idefics3",
    "internvl",
    "llava",
    "llava_next",
    "llava_onevision",
    "qwen2_5_vl",
    "qwen2_vl",
    "qwen3_vl",
    "smolvlm",
)
# Of letters that no template writes.
_FIRST, _SECOND = "XZJ", "QZX"
# SmolVLM writes images as Idefics 3 does; its own processor asks for a package that spells numbers of video frames.
_SAME_AS = {"SmolVLMProcessor": "Idefics3Processor"}


@dataclass(frozen=True)
class ImageTextModel:
    """An image-text-to-text model in evaluation mode, with its processor.

    Attributes:
        name: As it was asked for.
        model: The `transformers.PreTrainedModel`.
        processor: The `transformers.ProcessorMixin`, which pads on the left.
        chat_template: How it writes turns of texts and images.
        image_place: What stands for an image inside a text; None where the chat template writes it in its place.
        control_texts: Texts of its control tokens and of its places for images, which no text of a dataset may hold.
        end: Id of the token that ends an answer.
        fingerprint: Changes when the files of weights, tokenizer or chat template do, or the image processor.
        revision: Commit on the Hub; None for a folder.
        device: Where the model is, and its precision.
        quantise: none, 8bit or 4bit: how the weights were loaded.
    """

    name: str
    model: Any
    processor: Any
    chat_template: str
    image_place: str | None
    control_texts: tuple[str, ...]
    end: int
    fingerprint: str
    revision: str | None
    device: Device
    quantise: str = "none"

    @property
    def tokenizer(self) -> Any:
        """The processor's `transformers.PreTrainedTokenizerBase`."""
        return self.processor.tokenizer

    @property
    def family(self) -> str:
        """The type of the model, as transformers names it."""
        return str(self.model.config.model_type)

    @property
    def is_tested(self) -> bool:
        """Whether padding and shared prompts are tested for its family."""
        return self.family in TESTED_FAMILIES


def load_image_text_model(name: str, device: Device = CPU, quantise: str = "none") -> ImageTextModel:
    """Load an image-text-to-text model and its processor. Code that comes with a model is never run.

    Args:
        name: user/name on the Hub, or a folder.
        device: Where to load it, and in which precision.
        quantise: none, 8bit or 4bit.

    Returns:
        The model in evaluation mode.

    Raises:
        ModelError: If it cannot be found or read, takes no images, or has no chat template.
        ConfigError: If quantising is not possible here.
    """
    from transformers import AutoConfig, AutoModelForImageTextToText

    what = f"image-text model '{name}'"
    loading = quantised_loading(quantise, device)
    location = locate(name)
    try:
        with reading_from_hub(location):
            snapshot, revision = snapshot_of(location)
            source = {"trust_remote_code": False, **({"revision": revision} if revision else {})}
            config = AutoConfig.from_pretrained(location, **source)
            processor = _load_processor(location, config, source)
            # never a pickle
            model, found = AutoModelForImageTextToText.from_pretrained(
                location,
                dtype=device.dtype,
                use_safetensors=True,
                output_loading_info=True,
                **source,
                **loading,
            )
            check_weights(what, found)
    except loading_errors() as error:
        raise not_loaded("image-text model", name, error) from error
    tokenizer = processor.tokenizer
    check_ends(tokenizer, what)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    template = _chat_template(what, processor)
    end = end_token(tokenizer, template)
    answer_greedily(model, tokenizer, end)
    model.eval()
    name_in_config(model, name, location)
    # A quantised model is on its device already, or is not to be moved.
    if not loading and not is_quantised(model):
        model.to(device.name)
    of_files = fingerprint_of_files(location, snapshot)
    return ImageTextModel(
        name,
        model,
        processor,
        template,
        image_place(tokenizer, template),
        _control_texts(processor),
        end,
        fingerprint([of_files, _settings(processor), template]),
        revision,
        device,
        quantise,
    )


def image_place(tokenizer: Any, template: str) -> str | None:
    """Return what a chat template writes for an image, if it moves the images of a turn before its texts, as LLaVA's.

    Args:
        tokenizer: Its special tokens are variables of the template.
        template: The chat template.

    Returns:
        The text, to be put into the texts of a turn; None where images stay in their places.
    """

    def written(*parts: str | None) -> str:
        content = [{"type": "image"} if part is None else {"type": "text", "text": part} for part in parts]
        return rendered_turns(tokenizer, [{"role": "user", "content": content}], True, template)

    try:
        between = written(_FIRST, None, _SECOND).partition(_FIRST)[2].partition(_SECOND)[0]
        without, shown = written(_FIRST), written(None, _FIRST)
    except ModelError:
        # The first prompt says what is wrong.
        return None
    if between.strip() or len(shown) <= len(without):
        return None
    start = next((i for i, letter in enumerate(without) if shown[i] != letter), len(without))
    inserted = shown[start : start + len(shown) - len(without)]
    return inserted if shown[:start] + shown[start + len(inserted) :] == without else None


def _load_processor(location: str, config: Any, source: dict[str, Any]) -> Any:
    from transformers import AutoImageProcessor, AutoTokenizer, ProcessorMixin

    pinned = {key: value for key, value in source.items() if key == "revision"}
    settings, _ = ProcessorMixin.get_processor_dict(location, **pinned)
    image_processor = AutoImageProcessor.from_pretrained(location, backend="pil", **source)
    tokenizer = AutoTokenizer.from_pretrained(location, **source)
    named = settings.get("processor_class") or _named_beside(location, pinned)
    kind = _processor_class(str(config.model_type), named)
    parts = {"image_processor": image_processor, "tokenizer": tokenizer}
    args = [parts.get(each) for each in kind.get_attributes()]
    return kind.from_args_and_dict(args, settings)


def _named_beside(location: str, pinned: dict[str, Any]) -> str | None:
    """Return the processor that the settings of an image processor name: older checkpoints have no other place."""
    from transformers.image_processing_base import ImageProcessingMixin

    settings, _ = ImageProcessingMixin.get_image_processor_dict(location, **pinned)
    return settings.get("processor_class")


def _processor_class(model_type: str, named: str | None) -> Any:
    """Return a processor's class, which takes None for a video processor."""
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES, processor_class_from_name

    name = named or PROCESSOR_MAPPING_NAMES.get(model_type)
    if isinstance(name, list | tuple):
        name = name[0]
    found = processor_class_from_name(_SAME_AS.get(str(name), str(name))) if name else None
    if found is None or not hasattr(found, "get_attributes"):
        raise ValueError(
            f"transformers has no processor {name or f'of {model_type} models'} that works without code of the model"
        )
    strange = [
        each
        for each in found.get_attributes()
        if each not in ("image_processor", "tokenizer", "video_processor")
    ]
    if strange:
        raise ValueError(f"its processor wants more than images and text: {', '.join(strange)}")

    class WithoutVideo(found):  # type: ignore[misc, valid-type]
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            if argument is None and argument_name == "video_processor":
                return None
            return super().check_argument_for_proper_class(argument_name, argument)

    return WithoutVideo


def _chat_template(what: str, processor: Any) -> str:
    template = processor.chat_template or processor.tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    if not isinstance(template, str) or not template:
        raise ModelError(
            f"{what} has no chat template, which says where images stand: put one beside it as chat_template.jinja, "
            "or name its instruction-tuned version"
        )
    return template


def _settings(processor: Any) -> str:
    """Return what decides how a processor prepares images."""
    own = {key: value for key, value in vars(processor).items() if isinstance(value, str | int | float)}
    return json.dumps([processor.image_processor.to_dict(), own], sort_keys=True, default=str)


def _control_texts(processor: Any) -> tuple[str, ...]:
    named = {
        value
        for key, value in vars(processor).items()
        if key.endswith(("_token", "_tag")) and isinstance(value, str) and len(value) > 1
    }
    texts = named | set(control_texts(processor.tokenizer))
    return tuple(sorted(texts, key=lambda text: (-len(text), text)))
