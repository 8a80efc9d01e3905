"""Compute the features of a dataset's images, each once, whatever samples and splits show it.

Every run reads and hashes the embedded images. Those in the cache are not decoded again; when nothing is missing, the
encoder's weights are not loaded.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caslie_model.data.images import EmbeddedImage, count_samples, decode_image, iterate_images
from caslie_model.errors import ModelError
from caslie_model.runtime.device import choose_device
from caslie_model.runtime.progress import Progress
from caslie_model.vision.encoder import load_vision_encoder
from caslie_model.vision.feature_cache import IMAGES_PER_FILE, FeatureCache, open_feature_cache
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.schemas.samples import SPLITS
from mmecinstruct.tasks import TASKS

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from caslie_model.vision.encoder import VisionEncoder


@dataclass(frozen=True, slots=True)
class FeatureCounts:
    """Counts of a computation.

    Attributes:
        samples: Samples that were read.
        images: Images of these samples, repeated ones included.
        distinct: Different images.
        computed: Images whose features the cache lacked.
        seconds: Of the whole run.
    """

    samples: int
    images: int
    distinct: int
    computed: int
    seconds: float


def compute_features(
    data: str,
    tasks: Sequence[str],
    splits: Sequence[str],
    encoder: VisionEncoder,
    cache: FeatureCache,
    batch_size: int = 32,
) -> FeatureCounts:
    """Fill a cache with the features of all images of a dataset's tasks and splits, with progress on stderr.

    Computed features are kept when the run is interrupted.

    Args:
        data: A dataset folder, or user/name on the Hub.
        tasks: Full names; those that the dataset lacks are skipped.
        splits: Names; those that the dataset lacks are skipped.
        encoder: The vision encoder.
        cache: Its cache.
        batch_size: Images in one pass through the encoder.

    Returns:
        Counts of found and computed features.

    Raises:
        DatasetError: If there is no such dataset, or an image cannot be read.
        ModelError: If encoder or cache fail.
    """
    if batch_size < 1:
        raise ModelError(f"batch_size={batch_size}: give 1 or more")
    if cache.folder.name != encoder.fingerprint:
        raise ModelError(f"{cache.folder} is the cache of another encoder than '{encoder.name}'")
    parts = [(task, split) for task in tasks for split in splits]
    sizes = [count_samples(data, task, split) for task, split in parts]
    start = time.monotonic()
    distinct: set[str] = set()
    samples = images = 0
    with ExitStack() as stack:
        progress = stack.enter_context(Progress("features", sum(sizes), "samples"))
        computation: _Computation | None = None
        for task, split in parts:
            for sample, shown in iterate_images(data, task, split):
                for each in shown:
                    if each.image.key not in distinct and each.image.key not in cache:
                        if computation is None:
                            stack.enter_context(cache.writing())
                            computation = stack.enter_context(_Computation(encoder, cache, batch_size))
                        computation.add(each, f"{data}: sample {sample}: image '{each.image.role}'")
                    distinct.add(each.image.key)
                samples += 1
                images += len(shown)
                progress.update(samples, f"{computation.done} computed" if computation else "")
        if computation is not None:
            computation.finish()
        if cache.shape is None:
            cache.describe(encoder)
    return FeatureCounts(
        samples, images, len(distinct), computation.done if computation else 0, time.monotonic() - start
    )


def compute_features_of(
    images: Iterable[EmbeddedImage], encoder: VisionEncoder, cache: FeatureCache, batch_size: int = 32
) -> None:
    """Fill a cache with the features of images that no dataset has, each once.

    Args:
        images: The images.
        encoder: The vision encoder.
        cache: Its cache.
        batch_size: Images in one pass through the encoder.

    Raises:
        DatasetError: If an image cannot be read.
        ModelError: If encoder or cache fail.
    """
    missing = {each.image.key: each for each in images if each.image.key not in cache}
    if not missing:
        return
    with cache.writing(), _Computation(encoder, cache, batch_size) as computation:
        for each in missing.values():
            computation.add(each, f"image {each.image.key[:16]}")
        computation.finish()


def features(
    data: str,
    encoder: str,
    tasks: Sequence[str] = tuple(TASKS),
    splits: Sequence[str] = SPLITS,
    *,
    batch_size: int = 32,
    pool: int = 7,
    layer: int | None = None,
    device: str = "auto",
    precision: str = "auto",
) -> tuple[FeatureCache, FeatureCounts]:
    """Compute the features of a dataset with an encoder, into the cache shared by all runs.

    Args:
        data: A dataset folder, or user/name on the Hub.
        encoder: As `load_vision_encoder` takes it.
        tasks: Full names of tasks.
        splits: Names of splits.
        batch_size: Images in one pass through the encoder.
        pool: Side of the grid that patches are averaged to, 0 for all patches.
        layer: An earlier layer of the encoder; None: its output.
        device: auto, cpu or cuda.
        precision: auto, float32 or bfloat16.

    Returns:
        The cache, and counts of found and computed features.

    Raises:
        DatasetError: If the dataset has none of these tasks and splits, or an image cannot be read.
        ModelError: If encoder or cache fail.
    """
    if not any(count_samples(data, task, split) for task in tasks for split in splits):
        raise DatasetError(f"{data} has no samples of {', '.join(tasks)} in {', '.join(splits)}")
    loaded = load_vision_encoder(encoder, choose_device(device, precision), pool, layer)
    cache = open_feature_cache(loaded)
    return cache, compute_features(data, tasks, splits, loaded, cache, batch_size)


class _Computation:
    """Collects images into batches, and features into tensor files. Encoded images are written even after an error."""

    def __init__(self, encoder: VisionEncoder, cache: FeatureCache, batch_size: int) -> None:
        self.done = 0
        self._encoder, self._cache, self._batch_size = encoder, cache, batch_size
        self._keys: list[str] = []
        self._images: list[Image] = []
        self._encoded_keys: list[str] = []
        self._encoded: list[Tensor] = []

    def __enter__(self) -> _Computation:
        return self

    def __exit__(self, *error: object) -> None:
        self._write()

    def add(self, image: EmbeddedImage, location: str) -> None:
        """Take in one image, unless another process has computed it meanwhile."""
        key = image.image.key
        if key in self._cache:
            return
        self._images.append(decode_image(image.content, location))
        self._keys.append(key)
        if len(self._keys) == self._batch_size:
            self._encode()

    def finish(self) -> None:
        """Encode and write the images that are still waiting."""
        self._encode()
        self._write()

    def _encode(self) -> None:
        if not self._keys:
            return
        self._encoded.append(self._encoder.encode(self._images).half())
        self._encoded_keys += self._keys
        self.done += len(self._keys)
        self._keys, self._images = [], []
        if len(self._encoded_keys) >= IMAGES_PER_FILE:
            self._write()

    def _write(self) -> None:
        import torch

        if not self._encoded_keys:
            return
        keys, encoded = self._encoded_keys, self._encoded
        self._encoded_keys, self._encoded = [], []
        if self._cache.shape is None:
            self._cache.describe(self._encoder)
        self._cache.append(keys, torch.cat(encoded))
