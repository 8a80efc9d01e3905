"""Visual inputs of a run: the images of its samples and their features, computed on first use."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from caslie_model.config.training import VisionSettings
from caslie_model.data.image_bytes import SpooledImages
from caslie_model.data.images import EmbeddedImage, Features, SampleImage, read_images
from caslie_model.data.samples import Sample
from caslie_model.errors import ModelError
from caslie_model.runtime.device import Device
from caslie_model.vision.encoder import load_vision_encoder
from caslie_model.vision.feature_cache import open_feature_cache
from caslie_model.vision.feature_computation import compute_features, compute_features_of
from mmecinstruct.core.hashing import hash_draw

if TYPE_CHECKING:
    from torch import Tensor

    from caslie_model.vision.encoder import VisionEncoder
    from caslie_model.vision.feature_cache import FeatureCache

_STATISTICS_BATCH = 256  # images whose features are in memory at once


@dataclass(frozen=True)
class VisualInputs:
    """Images and features for a fusion model.

    Attributes:
        images: By sample id.
        cache: The features.
        encoder: Name of the vision encoder.
        fingerprint: Of the vision encoder.
        shape: P, patches of an image, and dv, numbers of a patch.
    """

    images: dict[str, tuple[SampleImage, ...]]
    cache: FeatureCache
    encoder: str
    fingerprint: str
    shape: tuple[int, int]

    @property
    def features(self) -> Features:
        """The features [n, P, dv] of n images by their keys."""
        return self.cache.features

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation [dv] over all patches of all images, each image counted once."""
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
    """Read the images of samples, and compute the features that the cache lacks.

    The features of all samples of a task and split are computed, not only of those given: the next run samples others.

    Args:
        data: A dataset folder, or user/name on the Hub.
        samples: The samples of the run.
        vision: The vision encoder.
        device: Where features are computed.
        fingerprint: Of the encoder that an adapter was trained with; its precision is then used. "": any.

    Returns:
        Images and features.

    Raises:
        ModelError: If the settings name another encoder than the adapter's, or encoder or cache fail.
        DatasetError: If the images cannot be read.
    """
    encoder = _encoder_of(vision, device, fingerprint)
    images = images_of(data, samples)
    return _computed(data, places_of(samples), images, encoder)


def places_of(samples: Sequence[Sample]) -> list[tuple[str, str]]:
    """Return the tasks and splits of samples, each pair once."""
    return list(dict.fromkeys((sample.task, sample.split) for sample in samples))


def images_of(data: str, samples: Sequence[Sample]) -> dict[str, tuple[SampleImage, ...]]:
    """Return the images of samples.

    Args:
        data: A dataset folder, or user/name on the Hub.
        samples: The samples.

    Returns:
        Images by sample id.

    Raises:
        DatasetError: As `read_images` does.
    """
    images: dict[str, tuple[SampleImage, ...]] = {}
    for task, split in places_of(samples):
        wanted = [sample.id for sample in samples if (sample.task, sample.split) == (task, split)]
        images |= read_images(data, task, split, wanted)
    return images


def shuffled(
    images: dict[str, tuple[SampleImage, ...]], samples: Sequence[Sample], seed: int
) -> dict[str, tuple[SampleImage, ...]]:
    """Return each sample with images of other samples of its task and split, in the same roles.

    Within a kind of role (product, history, option, review) the images move on by one sample, in an order by hash. So
    each image is shown as often as before.

    Args:
        images: By sample id.
        samples: The samples.
        seed: Of the order.

    Returns:
        Images by sample id.
    """
    slots: dict[tuple[str, str, str], list[tuple[str, int]]] = defaultdict(list)
    for sample in sorted(samples, key=lambda each: (hash_draw(seed, "shuffled pictures", each.id), each.id)):
        for number, image in enumerate(images[sample.id]):
            kind = image.role.partition(" ")[0]
            slots[sample.task, sample.split, kind].append((sample.id, number))
    moved = {name: list(shown) for name, shown in images.items()}
    for found in slots.values():
        most = max(Counter(name for name, _ in found).values())
        # As far as a sample has images of the kind: then none gets its own.
        for (name, number), (other, position) in zip(found, found[most:] + found[:most], strict=True):
            moved[name][number] = SampleImage(images[name][number].role, images[other][position].key)
    return {name: tuple(shown) for name, shown in moved.items()}


def load_visual_inputs_of(
    data: str,
    parts: Sequence[tuple[str, str]],
    images: dict[str, tuple[SampleImage, ...]],
    vision: VisionSettings,
    device: Device,
    fingerprint: str = "",
) -> VisualInputs:
    """Compute the features of images that were read before.

    Args:
        data: A dataset folder, or user/name on the Hub.
        parts: Pairs of task and split that have the images.
        images: By any key.
        vision: The vision encoder.
        device: Where features are computed.
        fingerprint: As for `load_visual_inputs`.

    Returns:
        Images and features.

    Raises:
        ModelError: As `load_visual_inputs` does.
        DatasetError: As `load_visual_inputs` does.
    """
    encoder = _encoder_of(vision, device, fingerprint)
    return _computed(data, parts, images, encoder)


def features_of_own_images(
    images: SpooledImages, vision: VisionSettings, device: Device, fingerprint: str
) -> Features:
    """Return the features of images that no dataset has, computed when they are first asked for.

    Args:
        images: The images; more may be added later.
        vision: The vision encoder.
        device: Where features are computed.
        fingerprint: Of the encoder that an adapter was trained with.

    Returns:
        The features [n, P, dv] of n images by their keys.

    Raises:
        ModelError: As `load_visual_inputs` does.
    """
    encoder = _encoder_of(vision, device, fingerprint)
    cache = open_feature_cache(encoder)

    def features(keys: Sequence[str]) -> Tensor:
        if cache.missing(keys):
            # All that are known by now: the next questions show the others.
            missing = cache.missing(images.keys)
            compute_features_of(
                (EmbeddedImage(SampleImage("", key), images.content(key)) for key in missing), encoder, cache
            )
        return cache.features(keys)

    return features


def _encoder_of(vision: VisionSettings, device: Device, fingerprint: str) -> VisionEncoder:
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
    parts: Sequence[tuple[str, str]],
    images: dict[str, tuple[SampleImage, ...]],
    encoder: VisionEncoder,
) -> VisualInputs:
    cache = open_feature_cache(encoder)
    keys = [image.key for shown in images.values() for image in shown]
    for task, split in parts:
        if not cache.missing(keys):
            break
        compute_features(data, [task], [split], encoder, cache)
    if cache.shape is None:
        cache.describe(encoder)
    assert cache.shape is not None
    return VisualInputs(images, cache, encoder.name, encoder.fingerprint, cache.shape)
