"""The takedown list: read strictly, extended safely, applied at once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from mmecinstruct.core.errors import WorkspaceError
from mmecinstruct.web.images import (
    ImageStore,
    Ledger,
    Takedown,
    Takedowns,
    add_takedown,
    load_takedowns,
    remove_takedown,
)

HASH = hashlib.sha256(b"x").hexdigest()


def add(workspace: Path, kind: str, value: str, note: str = "") -> None:
    add_takedown(workspace, workspace / "fetched", kind, value, note)


def test_no_list_takes_nothing_down(tmp_path: Path) -> None:
    assert load_takedowns(tmp_path) == Takedowns()
    assert not Takedowns().is_url("")


def test_entries_are_found_by_kind(tmp_path: Path) -> None:
    add(tmp_path, "product", " amazon18:B001 ", 'asked for,\nby the "seller"')
    add(tmp_path, "url", "https://m.media-amazon.com/images/I/61%2BXs._SX38_.jpg")
    add(tmp_path, "image", HASH.upper())
    add(tmp_path, "image", HASH)
    found = load_takedowns(tmp_path)
    assert found.counts() == {"product": 1, "url": 1, "image": 1}
    assert found.entries[0].note == 'asked for, by the "seller"'
    assert "amazon18:B001" in found.products
    assert "amazon18:B002" not in found.products
    assert found.is_image(HASH)
    assert not found.is_image(None)
    for size in ("", "._SY500_", "._SX38_SY50_CR,0,0,38,50_"):
        assert found.is_url(f"https://m.media-amazon.com/images/I/61%2BXs{size}.jpg")
    assert not found.is_url("https://m.media-amazon.com/images/I/61%2BXt.jpg")


def test_an_entry_names_one_image(tmp_path: Path) -> None:
    host = "https://h.example"
    for query in ("hash=abcdef0123456789", "key=p1", "token=t1", "user=a&v=1", "v=2&Signature=x&Expires=1"):
        add(tmp_path, "url", f"{host}/photo.php?{query}")
    found = load_takedowns(tmp_path)
    for query in ("hash=abcdef0123456788", "key=p2", "token=t2", "user=b&v=1", "v=3&Signature=x", "v=1", ""):
        assert not found.is_url(f"{host}/photo.php?{query}"), query
    assert not found.is_url(f"{host}/photo.php")
    for query in ("key=p1&X-Amz-Signature=y&X-Amz-Date=3", "v=2&Signature=y&Expires=2", "v=2", "key=p1"):
        assert found.is_url(f"{host}/photo.php?{query}"), query
    # As published, without its token.
    add(tmp_path, "url", f"{host}/a.jpg?w=1")
    assert load_takedowns(tmp_path).is_url(f"{host}/a.jpg?w=1&token=t1")


@pytest.mark.parametrize(
    ("kind", "value"),
    [("shop", "x"), ("image", "abc"), ("image", HASH + "0"), ("url", " "), ("url", "a\x00b")],
)
def test_an_invalid_entry_is_an_error(tmp_path: Path, kind: str, value: str) -> None:
    with pytest.raises(WorkspaceError, match="takedown"):
        add(tmp_path, kind, value)
    assert not (tmp_path / "takedowns.csv").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"a,b\n", r":1: the first line"),
        (b"kind,value,note\nproduct,a\n", r":2: 2 values"),
        (b"kind,value,note\nproduct,a,\nshop,b,\n", r":3: no kind 'shop'"),
        (b"kind,value,note\n\nimage,123,\n", r":3: the value of an image"),
        (b'kind,value,note\nproduct,"a,\n', r":2: unexpected end"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_damaged_list_stops_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "takedowns.csv").write_bytes(content)
    with pytest.raises(WorkspaceError, match=message):
        load_takedowns(tmp_path)


def test_a_list_edited_elsewhere_is_read(tmp_path: Path) -> None:
    (tmp_path / "takedowns.csv").write_bytes("\ufeffkind,value,note\r\nproduct,a,\r\n".encode())
    assert "a" in load_takedowns(tmp_path).products


def test_adding_removes_the_image_and_its_urls_are_not_asked_for(
    fetch: Any, images: Any, answer: Any
) -> None:
    images.routes.update({path: answer(body=b"x") for path in ("/a", "/same")})
    images.routes["/b"] = answer(body=b"b")
    a, same, b = (images.url(path) for path in ("/a", "/same", "/b"))
    fetch([a, same, b])
    workspace, store = fetch.folder.parent, ImageStore(fetch.folder)

    add(workspace, "url", a)  # the bytes came under another URL too
    assert store.has(HASH)
    report = fetch([[a, b]], takedowns=load_takedowns(workspace))
    assert report.groups[0].accepted == (b,)
    add(workspace, "url", b)
    assert not store.has(hashlib.sha256(b"b").hexdigest())

    add(workspace, "image", HASH)
    assert not store.has(HASH)
    assert fetch([[a], [same], [b]], takedowns=load_takedowns(workspace)).counts == {"taken_down": 1}
    ledger = Ledger(fetch.folder)
    assert {row.reason for row in ledger.known([a, same, b]).values()} == {"taken_down"}
    ledger.close()
    assert sorted(images.paths()) == ["/a", "/b", "/same"]


def test_what_is_off_the_list_is_asked_for_again(fetch: Any, images: Any, answer: Any) -> None:
    images.routes.update({path: answer(body=path.encode()) for path in ("/a", "/b")})
    a, b = images.url("/a"), images.url("/b")
    fetch([a, b])
    workspace = fetch.folder.parent
    hash_of_b = hashlib.sha256(b"/b").hexdigest()
    for kind, value in (("url", a), ("image", hash_of_b), ("product", "shop:1")):
        add(workspace, kind, value, "a mistake")
    assert fetch([[a], [b]], takedowns=load_takedowns(workspace)).counts == {"taken_down": 1}
    remove_takedown(workspace, fetch.folder, "image", hash_of_b.upper())
    assert remove_takedown(workspace, fetch.folder, "url", a) == Takedown("url", a, "a mistake")
    assert load_takedowns(workspace).entries == (Takedown("product", "shop:1", "a mistake"),)
    report = fetch([[a], [b]], takedowns=load_takedowns(workspace))
    assert [group.accepted for group in report.groups] == [(a,), (b,)]
    with pytest.raises(WorkspaceError, match=f"has no url {a}; `mmec takedown list` prints it"):
        remove_takedown(workspace, fetch.folder, "url", a)


def test_a_taken_down_url_covers_all_sizes(fetch: Any, images: Any, answer: Any, redirect: Any) -> None:
    images.routes["/I/1._SX38_.jpg"] = answer(body=b"x")
    images.routes["/short"] = redirect("/I/2.jpg")
    images.routes["/I/2.jpg"] = answer(body=b"2")
    small, short, full = (images.url(path) for path in ("/I/1._SX38_.jpg", "/short", "/I/1.jpg"))
    fetch([small, short])
    workspace, store = fetch.folder.parent, ImageStore(fetch.folder)
    add(workspace, "url", full)
    assert not store.has(HASH)
    add(workspace, "url", images.url("/I/2.jpg"))
    assert not store.has(hashlib.sha256(b"2").hexdigest())


def test_a_redirect_to_a_taken_down_url_is_not_followed(
    fetch: Any, images: Any, answer: Any, redirect: Any
) -> None:
    images.routes.update({"/short": redirect("/a"), "/a": answer(body=b"x")})
    takedowns = Takedowns((Takedown("url", images.url("/a")),))
    for _ in range(2):
        assert fetch.reason(images.url("/short"), takedowns=takedowns) == ("permanent", "taken_down")
    assert images.paths() == ["/short"]
    # An entry that is gone forbids nothing.
    assert fetch.reason(images.url("/short")) == ("fetched", "")
    assert fetch.reason(images.url("/short"), takedowns=takedowns) == ("permanent", "taken_down")


def test_a_product_without_its_source_would_match_nothing(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="begins with its source"):
        add(tmp_path, "product", "B00EXAMPLE")
    assert load_takedowns(tmp_path) == Takedowns()
