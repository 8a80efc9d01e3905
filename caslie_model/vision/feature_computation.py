"""Compute the features of a dataset's images, each once, whatever samples and splits show it.

Every run reads and hashes the embedded images. What the cache has is not decoded again; when nothing is missing,
the encoder's weights are not even loaded.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caslie_model.data.images import EmbeddedImage, count_samples, decode_image, iterate_images
from caslie_model.errors import ModelError
from caslie_model.runtime.device import choose_device
from caslie_model.runtime.progress import Progress
from caslie_model.vision.feature_cache import IMAGES_PER_FILE, FeatureCache, open_feature_cache
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.schemas.samples import SPLITS, TASKS

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from caslie_model.vision.encoder import VisionEncoder


@dataclass(frozen=True, slots=True)
class FeatureCounts:
    """What a computation found and did."""

    samples: int
    images: int  # as often as samples show them
    distinct: int
    computed: int  # the rest was there
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

    data: a dataset folder, or user/name on the Hub; tasks and splits that it lacks are passed over. batch_size:
    images in one pass through the encoder. What was computed is kept when the run is interrupted. Raises
    DatasetError when there is no such dataset or an image cannot be read, ModelError when encoder or cache fail.
    """
    if batch_size < 1:
        raise ModelError(f"batch_size={batch_size}: give 1 or more")
    if cache.folder.name != encoder.fingerprint:
        raise ModelError(f"{cache.folder} is the cache of another encoder than '{encoder.name}'")
    places = [(task, split) for task in tasks for split in splits]
    sizes = [count_samples(data, task, split) for task, split in places]
    start = time.monotonic()
    seen: set[str] = set()
    samples = images = 0
    with ExitStack() as stack:
        progress = stack.enter_context(Progress("features", sum(sizes), "samples"))
        computation: _Computation | None = None
        for task, split in places:
            for sample, shown in iterate_images(data, task, split):
                for each in shown:
                    if each.image.key not in seen and each.image.key not in cache:
                        if computation is None:
                            stack.enter_context(cache.writing())
                            computation = stack.enter_context(_Computation(encoder, cache, batch_size))
                        computation.add(each, f"{data}: sample {sample}: image '{each.image.role}'")
                    seen.add(each.image.key)
                samples += 1
                images += len(shown)
                progress.update(samples, f"{computation.done} computed" if computation else "")
        if computation is not None:
            computation.finish()
        if cache.shape is None:
            cache.describe(encoder)
    return FeatureCounts(
        samples, images, len(seen), computation.done if computation else 0, time.monotonic() - start
    )


def features(
    data: str,
    encoder: str,
    tasks: Sequence[str] = TASKS,
    splits: Sequence[str] = SPLITS,
    *,
    batch_size: int = 32,
    pool: int = 7,
    layer: int | None = None,
    device: str = "auto",
    precision: str = "auto",
) -> tuple[FeatureCache, FeatureCounts]:
    """Compute the features of a dataset with the encoder of that name, into the cache shared by all runs.

    Raises DatasetError when the dataset has none of these tasks and splits, else as `load_vision_encoder` and
    `compute_features` do.
    """
    from caslie_model.vision.encoder import load_vision_encoder

    if not any(count_samples(data, task, split) for task in tasks for split in splits):
        raise DatasetError(f"{data} has no samples of {', '.join(tasks)} in {', '.join(splits)}")
    loaded = load_vision_encoder(encoder, choose_device(device, precision), pool, layer)
    cache = open_feature_cache(loaded)
    return cache, compute_features(data, tasks, splits, loaded, cache, batch_size)


class _Computation:
    """Collects images into batches, and features into shards. What is encoded is written even after an error."""

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

    def add(self, image: EmbeddedImage, place: str) -> None:
        """Take in one image, unless another process has computed it meanwhile."""
        key = image.image.key
        if key in self._cache:
            return
        self._images.append(decode_image(image.content, place))
        self._keys.append(key)
        if len(self._keys) == self._batch_size:
            self._encode()

    def finish(self) -> None:
        """Encode and write what is still waiting."""
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
