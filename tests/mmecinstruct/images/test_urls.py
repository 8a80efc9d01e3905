"""Image URLs: every candidate at full size, best first, without images that show no product."""

from __future__ import annotations

import random

import pytest

from mmecinstruct.images import urls as image_module
from mmecinstruct.images.urls import full_size_url, image_urls, is_placeholder

HOST = "https://m.media-amazon.com/images/I"


@pytest.mark.parametrize(
    "code",
    [
        "._SX38_SY50_CR,0,0,38,50_",
        "._SY88",
        "._AC_SX425_",
        "._SS40_",
        "._SX35_SY46._CR0,0,35,46_BG85,85,85_BR-120_PKdp-play-icon-overlay__",
    ],
)
@pytest.mark.parametrize("image", ["51q4dzMwpFL", "61%2BXs5sKnmL", "61-SX1JFWFL", "71_a+bL"])
def test_size_codes_are_removed(image: str, code: str) -> None:
    assert full_size_url(f"{HOST}/{image}{code}.jpg") == f"{HOST}/{image}.jpg"


@pytest.mark.parametrize(
    "url",
    [
        f"{HOST}/51q4dzMwpFL.jpg",
        "https://shop.example/images/chair._small_.jpg",
        "https://shop.example/I/chair.front.jpg",
        "https://m.media-amazon.com/images/G/01/digital/Back._SX1080_.jpg",
        "images/chair._SX38_.jpg",
        "",
    ],
)
def test_urls_of_other_forms_are_unchanged(url: str) -> None:
    assert full_size_url(url) == url


def test_candidates_keep_the_order_of_fields_and_appear_once() -> None:
    urls = image_urls(
        [f"{HOST}/a.jpg", f"{HOST}/b.jpg"],
        [f"{HOST}/b._SX38_.jpg", f"{HOST}/c._SX38_.jpg"],
        f"{HOST}/d.jpg",
        None,
    )
    assert urls == [f"{HOST}/{name}.jpg" for name in "abcd"]


def test_the_shortcut_for_usual_urls_gives_the_same_result() -> None:
    noise, short = random.Random(4), 0
    hosts = [
        HOST,
        "http://x.y/images/I",
        "https://x/images/I",
        "https://x/images/S",
        " https://x/images/I",
        "//x/images/I",
        "https://no-img-x/images/I",
    ]
    ids = [
        *("a", "b%2B", "01RmK+J4pJL", "c.d", "e f", "no-img-x", "Default_Background_Art_LTR", ""),
        "11x,SX50_PKmb-play-button-overlay-thumb_",
    ]
    codes = [
        "._SX38_",
        "._SX38_SY50_CR,0,0,38,50_",
        "._SS40_PKdp-play-icon-overlay__",
        "._a b_",
        "._a/b_",
        ".",
        "",
    ]
    ends = [".jpg", ".jpeg", ".gif", ".x", "", ".jpg?x=1", ".jpg#y"]
    for number in range(30_000):
        tidy = number % 2 == 0
        full, thumbnails = [], []
        for _ in range(noise.randrange(4)):
            parts = [noise.choice(some[:2] if tidy else some) for some in (hosts, ids, codes, ends)]
            full.append(f"{parts[0]}/{parts[1]}{parts[3]}")
            thumbnails.append(f"{parts[0]}/{parts[1]}{parts[2]}{parts[3]}")
        if noise.random() < 0.05:
            more = noise.choice([["", ""], ["", f"{HOST}/z.jpg"], [f"{HOST}/z.jpg", f"{HOST}/z.jpg"]])
            full.append(more[0])
            thumbnails.append(more[1])
        if not tidy and noise.random() < 0.3:
            noise.choice([full, thumbnails]).append(
                noise.choice([None, 3, "", f"{HOST}/z.jpg", f"{HOST}/z.jpg x"])
            )
        # A third field, even without new URLs, disables the shortcut.
        assert image_urls(full, thumbnails, [], None) == image_urls(full, thumbnails, full), (
            full,
            thumbnails,
        )
        short += bool(image_module._usual_urls(full, thumbnails))
    assert 10_000 < short < 20_000


def test_objects_give_their_largest_image() -> None:
    assert image_urls([{"hi_res": None, "large": f"{HOST}/l.jpg", "thumb": f"{HOST}/t.jpg"}]) == [
        f"{HOST}/l.jpg"
    ]
    columns = {"hi_res": [f"{HOST}/1.jpg", None], "thumb": [f"{HOST}/t.jpg", f"{HOST}/2.jpg"]}
    assert image_urls(columns) == [f"{HOST}/1.jpg", f"{HOST}/2.jpg"]


def test_values_of_other_types_give_nothing() -> None:
    assert image_urls([None, 3, "", " ", ["nested"]], 5, {"large": "no list"}) == []


@pytest.mark.parametrize(
    "url",
    [
        f"{HOST}/01RmK+J4pJL._AC_.gif",
        f"{HOST}/01RmK%2BJ4pJL.gif",
        "http://g-ecx.images-amazon.com/images/G/01/x-site/icons/no-img-sm._CB192198896_.gif",
        "https://m.media-amazon.com/images/G/01/digital/video/web/Default_Background_Art_LTR._SX1080_FMjpg_.jpg",
    ],
)
def test_known_placeholders_are_left_out(url: str) -> None:
    assert is_placeholder(full_size_url(url))
    assert image_urls([url, f"{HOST}/a.jpg"]) == [f"{HOST}/a.jpg"]


def test_a_still_of_a_video_is_left_out_in_every_field() -> None:
    full_size = [f"{HOST}/a.jpg", f"{HOST}/still._SX35_SY46.jpg"]
    thumbnails = [
        f"{HOST}/a._SX38_.jpg",
        f"{HOST}/still._SX35_SY46._CR0,0,35,46_BR-120_PKdp-play-icon-overlay__.jpg",
    ]
    assert image_urls(full_size, thumbnails) == [f"{HOST}/a.jpg"]
