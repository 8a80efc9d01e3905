"""Images that nobody reads: what can be told from their URLs, and what cannot."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from mmecinstruct.core.duckdb import connect
from mmecinstruct.images import references
from mmecinstruct.images.references import reference_images, refusal_of_url
from mmecinstruct.images.settings import ImageSettings
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, CURATED_REVIEWS, IMAGES


def referenced(
    products: list[tuple[str, list[str]]],
    reviews: list[list[str]] | None = None,
    taken_down: tuple[str, ...] = (),
    **settings: Any,
) -> tuple[dict[str, str], list[Any]]:
    """Return the reason of each URL, empty where it is taken, and the rejections. products: (cluster, URLs)."""
    rows = [
        {"product_id": f"p{number}", "cluster_id": cluster, "image_urls": urls}
        for number, (cluster, urls) in enumerate(products)
    ]
    with connect() as connection:
        connection.register("products", pa.Table.from_pylist(rows, schema=CURATED_PRODUCTS))
        said = [{"review_id": str(n), "image_urls": urls} for n, urls in enumerate(reviews or [])]
        connection.register("reviews", pa.Table.from_pylist(said, schema=CURATED_REVIEWS))
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


def test_urls_of_products_and_reviews_are_taken_once_each() -> None:
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
def test_what_a_url_alone_says(url: str, reason: str) -> None:
    found = refusal_of_url(url)
    assert (found[0] if found else "") == reason


def test_placeholders_are_known_by_the_recipe_and_by_how_many_products_share_them() -> None:
    shared, known = "https://x.example/none.jpg", "https://x.example/logo.jpg"
    products = [(f"cluster {n}", [shared]) for n in range(4)]
    assert referenced(products, max_products_per_image=4)[0] == {shared: ""}
    reasons, (rejection,) = referenced(products, max_products_per_image=3)
    assert reasons == {shared: "placeholder"}
    assert rejection.detail == "the same URL under 4 products, at most 3"
    # Variants of one product may share their image.
    assert referenced([("one", [shared])] * 9, max_products_per_image=3)[0] == {shared: ""}
    assert referenced([("a", [known])], placeholders=(known,))[0] == {known: "placeholder"}


def test_the_takedown_list_holds_for_every_size_of_a_url() -> None:
    reasons, (rejection,) = referenced(
        [("a", ["https://x.example/I/51q4._SX38_.jpg"])], taken_down=("https://x.example/I/51q4.jpg",)
    )
    assert list(reasons.values()) == ["taken_down"]
    assert (rejection.stage, rejection.reason) == ("references", "taken_down")


@pytest.mark.filterwarnings("error")
def test_nothing_is_said_beside_the_result() -> None:
    assert referenced([("a", ["https://x.example/1.jpg"])])[0] == {"https://x.example/1.jpg": ""}


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    products = [(f"c{n}", [f"https://x.example/{n}.jpg", f"{n}.jpg"]) for n in range(30)]
    whole = referenced(products)
    monkeypatch.setattr(references, "_BATCH_ROWS", 7)
    assert referenced(products) == whole
    assert referenced([]) == ({}, [])
