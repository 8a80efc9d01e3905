"""A disk that runs full during a command of `mmec`: a message with the remedy, and the same command goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mmecinstruct as mm
from mmecinstruct.core.errors import MmecError
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.synthetic.raw_files import write_miniature
from tests.servers import image_server
from tests.small_disk import full_before, resize, run_on_small_disk

LARGE = 1_000_000  # kilobytes
IMAGES = 12


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_file(path) for path in folder.rglob("*") if path.is_file()
    }


def save_photo(path: Path, number: int) -> Path:
    pixels = np.random.default_rng(number).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "JPEG", quality=95)
    return path


def until_it_works(disk: Path, action: Callable[[], Any], said: str) -> int:
    """Run on a disk that grows each time it was full; return how often it was."""
    for times in range(20):
        try:
            action()
        except MmecError as error:
            message = str(error)
        else:
            return times
        assert said in message
        assert "free" in message
        resize(disk, 200 * (times + 2))
    raise AssertionError("never done")


def miniature(disk: Path, undisturbed: Path) -> None:
    assert until_it_works(disk, lambda: write_miniature(disk / "raw", 0.0001), f"out={disk / 'raw'}") > 1
    write_miniature(undisturbed, 0.0001)
    left, right = hashes(disk / "raw"), hashes(undisturbed)
    assert left.keys() == right.keys()
    assert [name for name in left if left[name] != right[name] and name != "miniature.json"] == []


def images(disk: Path, photos: Path, workspace: Path) -> None:
    def check(workspace: Path) -> None:
        assert (
            mm.check_images(photos, disk / "out", contact_sheet=True, workspace=workspace, workers=1).kept
            == 12
        )

    with pytest.raises(MmecError, match=r"out=.*out: the disk is full: .* free space"):
        check(workspace)
    resize(disk, 3000)
    for name in ("_write", "_render_sheet"):
        with (
            full_before(disk, "mmecinstruct.pipeline.check_images", name),
            pytest.raises(
                MmecError, match=r"out=.*out cannot be written: .*No space left .* the same command again"
            ),
        ):
            check(workspace)
        assert [path.name for path in disk.iterdir() if path.name.startswith(".out")] == []
        resize(disk, 3000)
    check(workspace)


def fetch(disk: Path, photos: Path) -> None:
    with image_server.serving() as server:
        for file in sorted(photos.iterdir()):
            server.routes[f"/{file.name}"] = image_server.Answer(body=file.read_bytes())
        table = photos.parent / "urls.csv"
        table.write_text("image_url\n" + "".join(server.url(path) + "\n" for path in server.routes))
        settings = {
            "fetch.enabled": True,
            "fetch.contact": "https://shop.example/",
            "fetch.private_networks": ["127.0.0.0/8"],
        }

        def check() -> None:
            done = mm.check_images(
                table, photos.parent / "out", overrides=settings, workspace=disk / "workspace", workers=1
            )
            assert (done.kept, done.reasons) == (IMAGES, {})

        assert until_it_works(disk, check, "workspace") > 0
        wanted = [request.path for request in server.log]
        assert all(path in wanted for path in server.routes)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number in range(IMAGES):
        save_photo(tmp_path / "photos" / f"{number}.jpg", number)
    return tmp_path / "photos"


@pytest.mark.slow
def test_a_miniature_goes_on_after_a_full_disk(tmp_path: Path) -> None:
    run_on_small_disk(miniature, tmp_path / "disk", tmp_path / "undisturbed", kilobytes=300)


@pytest.mark.slow
def test_checked_images_are_written_after_a_full_disk(photos: Path, tmp_path: Path) -> None:
    run_on_small_disk(images, tmp_path / "disk", photos, tmp_path / "workspace", kilobytes=300)


@pytest.mark.slow
def test_images_are_fetched_after_a_full_disk(photos: Path, tmp_path: Path) -> None:
    run_on_small_disk(fetch, tmp_path / "disk", photos, kilobytes=300)
