from __future__ import annotations

import io
import threading
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from caslie_model.data.images import MAX_PIXELS, decode_image
from caslie_model.data.own_images import OwnImages, embedded_image, read_own_images
from caslie_model.errors import ConfigError
from mmecinstruct.images.settings import ImageSettings
from mmecinstruct.web.images.settings import FetchSettings

ROLES = ("history 1", "history 2", "option A", "option B")


@pytest.fixture
def photos(tmp_path: Path, render: Callable[[str, int], bytes]) -> Path:
    for number, colour in enumerate(("red", "green", "blue")):
        (tmp_path / f"{colour}.jpg").write_bytes(render(colour, number))
    (tmp_path / "cut.jpg").write_bytes(render("red", 1)[:-60])
    (tmp_path / "page.html").write_text("<html>")
    return tmp_path


def colour_of(content: bytes) -> str:
    pixel = decode_image(content, "image").resize((1, 1)).getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return ("red", "green", "blue")[pixel.index(max(pixel))]


def test_images_without_a_role_take_the_next_free_one(photos: Path) -> None:
    given = [
        f"{photos}/red.jpg",
        f"option B={photos}/green.jpg",
        f"history 1={photos}/blue.jpg",
    ]
    found = read_own_images(given, ROLES)
    assert [(each.image.role, colour_of(each.content)) for each in found] == [
        ("history 1", "blue"),
        ("history 2", "red"),
        ("option B", "green"),
    ]


def test_an_equals_sign_may_be_in_a_file_name(photos: Path) -> None:
    path = photos / "a=b.jpg"
    path.write_bytes((photos / "red.jpg").read_bytes())
    assert len(read_own_images([str(path)], ("product",))) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["gone.jpg"], "image gone.jpg: there is no such file"),
        (["option C=red.jpg"], "no such file, and the question shows no 'option C', but product"),
        (["page.html"], "page.html: not_an_image"),
        (["cut.jpg"], "cut.jpg: truncated_or_corrupt"),
        (["."], "there is no such file"),
        (["red.jpg"] * 2, "shows 1 at most, of product"),
        (["product=red.jpg", "product=red.jpg"], "'product' has an image already"),
        (["a\0b"], "image a\0b"),
    ],
)
def test_a_bad_image_is_named(
    photos: Path, given: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    with pytest.raises(ConfigError, match=message):
        read_own_images(given, ("product",))


def test_a_large_image_becomes_as_large_as_in_a_dataset() -> None:
    stream = io.BytesIO()
    Image.new("RGBA", (1600, 800), (255, 0, 0, 255)).save(stream, "PNG")
    found = embedded_image(stream.getvalue(), "product")
    assert found.image is not None
    assert decode_image(found.image.content, "image").size == (512, 256)


def test_an_image_that_claims_too_many_pixels_is_not_decoded() -> None:
    stream = io.BytesIO()
    Image.new("1", (MAX_PIXELS // 5000 + 1, 5000)).save(stream, "PNG")
    found = embedded_image(stream.getvalue(), "product")
    assert (found.image, found.reason.partition(":")[0]) == (None, "too_many_pixels")


def own_images(root: Path, **fetch: object) -> OwnImages:
    settings = FetchSettings.model_validate(fetch)
    return OwnImages(ImageSettings(), settings, root, root / "fetched")


def test_the_first_readable_image_of_a_product_is_found(photos: Path) -> None:
    images = own_images(photos)
    found = images.find(["gone.jpg", "cut.jpg", "blue.jpg", "red.jpg"], "product")
    assert found.image is not None
    assert (colour_of(found.image.content), found.reason) == ("blue", "")
    assert images.find([], "product") == (None, "")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("gone.jpg", "dead_path"),
        ("cut.jpg", "truncated_or_corrupt"),
        ("../outside.jpg", "outside_folders"),
        ("/etc/hostname", "outside_folders"),
        ("data:image/png;base64,xx", "data_url"),
        ("https://shop.example/a.jpg", "not_fetched"),
    ],
)
def test_an_image_that_cannot_be_used_has_a_reason(photos: Path, url: str, reason: str) -> None:
    (photos.parent / "outside.jpg").write_bytes((photos / "red.jpg").read_bytes())
    images = own_images(photos)
    images.fetch([[url]])
    found = images.find([url], "product")
    assert (found.image, found.reason.partition(":")[0]) == (None, reason)


def test_private_addresses_are_not_asked(photos: Path) -> None:
    images = own_images(photos, enabled=True, contact="me@shop.example", retries=0)
    urls = ["http://127.0.0.1:1/a.jpg", "http://169.254.169.254/latest"]
    images.fetch([urls[:1], urls[1:]])
    assert {images.find([url], "product").reason.partition(":")[0] for url in urls} == {"private_address"}


def test_web_addresses_are_fetched_once_where_that_is_allowed(photos: Path) -> None:
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(photos))

        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        shop = f"http://127.0.0.1:{server.server_port}"
        products = [
            [f"{shop}/red.jpg"],
            [f"{shop}/gone.jpg", f"{shop}/blue.jpg"],
            [f"{shop}/cut.jpg"],
            ["green.jpg"],
        ]
        for _ in range(2):
            images = own_images(
                photos, enabled=True, contact="me@shop.example", private_networks=["127.0.0.0/8"], retries=0
            )
            images.fetch(products)
            found = [images.find(urls, "product") for urls in products]
        server.shutdown()
    assert [each.image and colour_of(each.image.content) for each in found] == ["red", "blue", None, "green"]
    assert found[2].reason.startswith("truncated_or_corrupt")
    assert sorted(asked) == ["/blue.jpg", "/cut.jpg", "/gone.jpg", "/red.jpg", "/robots.txt"]
