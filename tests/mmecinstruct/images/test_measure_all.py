"""Measuring a work item: every URL has a row, and a changed file is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmecinstruct.core.errors import SourceError
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.images.locate import LocatedImage
from mmecinstruct.images.measure_all import measure_images
from mmecinstruct.images.perceptual_hash import PHASH_VERSION
from mmecinstruct.images.settings import ImageSettings

SETTINGS = ImageSettings(longest_side=128)


def located(url: str, file: Path) -> LocatedImage:
    return LocatedImage(url, str(file), sha256=sha256_file(file))


def test_every_url_has_a_row(images, tmp_path: Path) -> None:
    sound, broken = tmp_path / "a.jpg", tmp_path / "b.jpg"
    sound.write_bytes(images.encoded(images.photo()))
    broken.write_bytes(sound.read_bytes()[:2000])
    images, pixels, rejections = measure_images(
        [
            located("u1", sound),
            located("u2", sound),
            LocatedImage("u3", None, "dead_path", "there is no such file"),
            located("u4", broken),
        ],
        SETTINGS,
    )
    assert images["status"].to_pylist() == ["ok", "ok", "rejected", "rejected"]
    assert images["phash_version"].to_pylist() == [PHASH_VERSION, PHASH_VERSION, None, None]
    assert images["width"].to_pylist() == [200, 200, None, 200]
    assert pixels["image_id"].to_pylist() == [sha256_file(sound)]
    assert [(r.reason, r.origin) for r in rejections] == [
        ("dead_path", "u3"),
        ("truncated_or_corrupt", "u4"),
    ]


def test_a_file_over_the_byte_cap_is_rejected_unread(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"eleven byte")
    image = LocatedImage("u", str(file), sha256="not its hash")
    (rejection,) = measure_images([image], ImageSettings(max_bytes=10))[2]
    assert rejection.reason == "too_many_bytes"


def test_a_file_that_changed_since_it_was_located_is_an_error(images, tmp_path: Path) -> None:
    file = tmp_path / "a b.jpg"
    file.write_bytes(images.encoded(images.photo()))
    image = located("u", file)
    file.write_bytes(images.encoded(images.photo(90, 91)))
    with pytest.raises(SourceError, match=r"a b\.jpg changed while the build read it; run the build again"):
        measure_images([image], SETTINGS)
    file.unlink()
    with pytest.raises(SourceError, match=r"a b\.jpg: can no longer be read"):
        measure_images([image], SETTINGS)
