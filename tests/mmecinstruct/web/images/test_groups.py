"""The images of a product are tried in order until enough are accepted."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from mmecinstruct.core.errors import RecipeError
from mmecinstruct.web.images import Takedown, Takedowns, candidate_urls, fetch_groups

HOST = "https://m.media-amazon.com/images/I"


@pytest.mark.parametrize(
    ("given", "order"),
    [
        ([f"{HOST}/51q4dzMwpFL._SX38_SY50_CR,0,0,38,50_.jpg"], ["51q4dzMwpFL", "51q4dzMwpFL._SX38_SY50_CR,0,0,38,50_"]),
        ([f"{HOST}/a.jpg", f"{HOST}/a._SS40_.jpg"], ["a", "a._SS40_"]),
        ([f"{HOST}/61%2BXs._SY88.jpg"], ["61%2BXs", "61%2BXs._SY88"]),
        ([f"{HOST}/a._SS40_.jpg", f"{HOST}/b.jpg"], ["a", "b", "a._SS40_"]),
        ([f"{HOST}/a._SX50_SY65_CR,0,0,50,65_PKmb-play-button-overlay-thumb_.jpg", f"{HOST}/a.jpg"], []),
        ([" ", ""], []),
    ],
)  # fmt: skip
def test_full_size_comes_first_and_the_given_size_last(given: list[str], order: list[str]) -> None:
    assert candidate_urls(given) == [f"{HOST}/{name}.jpg" for name in order]


def test_urls_of_other_servers_stay_as_they_are() -> None:
    assert candidate_urls(["https://shop.example/a._SX38_.jpg"]) == ["https://shop.example/a._SX38_.jpg"]


def test_the_next_is_tried_only_when_one_fails(fetch: Any, images: Any, answer: Any) -> None:
    images.routes.update({"/b.jpg": answer(body=b"b"), "/c.jpg": answer(body=b"c")})
    group = [images.url(path) for path in ("/a.jpg", "/b.jpg", "/c.jpg")]
    report = fetch([group])
    assert report.groups[0].tried == tuple(group[:2])
    assert report.groups[0].accepted == (group[1],)
    assert report.snapshot["url"].to_pylist() == group[:2]
    assert report.counts == {"fetched": 1, "http_404": 1}
    assert images.paths() == ["/a.jpg", "/b.jpg"]


def test_a_image_that_is_no_good_is_as_good_as_none(fetch: Any, images: Any, answer: Any) -> None:
    images.routes.update({"/a.jpg": answer(body=b"bad"), "/b.jpg": answer(body=b"good")})
    group = [images.url("/a.jpg"), images.url("/b.jpg")]

    def accept(content: bytes) -> str | None:
        return None if content == b"good" else "blank"

    report = fetch([group], accept=accept)
    assert report.groups[0].accepted == (group[1],)
    assert report.counts == {"fetched": 2}
    # From the store, the same judgement and no request; another judgement, another result.
    before = len(images.log)
    assert fetch([group], accept=accept).groups == report.groups
    assert fetch([group], accept=lambda content: None).groups[0].tried == (group[0],)
    assert len(images.log) == before


def test_as_many_as_wanted_are_fetched(fetch: Any, images: Any, answer: Any) -> None:
    images.default = answer(body=b"x")
    images.routes["/1"] = answer(404)
    group = [images.url(f"/{n}") for n in range(6)]
    report = fetch([group], wanted=3)
    assert report.groups[0].accepted == (group[0], group[2], group[3])
    assert fetch([group], images_per_product=1).groups[0].tried == (group[0],)


def test_a_url_of_many_products_is_fetched_once(fetch: Any, images: Any, answer: Any) -> None:
    images.default = answer(body=b"x", delay=0.01)
    images.routes["/bad"] = answer(404)
    shared, bad = images.url("/shared"), images.url("/bad")
    groups = [[bad, shared, images.url(f"/{n}")] for n in range(20)] + [[shared, shared], []]
    report = fetch(groups)
    assert [group.accepted for group in report.groups] == [(shared,)] * 21 + [()]
    assert sorted(images.paths()) == ["/bad", "/shared"]


def test_progress_counts_products(fetch: Any, images: Any, answer: Any) -> None:
    images.default = answer(body=b"x")
    seen: list[tuple[int, int]] = []
    fetch([images.url(f"/{n}") for n in range(5)], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n, 5) for n in range(6)]


def test_an_error_of_accept_is_raised_and_outcomes_are_kept(fetch: Any, images: Any, answer: Any) -> None:
    for number in range(10):
        images.routes[f"/{number}"] = answer(body=b"%d" % number)
    urls = [images.url(f"/{n}") for n in range(10)]

    def accept(content: bytes) -> str | None:
        if content == b"7":
            raise ZeroDivisionError
        return None

    with pytest.raises(ZeroDivisionError):
        fetch(urls, accept=accept, threads=1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fetch-")]
    before = len(images.paths())
    fetch(urls)
    assert len(images.paths()) - before == 3  # 7, 8 and 9


def test_taken_down_images_are_neither_requested_nor_kept(fetch: Any, images: Any, answer: Any) -> None:
    import hashlib

    images.routes.update({"/a": answer(body=b"a"), "/b": answer(body=b"b"), "/c": answer(body=b"c")})
    group = [images.url(path) for path in ("/a", "/b", "/c")]
    digest = hashlib.sha256(b"b").hexdigest()
    takedowns = Takedowns((Takedown("url", group[0]), Takedown("image", digest)))
    report = fetch([group], takedowns=takedowns)
    assert report.groups[0].accepted == (group[2],)
    assert report.counts == {"fetched": 1, "taken_down": 1}
    assert report.withheld == 1
    assert images.paths() == ["/b", "/c"]
    assert not (fetch.folder / "objects" / digest[:2] / digest[2:]).exists()
    again = fetch([group], takedowns=takedowns)
    assert (again.asked, again.groups) == (0, report.groups)


def test_an_entry_made_by_hand_applies_to_fetched_images(fetch: Any, images: Any, answer: Any) -> None:
    import hashlib

    images.routes["/a"] = answer(body=b"a")
    fetch([images.url("/a")])
    digest = hashlib.sha256(b"a").hexdigest()
    report = fetch([images.url("/a")], takedowns=Takedowns((Takedown("image", digest),)))
    assert report.counts == {"taken_down": 1}
    assert images.paths() == ["/a"]
    assert not (fetch.folder / "objects" / digest[:2] / digest[2:]).exists()


def test_nothing_is_fetched_unless_the_recipe_says_so(fetch: Any) -> None:
    with pytest.raises(RecipeError, match=r"fetch\.enabled"):
        fetch_groups([["http://shop.example/a"]], fetch.settings(enabled=False), fetch.folder)
    assert not fetch.folder.exists()


def test_a_recipe_that_fetches_names_a_contact(fetch: Any) -> None:
    with pytest.raises(ValueError, match=r"fetch\.contact"):
        fetch.settings(contact=" ")
    assert fetch.settings(contact="", user_agent="own-crawler/1").robots_name == "own-crawler"
    for wrong in ("no name", "own/{name}", "own/1\r\nX: 1", "own/{", ""):
        with pytest.raises(ValueError, match="user_agent"):
            fetch.settings(user_agent=wrong)
