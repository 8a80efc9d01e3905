"""An image is opened only where the recipe allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmecinstruct.core.errors import RecipeError
from mmecinstruct.engine.executors import LocalExecutor
from mmecinstruct.engine.run import Run
from mmecinstruct.engine.workspace import Workspace
from mmecinstruct.images.locate import ImageLocator, LocatedImage
from mmecinstruct.images.settings import ImageSettings, Mirror
from mmecinstruct.stages.locate_images import ImageSources, locate_images
from mmecinstruct.web.images import Takedowns
from mmecinstruct.web.images.settings import FetchSettings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "images" / "I").mkdir(parents=True)
    (root / "images" / "I" / "a b.jpg").write_bytes(b"an image")
    (root / "private").mkdir()
    (root / "private" / "secret.jpg").write_bytes(b"an image")
    (tmp_path / "outside.jpg").write_bytes(b"an image")
    (root / "images" / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    (root / "images" / "loop.jpg").symlink_to(root / "images" / "loop.jpg")
    (root / "images" / "folder.jpg").mkdir()
    return root


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://shop.example/I/a%20b.jpg", ""),
        ("images/I/a b.jpg", ""),
        ("https://shop.example/I/none.jpg", "dead_path"),
        ("https://elsewhere.example/I/a.jpg", "no_local_copy"),
        ("https://shop.example/../private/secret.jpg", "outside_folders"),
        ("https://shop.example/%2e%2e/private/secret.jpg", "outside_folders"),
        ("https://shop.example/link.jpg", "outside_folders"),
        ("private/secret.jpg", "dead_path"),
        ("../outside.jpg", "outside_folders"),
        ("/etc/passwd", "outside_folders"),
        ("file:///etc/passwd", "outside_folders"),
        ("data:image/png;base64,AAAA", "data_url"),
        ("ftp://shop.example/a.jpg", "unknown_scheme"),
        ("a\0b.jpg", "bad_path"),
        ("x" * 5000, "bad_path"),
        ("loop.jpg", "bad_path"),
        ("folder.jpg", "dead_path"),
        ("https://[x/a.jpg", "bad_path"),
        ("https://shop.example.evil.example/I/a%20b.jpg", "no_local_copy"),
    ],
)
def test_nothing_outside_the_named_folders_is_opened(root: Path, url: str, reason: str) -> None:
    settings = ImageSettings(
        mirrors=(Mirror(url="https://shop.example/", folder="images"),), folders=("images",)
    )
    if url.startswith("images/"):
        settings = settings.model_copy(update={"folders": (".",)})
    assert ImageLocator(settings, [root]).locate(url).reason == reason


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("I/a b.jpg", "images/I/a b.jpg"),
        ("./I/../I/a b.jpg", "images/I/a b.jpg"),
        ("{root}/images/I/a b.jpg", "images/I/a b.jpg"),
        ("file://{root}/images/I/a%20b.jpg", "images/I/a b.jpg"),
        ("{root}/images/I/lost.jpg", "images/I/lost.jpg"),
        ("secret.jpg", "private/secret.jpg"),
        ("lost.jpg", "images/lost.jpg"),
        # Outside, and on the web, a name stays.
        ("{root}/outside.jpg", "{root}/outside.jpg"),
        ("https://shop.example/I/a%20b.jpg", "https://shop.example/I/a%20b.jpg"),
        ("a\0b.jpg", "a\0b.jpg"),
    ],
)
def test_a_local_image_is_named_by_its_path_below_the_data_root(root: Path, url: str, name: str) -> None:
    mirror = Mirror(url="https://shop.example/", folder="images")
    locator = ImageLocator(ImageSettings(mirrors=(mirror,), folders=("images", "private")), [root])
    assert locator.locate(url.format(root=root)).name == name.format(root=root)


def test_details_of_bad_paths_name_no_local_folder(root: Path) -> None:
    locator = ImageLocator(ImageSettings(folders=("images",)), [root])
    for url in ("x" * 5000, "loop.jpg", "a\0b.jpg"):
        assert str(root) not in locator.locate(url).detail


def test_a_mirror_may_be_the_whole_data_root(root: Path) -> None:
    mirror = Mirror(url="https://shop.example", folder=".")
    located = ImageLocator(ImageSettings(mirrors=(mirror,)), [root]).locate(
        "https://shop.example/images/I/a%20b.jpg"
    )
    assert located.path == str(root / "images" / "I" / "a b.jpg")


def test_a_mirror_without_folder_is_a_recipe_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no folder 'nowhere'"):
        ImageLocator(ImageSettings(mirrors=(Mirror(url="https://x.example/", folder="nowhere"),)), [tmp_path])


def test_a_file_that_is_too_large_is_refused_by_its_size(tmp_path: Path) -> None:
    """A file of a terabyte, most of it a hole: nothing may read it, not even for its hash."""
    with (tmp_path / "huge.jpg").open("wb") as stream:
        stream.truncate(10**12)
    run = locate_images_of(tmp_path, ["huge.jpg"])
    assert (run.reason, run.detail) == ("too_many_bytes", "1000000000000 bytes, at most 20000000")


def locate_images_of(root: Path, names: list[str]) -> LocatedImage:
    store = Workspace(root / "ws")
    sources = ImageSources(ImageSettings(), FetchSettings(), [root], Takedowns())
    with store.lock(), LocalExecutor(1) as executor:
        (located,) = locate_images(Run(store, executor, None), [names], sources).images
    return located
