"""The bytes of images, spooled once."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from caslie_model.data.image_bytes import spool_images
from caslie_model.data.images import read_images
from caslie_model.data.samples import read_samples
from mmecinstruct.core.errors import DatasetError

TASK = "sequential_recommendation"


def test_every_image_has_its_bytes(image_dataset: Path) -> None:
    samples = read_samples(str(image_dataset), TASK, "test")
    with spool_images(str(image_dataset), samples) as spool:
        assert spool.images == read_images(str(image_dataset), TASK, "test")
        shown = [image for images in spool.images.values() for image in images]
        assert shown
        for image in reversed(shown):
            assert hashlib.sha256(spool.content(image.key)).hexdigest() == image.key


def test_an_unknown_key_is_an_error(image_dataset: Path) -> None:
    with spool_images(str(image_dataset), []) as spool, pytest.raises(DatasetError, match="no image 0000"):
        spool.content("0" * 64)


def test_a_sample_that_is_gone_is_named(image_dataset: Path) -> None:
    samples = [replace(read_samples(str(image_dataset), TASK, "test")[0], id="gone")]
    with pytest.raises(DatasetError, match="no sample gone"):
        spool_images(str(image_dataset), samples)
