"""Files in the format of Amazon Reviews 2023: metadata and reviews, raw or as `datasets` exports them.

What `datasets` does to a row: the price is a text (`'None'` where there is none), `details` is JSON in a text, and
`images` and `videos` are one object of lists instead of a list of objects.
"""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.synthetic.shop.vocabulary import scatter
from tests.mmecinstruct.publisher_files.goods import (
    DOMAINS,
    Good,
    Purchase,
    good,
    goods,
    purchases,
    review_text,
)
from tests.mmecinstruct.publisher_files.packed import open_text

Shape = Literal["json_lines", "datasets"]

DOMAINS_WITHOUT_CATEGORIES = frozenset({"All_Beauty"})  # `categories` is [] in all of their rows
_IMAGES = "https://m.media-amazon.com/images/I/"
_STARS = ("Zero", "One", "Two", "Three", "Four", "Five")


def write_metadata(
    folder: Path, domain: str, count: int, seed: int, shape: Shape = "json_lines"
) -> Counter[str]:
    """Write amazon2023/meta_<domain>.jsonl.gz; return its lines and the expected rejections by reason.

    `duplicate_id`: rows of a product that the file has already, which no reader of single lines can know.
    """
    counts: Counter[str] = Counter()
    with open_text(folder / "amazon2023" / f"meta_{domain}.jsonl.gz") as file:
        for item in goods(domain, count, seed):
            row, reason = _metadata_row(item)
            line = json.dumps(_as_datasets(row) if shape == "datasets" else row)
            file.write(line + "\n")
            counts["lines"] += 1
            if reason:
                counts[reason] += 1
            elif item.chance % 97 == 96:
                file.write(line + "\n")
                counts.update(("lines", "duplicate_id"))
        file.write('{"main_category": "' + DOMAINS[domain][0] + '", "title": "cut of\n')
        counts.update(("lines", "broken_json"))
    return counts


def _metadata_row(item: Good) -> tuple[dict[str, Any], str]:
    """Return a row and the expected reason of its rejection, empty where it is kept."""
    chance = item.chance
    title, parent_asin, reason = item.title, item.asin, ""
    if chance % 83 == 0:
        title, reason = "", "missing_title"
    elif chance % 331 == 1:
        parent_asin, reason = "", "missing_id"
    elif chance % 41 == 0:
        title = html.escape(f"{title} & More", quote=False)
    price: float | None = None if chance % 3 == 0 else item.price
    categories = [item.top, item.middle, item.fine]
    if item.domain in DOMAINS_WITHOUT_CATEGORIES or chance % 43 == 2:
        categories = []
    images = [
        {
            "thumb": f"{_IMAGES}{image}._AC_US40_.jpg",
            "large": f"{_IMAGES}{image}._AC_.jpg",
            "variant": variant,
            "hi_res": None if chance % 4 == 1 else f"{_IMAGES}{image}._AC_SL1500_.jpg",
        }
        for variant, image in (("MAIN", item.image_id), ("PT01", f"0{item.image_id[1:]}"))
    ]
    videos = (
        [{"title": item.title, "url": f"https://www.amazon.com/vdp/{item.asin}", "user_id": ""}]
        if chance % 11 == 3
        else []
    )
    row: dict[str, Any] = {
        "main_category": None if chance % 53 == 4 else item.top,
        "title": title,
        "average_rating": round(1 + chance % 41 / 10, 1),
        "rating_number": 1 + chance % 4_000,
        "features": [] if chance % 5 == 0 else [f"Made of {item.material.lower()}", f"Color: {item.colour}"],
        "description": [] if chance % 2 else [f"A {item.noun.lower()} by {item.brand}."],
        "price": price,
        "images": [] if chance % 31 == 5 else images[: 1 + chance % 2],
        "videos": videos,
        "store": None if chance % 29 == 6 else item.brand,
        "categories": categories,
        "details": {
            "Brand": item.brand,
            "Material": item.material,
            "Item Weight": f"{1 + chance % 30} pounds",
        },
        "parent_asin": parent_asin,
        "bought_together": None,
    }
    if chance % 19 == 7:
        row |= {"subtitle": None, "author": None}
    return row, reason


def _as_datasets(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as `datasets` exports it."""
    return row | {
        "price": str(row["price"]),
        "details": json.dumps(row["details"]),
        "images": _object_of_lists(row["images"], ("hi_res", "large", "thumb", "variant")),
        "videos": _object_of_lists(row["videos"], ("title", "url", "user_id")),
        "subtitle": row.get("subtitle"),
        "author": row.get("author"),
    }


def _object_of_lists(items: list[dict[str, Any]], names: tuple[str, ...]) -> dict[str, list[Any]]:
    return {name: [item[name] for item in items] for name in names}


def write_reviews(folder: Path, domain: str, goods_count: int, users: int, seed: int) -> Counter[str]:
    """Write amazon2023/<domain>.jsonl.gz; return its lines and the expected rejections by reason.

    A third of the reviews are of a variant, whose `asin` no metadata has: only `parent_asin` joins. One in fifty
    rows has the fields' older names.
    """
    counts: Counter[str] = Counter()
    with open_text(folder / "amazon2023" / f"{domain}.jsonl.gz") as file:
        for row, reason in _review_rows(domain, goods_count, users, seed):
            file.write(json.dumps(row) + "\n")
            counts["lines"] += 1
            if reason:
                counts[reason] += 1
        file.write('{"rating": 5.0, "title": "Five\n')
        counts.update(("lines", "broken_json"))
    return counts


def _review_rows(
    domain: str, goods_count: int, users: int, seed: int
) -> Iterator[tuple[dict[str, Any], str]]:
    for purchase in purchases(domain, goods_count, users, seed):
        yield _review_row(good(domain, purchase.good, seed), purchase, seed)


def _review_row(item: Good, purchase: Purchase, seed: int) -> tuple[dict[str, Any], str]:
    chance = hash_draw(seed, "miniature review 2023", item.asin, str(purchase.user))
    text, rating, reason = review_text(item, purchase), float(purchase.rating), ""
    user = "AE" + scatter(purchase.user, 26, 36)
    if chance % 61 == 0:
        text = ""
    elif chance % 7 == 0:
        text = text.replace(". ", ".<br /><br />", 1)
    if chance % 211 == 1:
        user, reason = "", "missing_id"
    elif chance % 223 == 2:
        rating, reason = 0.0, "bad_rating"
    images = [
        {
            "small_image_url": f"{_IMAGES}{image}._SL256_.jpg",
            "medium_image_url": f"{_IMAGES}{image}._SL800_.jpg",
            "large_image_url": f"{_IMAGES}{image}._SL1600_.jpg",
            "attachment_type": "IMAGE",
        }
        for image in (scatter(chance, 11, 62),)
        if chance % 6 == 3
    ]
    row: dict[str, Any] = {
        "rating": rating,
        "title": f"{_STARS[purchase.rating]} Stars",
        "text": text,
        "images": images,
        # A variant has a number of its own.
        "asin": item.asin if chance % 3 else "B0" + scatter(chance % 36**8, 8, 36),
        "parent_asin": item.asin,
        "user_id": user,
        "timestamp": (purchase.seconds + chance % 86_400) * 1000 + chance // 86_400 % 1000,
        "helpful_vote": chance % 9,
        "verified_purchase": chance % 10 > 0,
    }
    if chance % 50 == 4:
        row["sort_timestamp"], row["helpful_votes"] = row.pop("timestamp"), row.pop("helpful_vote")
    return row, reason
