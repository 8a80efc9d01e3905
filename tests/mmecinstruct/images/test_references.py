"""Images published by URL only: which URLs are rejected and why."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from mmecinstruct.core.duckdb import connect
from mmecinstruct.images import references
from mmecinstruct.images.references import reference_images, url_rejection
from mmecinstruct.images.settings import ImageSettings
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, CURATED_REVIEWS, IMAGES


def referenced(
    products: list[tuple[str, list[str]]],
    reviews: list[list[str]] | None = None,
    taken_down: tuple[str, ...] = (),
    **settings: Any,
) -> tuple[dict[str, str], list[Any]]:
    """Return the reason of each URL, empty where it is kept, and the rejections. products: (cluster, URLs)."""
    rows = [
        {"product_id": f"p{number}", "cluster_id": cluster, "image_urls": urls}
        for number, (cluster, urls) in enumerate(products)
    ]
    with connect() as connection:
        connection.register("products", pa.Table.from_pylist(rows, schema=CURATED_PRODUCTS))
        rows_of_reviews = [{"review_id": str(n), "image_urls": urls} for n, urls in enumerate(reviews or [])]
        connection.register("reviews", pa.Table.from_pylist(rows_of_reviews, schema=CURATED_REVIEWS))
        table, rejections = reference_images(connection, ImageSettings(**settings), taken_down)
    assert table.schema == IMAGES
    assert table["image_id"].null_count == table.num_rows
    assert table["image_url"].to_pylist() == sorted(table["image_url"].to_pylist())
    statuses = {
        row["image_url"]: row["reason"]
        for row in table.to_pylist()
        if (row["status"] == "ok") == (row["reason"] == "")
    }
    assert len(statuses) == table.num_rows
    return statuses, rejections


def test_urls_of_products_and_reviews_appear_once() -> None:
    reasons, rejections = referenced(
        [("a", ["https://x.example/1.jpg", "https://x.example/2.jpg"]), ("a", ["https://x.example/1.jpg"])],
        [["http://y.example/r.jpg"], []],
    )
    assert reasons == dict.fromkeys(
        ["http://y.example/r.jpg", "https://x.example/1.jpg", "https://x.example/2.jpg"], ""
    )
    assert rejections == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://m.media-amazon.com/images/I/81Q8KloKI1L._SY385_.jpg", ""),
        ("HTTPS://X.example/a%2Bb.jpg?size=1", ""),
        ("a.jpg", "no_web_address"),
        ("/etc/passwd", "no_web_address"),
        ("", "no_web_address"),
        ("https://", "no_web_address"),
        ("https://[::1/x.jpg", "no_web_address"),
        ("https://x.example/a b.jpg", "no_web_address"),
        ("https://x.example/" + "a" * 5000, "no_web_address"),
        ("file:///a.jpg", "unknown_scheme"),
        ("ftp://x.example/a.jpg", "unknown_scheme"),
        ("https://user:word@x.example/a.jpg", "credentials_in_url"),
        ("https://x.example/a@b.jpg", ""),
        ("data:image/png;base64,xx", "data_url"),
        ("https://images.example/I/01RmK+J4pJL._SX50_.jpg", "placeholder"),
        ("https://m.media-amazon.com/images/I/11x,SX50_PKmb-play-button-overlay-thumb_.jpg", "placeholder"),
    ],
)
def test_a_url_alone_decides_its_reason(url: str, reason: str) -> None:
    found = url_rejection(url)
    assert (found[0] if found else "") == reason


def test_listed_and_shared_urls_are_placeholders() -> None:
    shared, known = "https://x.example/none.jpg", "https://x.example/logo.jpg"
    products = [(f"cluster {n}", [shared]) for n in range(4)]
    assert referenced(products, max_products_per_image=4)[0] == {shared: ""}
    reasons, (rejection,) = referenced(products, max_products_per_image=3)
    assert reasons == {shared: "placeholder"}
    assert rejection.detail == "the same URL under 4 unrelated products, at most 3"
    # Variants of one product may share their image.
    assert referenced([("one", [shared])] * 9, max_products_per_image=3)[0] == {shared: ""}
    assert referenced([("a", [known])], placeholders=(known,))[0] == {known: "placeholder"}


def test_the_takedown_list_covers_every_size_of_a_url() -> None:
    reasons, (rejection,) = referenced(
        [("a", ["https://x.example/I/51q4._SX38_.jpg"])], taken_down=("https://x.example/I/51q4.jpg",)
    )
    assert list(reasons.values()) == ["taken_down"]
    assert (rejection.stage, rejection.reason) == ("references", "taken_down")


@pytest.mark.filterwarnings("error")
def test_no_warning_is_raised() -> None:
    assert referenced([("a", ["https://x.example/1.jpg"])])[0] == {"https://x.example/1.jpg": ""}


def test_the_batch_size_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    products = [(f"c{n}", [f"https://x.example/{n}.jpg", f"{n}.jpg"]) for n in range(30)]
    whole = referenced(products)
    monkeypatch.setattr(references, "_BATCH_ROWS", 7)
    assert referenced(products) == whole
    assert referenced([]) == ({}, [])
