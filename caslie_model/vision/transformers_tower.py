"""Vision encoders of transformers: CLIP, SigLIP, SigLIP 2, DINOv2, ViT and others that give a grid of patches.

The checkpoint's configuration decides which class is loaded; of a model of images and text only its vision model. Code
that comes with a checkpoint is never run, and weights are read from safetensors only.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caslie_model.errors import ModelError
from caslie_model.hub.errors import loading_errors, not_loaded
from caslie_model.runtime.device import Device
from caslie_model.vision.tower import Tower
from mmecinstruct.core.hashing import fingerprint, sha256_file
from mmecinstruct.core.hub import reading_from_hub

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

_HUB_NAME = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")
# Weights that the patches do not depend on; checkpoints of classifiers lack them.
_NOT_NEEDED = re.compile(r"(^|\.)(pooler|head|mask_token)(\.|$)")


def transformers_tower(name: str, location: str, layer: int | None = None) -> Tower:
    """Return the tower of a checkpoint; of one on the Hub at the commit that is there now.

    Args:
        name: Name of the encoder in errors.
        location: A folder, or user/name on the Hub.
        layer: Index into the hidden states, the embeddings being 0; None: the model's last hidden state.

    Returns:
        The tower.

    Raises:
        ModelError: If there is no such checkpoint, it is no vision model, or it has no image processor.
    """
    from transformers import AutoConfig, AutoImageProcessor

    revision = _revision(name, location)
    source = {"trust_remote_code": False, **({"revision": revision} if revision else {})}
    try:
        with reading_from_hub(location):
            config = AutoConfig.from_pretrained(location, **source)
    except loading_errors() as error:
        raise not_loaded("vision encoder", name, error) from error
    vision = getattr(config, "vision_config", None) or config
    _check_takes_pixels(name, vision)
    try:
        # Pillow always: with torchvision, another machine would give other features.
        with reading_from_hub(location):
            processor = AutoImageProcessor.from_pretrained(location, backend="pil", **source)
    except loading_errors() as error:
        raise ModelError(
            f"vision encoder '{name}' brings no image processor that Pillow can run (preprocessor_config.json): {error}"
        ) from error
    size = _input_size(name, processor, vision)

    def to_inputs(images: list[Image]) -> dict[str, Tensor]:
        # They have their size; the checkpoint's own way would cut off the edges.
        given = processor(images, return_tensors="pt", do_resize=False, do_center_crop=False, do_pad=False)
        return dict(given)

    def load(device: Device) -> Any:
        model = _load(name, location, vision, source, device)

        def grid(inputs: dict[str, Tensor]) -> Tensor:
            if layer is None:
                return to_grid(model(**inputs).last_hidden_state, size, vision, name)
            states = model(**inputs, output_hidden_states=True).hidden_states or ()
            if not -len(states) <= layer < len(states):
                raise ModelError(f"vision encoder '{name}' has no layer {layer}: it has {len(states)}")
            return to_grid(states[layer], size, vision, name)

        return grid

    return Tower(
        weights=f"{location}@{revision}" if revision else _hash_of_files(Path(location)),
        processor=fingerprint(_plain(processor.to_dict())),
        size=size,
        resample=int(processor.resample if processor.resample is not None else 3),
        to_inputs=to_inputs,
        load=load,
    )


def to_grid(hidden: Tensor, size: tuple[int, int], config: Any, name: str) -> Tensor:
    """Return a vision model's hidden state as a grid, without its class tokens.

    Args:
        hidden: [n, tokens, dv], or a grid already.
        size: Width and height of the input in pixels.
        config: The vision model's.
        name: Name of the encoder in errors.

    Returns:
        [n, dv, rows, columns].

    Raises:
        ModelError: If the tokens form no grid.
    """
    if hidden.dim() == 4:
        return hidden
    if hidden.dim() == 3:
        tokens = hidden.shape[1]
        patch = getattr(config, "patch_size", None)
        width, height = (patch, patch) if isinstance(patch, int) else tuple(patch or (1, 1))[::-1]
        rows, columns = size[1] // height, size[0] // width
        # In front of the patches: a class token, DeiT's second one, DINOv2's registers.
        prefixes = {0, 1, 2, 1 + (getattr(config, "num_register_tokens", 0) or 0)}
        if tokens < rows * columns and math.isqrt(tokens) ** 2 == tokens and size[0] == size[1]:
            rows = columns = math.isqrt(tokens)  # a hierarchical model, which merges patches
        prefix = tokens - rows * columns
        if patch is not None and prefix in prefixes:
            patches = hidden[:, prefix:]
            return patches.transpose(1, 2).reshape(hidden.shape[0], -1, rows, columns)
    raise ModelError(
        f"vision encoder '{name}': what it gives for an image of {size[0]}x{size[1]}, {list(hidden.shape[1:])}, is "
        "no grid of patches; use another encoder, such as a SigLIP, CLIP, DINOv2 or ViT checkpoint"
    )


def _revision(name: str, location: str) -> str | None:
    """Return the commit of a checkpoint on the Hub, None for a folder. Features are kept by it, so it must be known."""
    if (Path(location) / "config.json").is_file():
        return None
    if Path(location).exists() or not _HUB_NAME.match(location):
        raise ModelError(
            f"no vision encoder '{name}': give a folder with a config.json, user/name on the Hub, "
            "package:efficientnet_lite0 or random:tiny-vit"
        )
    from transformers.utils.hub import cached_file, extract_commit_hash

    try:
        with reading_from_hub(location):
            commit = extract_commit_hash(cached_file(location, "config.json"), None)
    except (OSError, ValueError) as error:
        raise not_loaded("vision encoder", name, error) from error
    if commit is None:
        raise ModelError(
            f"vision encoder '{name}': the Hub gives no revision; download it and name the folder"
        )
    return str(commit)


def _check_takes_pixels(name: str, config: Any) -> None:
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    model = MODEL_MAPPING.get(type(config), None)
    if getattr(model, "main_input_name", None) != "pixel_values":
        raise ModelError(
            f"'{name}' is no vision encoder: a {config.model_type} model does not turn pixels into patches; name a "
            "SigLIP, CLIP, DINOv2 or ViT checkpoint"
        )


def _input_size(name: str, processor: Any, config: Any) -> tuple[int, int]:
    """Return (width, height) of the pixels that the model was made for."""
    patches = getattr(processor, "max_num_patches", None)
    # SigLIP 2 with any shape: the largest square of so many patches.
    if patches:
        side = math.isqrt(patches) * processor.patch_size
        return side, side
    named = [processor.size, getattr(config, "image_size", None)]
    if getattr(processor, "do_center_crop", False):
        named.insert(0, processor.crop_size)
    for size in named:
        if isinstance(size, int):
            return size, size
        if isinstance(size, list | tuple) and len(size) == 2:
            return int(size[1]), int(size[0])
        entries = {key: value for key, value in dict(size or {}).items() if value}
        if "height" in entries and "width" in entries:
            return int(entries["width"]), int(entries["height"])
        if "shortest_edge" in entries:
            return int(entries["shortest_edge"]), int(entries["shortest_edge"])
    raise ModelError(f"vision encoder '{name}': its image processor names no size")


def _load(name: str, location: str, config: Any, source: dict[str, Any], device: Device) -> Any:
    import torch
    from transformers import AutoModel

    if device.is_meta:
        with torch.device("meta"):
            return AutoModel.from_config(config, dtype=device.dtype).eval()
    try:
        with reading_from_hub(location):
            model, found = AutoModel.from_pretrained(
                location,
                config=config,
                dtype=device.dtype,
                attn_implementation="sdpa" if _has_sdpa(config) else "eager",
                use_safetensors=True,  # never a pickle
                output_loading_info=True,
                **source,
            )
    except loading_errors() as error:
        raise not_loaded("vision encoder", name, error) from error
    missing = sorted(key for key in found["missing_keys"] if not _NOT_NEEDED.search(key))
    if missing or found["mismatched_keys"]:
        # transformers initialises missing weights at random.
        raise ModelError(
            f"vision encoder '{name}': the checkpoint lacks weights of its vision model ({len(missing)}, such as "
            f"{', '.join(missing[:2])}); name the vision model's own checkpoint"
        )
    return model.requires_grad_(False).eval().to(device.name)


def _has_sdpa(config: Any) -> bool:
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    return bool(getattr(MODEL_MAPPING[type(config)], "_supports_sdpa", False))


def _hash_of_files(folder: Path) -> str:
    files = sorted(folder.glob("*.safetensors"))
    return fingerprint({file.name: sha256_file(file) for file in [*files, folder / "config.json"]})


def _plain(value: Any) -> Any:
    """Return a processor's settings as JSON values."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
