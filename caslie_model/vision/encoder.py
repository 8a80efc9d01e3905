"""The frozen vision encoder: images to patch features, the same wherever its weights come from.

An encoder is named by

* `user/name`: a vision model, or a model of images and text, on the Hub,
* a folder in the format of `save_pretrained`,
* `package:efficientnet_lite0`: ImageNet weights from an installed Python package, for work without the Hub,
* `random:tiny-vit`: two layers of random weights, to try things out without any download.

Images are never cropped: they are scaled until they fit and padded with white. The grid of patches is averaged to
7x7 by default, class and register tokens are left out.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caslie_model.errors import ModelError
from caslie_model.runtime.device import CPU, Device
from caslie_model.runtime.model_cache import written_once
from caslie_model.vision.preprocessing import PADDING, fit
from caslie_model.vision.tower import Network, Tower
from caslie_model.vision.transformers_tower import transformers_tower
from mmecinstruct.core.hashing import fingerprint, sha256_file

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

POOL = 7
# Raised whenever the same weights and settings give other features than before.
VERSION = 1

_TINY_VERSION = 1
_TINY_SIDE = 56


class VisionEncoder:
    """A frozen vision model. Its weights are loaded when they are first needed.

    Attributes:
        name: As it was asked for.
        device: Where it computes, and its precision.
        pool: Side of the grid that patches are averaged to, 0 for all patches.
        settings: Everything that changes the features.
        fingerprint: Of the settings.
    """

    def __init__(self, name: str, tower: Tower, device: Device, pool: int, layer: int | None) -> None:
        self.name = name
        self.device, self.pool = device, pool
        self.settings: dict[str, Any] = {
            "version": VERSION,
            "weights": tower.weights,
            "processor": tower.processor,
            "size": list(tower.size),
            "resample": tower.resample,
            "padding": PADDING,
            "pool": pool,
            "layer": layer,
            "precision": device.precision,
        }
        self.fingerprint = fingerprint(self.settings)
        self._tower = tower

    @property
    def width(self) -> int:
        """dv, numbers of a patch. Loads the encoder."""
        return self._shape[1]

    @property
    def patches(self) -> int:
        """P, patches of an image after pooling. Loads the encoder."""
        return self._shape[0]

    def encode(self, images: list[Image]) -> Tensor:
        """Return the features of images, row by row from the top left.

        Args:
            images: n RGB images of any size.

        Returns:
            [n, P, dv], float32 on the CPU.

        Raises:
            ModelError: If the device's memory does not suffice.
        """
        import torch

        if not images:
            return torch.zeros(0, *self._shape)
        try:
            return self._encode(images)
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"vision encoder '{self.name}': {len(images)} images at once do not fit into the memory of "
                f"{self.device.name}; give a smaller batch size"
            ) from error

    def _encode(self, images: list[Image]) -> Tensor:
        import torch

        fitted = [fit(image, self._tower.size, self._tower.resample) for image in images]
        # Not inference mode: such tensors could not be the input of a layer that is trained.
        with torch.no_grad():
            inputs = {
                key: value.to(self.device.name, self.device.dtype if value.is_floating_point() else None)
                for key, value in self._tower.to_inputs(fitted).items()
            }
            grid = self._network(inputs).float()
            rows, columns = grid.shape[-2:]
            if self.pool and (rows, columns) != (self.pool, self.pool):
                # A coarser grid than asked for stays as it is: repeated patches would add nothing.
                pooled = (min(self.pool, rows), min(self.pool, columns))
                grid = torch.nn.functional.adaptive_avg_pool2d(grid, pooled)
            features = grid.flatten(2).transpose(1, 2).contiguous()
            return features if self.device.is_meta else features.cpu()

    @cached_property
    def _network(self) -> Network:
        return self._tower.load(self.device)

    @cached_property
    def _shape(self) -> tuple[int, int]:
        from PIL import Image

        try:
            features = self._encode([Image.new("RGB", self._tower.size, PADDING)])
        except (RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise ModelError(
                f"vision encoder '{self.name}' fails on a plain image of {self._tower.size}: {error}; use another "
                "encoder, such as a SigLIP, CLIP, DINOv2 or ViT checkpoint"
            ) from error
        return features.shape[1], features.shape[2]


def load_vision_encoder(
    name: str, device: Device = CPU, pool: int = POOL, layer: int | None = None
) -> VisionEncoder:
    """Return an encoder. Its weights are loaded on first use, its fingerprint is known at once.

    Args:
        name: user/name, a folder, package:efficientnet_lite0 or random:tiny-vit.
        device: Where it computes, and in which precision. `META` reads no weights: the encoder has a shape and no
            features.
        pool: Side of the grid that patches are averaged to, 0 keeps every patch.
        layer: None: the model's output. Otherwise an earlier layer, which has more of colours and textures and less of
            the kind of thing: an index into the hidden states (-2 is the last but one), for EfficientNet into its 16
            blocks.

    Returns:
        The encoder.

    Raises:
        ModelError: If it cannot be found, is no vision model or has no image processor.
    """
    if pool < 0:
        raise ModelError(f"pool={pool}: give the side of the pooled grid, or 0 to keep every patch")
    return VisionEncoder(name, _tower(name, layer), device, pool, layer)


def _tower(name: str, layer: int | None) -> Tower:
    if name == "package:efficientnet_lite0":
        return _efficientnet_tower(layer)
    if name.startswith("package:"):
        raise ModelError(f"no vision encoder '{name}': the only packaged one is package:efficientnet_lite0")
    if name == "random:tiny-vit":
        return transformers_tower(
            name, str(written_once(f"random-tiny-vit-{_TINY_VERSION}", _write_tiny_vit)), layer
        )
    return transformers_tower(name, str(Path(name).resolve()) if Path(name).is_dir() else name, layer)


def _efficientnet_tower(layer: int | None) -> Tower:
    from PIL import Image as pillow

    from caslie_model.vision.efficientnet_lite import (
        INPUT_SIDE,
        load_efficientnet_lite0,
        weights_file,
    )

    file = weights_file()

    def to_inputs(images: list[Image]) -> dict[str, Tensor]:
        import numpy as np
        import torch

        pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
        return {"pixels": (pixels.permute(0, 3, 1, 2).float() - 127) / 128}

    def load(device: Device) -> Network:
        network = load_efficientnet_lite0(file, layer).to(device.name, device.dtype)
        return lambda inputs: network(inputs["pixels"])

    return Tower(
        weights=sha256_file(file),
        processor="(pixels - 127) / 128",
        size=(INPUT_SIDE, INPUT_SIDE),
        resample=pillow.Resampling.BICUBIC,
        to_inputs=to_inputs,
        load=load,
    )


def _write_tiny_vit(target: Path) -> None:
    import torch
    from transformers import ViTConfig, ViTModel
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ViTModel(
            ViTConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                image_size=_TINY_SIDE,
                patch_size=_TINY_SIDE // POOL,
                # Ten times the usual: images then differ by more than a random network's noise.
                initializer_range=0.2,
            ),
            add_pooling_layer=False,
        )
    model.save_pretrained(target)
    ViTImageProcessorPil(size={"height": _TINY_SIDE, "width": _TINY_SIDE}).save_pretrained(target)
