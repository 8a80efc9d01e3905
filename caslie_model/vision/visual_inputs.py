"""The images of the samples of a run, and the features of these, computed on first use."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from caslie_model.config.training import VisionSettings
from caslie_model.data.images import Features, SampleImage, read_images
from caslie_model.data.samples import Sample
from caslie_model.errors import ModelError
from caslie_model.runtime.device import Device
from mmecinstruct.core.hashing import hash_draw

if TYPE_CHECKING:
    from torch import Tensor

    from caslie_model.vision.encoder import VisionEncoder
    from caslie_model.vision.feature_cache import FeatureCache

_STATISTICS_BATCH = 256  # images whose features are in memory at once


@dataclass(frozen=True)
class VisualInputs:
    """What a fusion model sees: images by sample id, and their features from the cache."""

    images: dict[str, tuple[SampleImage, ...]]
    cache: FeatureCache
    encoder: str  # its name
    fingerprint: str
    shape: tuple[int, int]  # P, patches of an image, and dv, numbers of a patch

    @property
    def features(self) -> Features:
        """Return the features [n, P, dv] of images by their keys."""
        return self.cache.features

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation [dv] of the features of all patches of the images, each counted once."""
        import torch

        keys = sorted({image.key for shown in self.images.values() for image in shown})
        total = torch.zeros(2, self.width, dtype=torch.float64)
        for start in range(0, len(keys), _STATISTICS_BATCH):
            found = self.features(keys[start : start + _STATISTICS_BATCH]).double().flatten(0, 1)
            total += torch.stack([found.sum(dim=0), found.square().sum(dim=0)])
        mean, square = total / max(1, len(keys) * self.patches)
        return mean.float(), (square - mean.square()).clamp(min=0).sqrt().float()

    @property
    def patches(self) -> int:
        """P, patches of an image."""
        return self.shape[0]

    @property
    def width(self) -> int:
        """dv, numbers of a patch."""
        return self.shape[1]


def load_visual_inputs(
    data: str,
    samples: Sequence[Sample],
    vision: VisionSettings,
    device: Device,
    fingerprint: str = "",
) -> VisualInputs:
    """Read which images the samples show, and compute those features that the cache does not have.

    The features of all samples of a task and split are computed, not only of those drawn: the next run draws others.
    identity: of the encoder that an adapter was trained with, whose precision then goes before the asked one. Raises
    ModelError when the settings name another encoder, before anything is computed, else DatasetError and ModelError as
    `caslie_model features` does.
    """
    encoder = _encoder_of(vision, device, fingerprint)
    images = images_of(data, samples)
    return _computed(data, places_of(samples), images, encoder)


def places_of(samples: Sequence[Sample]) -> list[tuple[str, str]]:
    """Return the tasks and splits of samples."""
    return list(dict.fromkeys((sample.task, sample.split) for sample in samples))


def images_of(data: str, samples: Sequence[Sample]) -> dict[str, tuple[SampleImage, ...]]:
    """Return the images of samples, by sample id. Raises DatasetError as `read_images` does."""
    images: dict[str, tuple[SampleImage, ...]] = {}
    for task, split in places_of(samples):
        wanted = [sample.id for sample in samples if (sample.task, sample.split) == (task, split)]
        images |= read_images(data, task, split, wanted)
    return images


def shuffled(
    images: dict[str, tuple[SampleImage, ...]], samples: Sequence[Sample], seed: int
) -> dict[str, tuple[SampleImage, ...]]:
    """Return each sample with images of others of its task and split, in the same roles.

    Within a kind of role (product, history, option, review) the images move on by one sample, in an order drawn by
    hash. So each image is shown as often as before.
    """
    places: dict[tuple[str, str, str], list[tuple[str, int]]] = defaultdict(list)
    for sample in sorted(samples, key=lambda each: (hash_draw(seed, "shuffled pictures", each.id), each.id)):
        for number, image in enumerate(images[sample.id]):
            kind = image.role.partition(" ")[0]
            places[sample.task, sample.split, kind].append((sample.id, number))
    moved = {name: list(shown) for name, shown in images.items()}
    for found in places.values():
        most = max(Counter(name for name, _ in found).values())
        # As far as a sample has images of the kind: then none gets its own.
        for (name, number), (other, place) in zip(found, found[most:] + found[:most], strict=True):
            moved[name][number] = SampleImage(images[name][number].role, images[other][place].key)
    return {name: tuple(shown) for name, shown in moved.items()}


def load_visual_inputs_of(
    data: str,
    places: Sequence[tuple[str, str]],
    images: dict[str, tuple[SampleImage, ...]],
    vision: VisionSettings,
    device: Device,
    fingerprint: str = "",
) -> VisualInputs:
    """Return the visual_inputs of images of a split that were read already, by whatever they are told by.

    identity: as for `look_at`.
    """
    encoder = _encoder_of(vision, device, fingerprint)
    return _computed(data, places, images, encoder)


def _encoder_of(vision: VisionSettings, device: Device, fingerprint: str) -> VisionEncoder:
    from caslie_model.vision.encoder import load_vision_encoder

    # Trained on a GPU in bfloat16, evaluated on a CPU in float32: the features stay those of the training.
    for kind in dict.fromkeys((device.precision, "float32", "bfloat16")):
        encoder = load_vision_encoder(
            vision.encoder, replace(device, precision=kind), vision.pool, vision.layer
        )
        if fingerprint in ("", encoder.fingerprint):
            return encoder
    raise ModelError(
        f"the adapter was trained with another vision encoder than '{vision.encoder}' with pool={vision.pool}, "
        f"layer={vision.layer}: its fingerprint was {fingerprint[:16]}; use the same weights and settings, or "
        "train an adapter for these"
    )


def _computed(
    data: str,
    places: Sequence[tuple[str, str]],
    images: dict[str, tuple[SampleImage, ...]],
    encoder: VisionEncoder,
) -> VisualInputs:
    from caslie_model.vision.feature_cache import open_feature_cache
    from caslie_model.vision.feature_computation import compute_features

    cache = open_feature_cache(encoder)
    keys = [image.key for shown in images.values() for image in shown]
    for task, split in places:
        if not cache.missing(keys):
            break
        compute_features(data, [task], [split], encoder, cache)
    if cache.shape is None:
        cache.describe(encoder)
    assert cache.shape is not None
    return VisualInputs(images, cache, encoder.name, encoder.fingerprint, cache.shape)
