"""The bytes of a dataset's images by their keys, for models that read images themselves.

Samples are answered in another order than they are stored, and a row group holds the images of many: so the shards are
read once, in their order, and each distinct image is spooled to one temporary file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from caslie_model.data.images import SampleImage, iterate_images
from caslie_model.data.samples import Sample
from mmecinstruct.core.errors import DatasetError


class ImageBytes(Protocol):
    """Something that has the bytes of images."""

    def content(self, key: str) -> bytes:
        """Return an image's encoded bytes (JPEG, PNG or WebP).

        Args:
            key: SHA-256 of the bytes.
        """


class SpooledImages:
    """Images in a temporary file without a name, which is gone when it is closed or the process ends.

    Attributes:
        images: The images of each sample, by its id, in stored order.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Open an empty spool.

        Args:
            folder: Where the file takes its space; None: the system's folder for temporary files.
        """
        self.images: dict[str, tuple[SampleImage, ...]] = {}
        self._places: dict[str, tuple[int, int]] = {}
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by `close`)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of all images."""
        return tuple(self._places)

    def add(self, key: str, content: bytes) -> None:
        """Keep an image, once."""
        if key not in self._places:
            start = self._file.seek(0, 2)
            self._file.write(content)
            self._places[key] = (start, len(content))

    def content(self, key: str) -> bytes:
        """Return an image's encoded bytes.

        Args:
            key: SHA-256 of the bytes.

        Returns:
            The bytes as they were added.

        Raises:
            DatasetError: There is no such image.
        """
        if key not in self._places:
            raise DatasetError(
                f"no image {key[:16]} among those that were read; was the dataset built anew meanwhile?"
            )
        start, length = self._places[key]
        self._file.seek(start)
        return self._file.read(length)

    def close(self) -> None:
        """Free the space."""
        self._file.close()

    def __enter__(self) -> SpooledImages:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def spool_images(data: str, samples: Sequence[Sample], folder: Path | None = None) -> SpooledImages:
    """Read the images of samples once, in stored order.

    Args:
        data: A dataset folder, or user/name on the Hub.
        samples: The samples.
        folder: Where the temporary file takes its space.

    Returns:
        The images; close them after use.

    Raises:
        DatasetError: If a sample is not in the dataset, or a row is damaged.
    """
    spool = SpooledImages(folder)
    try:
        for task, split in dict.fromkeys((sample.task, sample.split) for sample in samples):
            wanted = {sample.id for sample in samples if (sample.task, sample.split) == (task, split)}
            for name, images in iterate_images(data, task, split, wanted):
                for each in images:
                    spool.add(each.image.key, each.content)
                spool.images[name] = tuple(each.image for each in images)
            _check_all(data, task, split, wanted, spool.images)
    except BaseException:
        spool.close()
        raise
    return spool


def _check_all(
    data: str, task: str, split: str, wanted: set[str], found: Mapping[str, tuple[SampleImage, ...]]
) -> None:
    gone = sorted(wanted - set(found))
    if gone:
        raise DatasetError(
            f"{data}: {task}/{split} has no sample {gone[0]} (of {len(gone)} that are missing); was the dataset "
            "built anew meanwhile?"
        )
