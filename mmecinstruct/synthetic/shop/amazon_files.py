"""Write the sample shop's metadata, reviews and ratings in the format of Amazon 2018."""

from __future__ import annotations

import gzip
import html
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.sources.amazon2018 import review_id
from mmecinstruct.sources.readers.fields import content_hash
from mmecinstruct.synthetic.shop import dirt
from mmecinstruct.synthetic.shop.opinions import DAY, Review, reviewer_name
from mmecinstruct.synthetic.shop.products import Product, description, features
from mmecinstruct.synthetic.shop.shop import PlantedDirt, Shop, image_url
from mmecinstruct.synthetic.shop.vocabulary import FINE_CATEGORIES, PAIRS, TOP_CATEGORIES, file_name, scatter

_THUMBNAIL = "._SX38_SY50_CR,0,0,38,50_"
_GZIP_LEVEL = 4


@contextmanager
def _gzip_lines(path: Path) -> Iterator[TextIOWrapper]:
    """Open a gzip file for text, without time and name, so that its bytes depend only on the text."""
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=raw, mtime=0) as packed,
        TextIOWrapper(packed, encoding="ascii", newline="\n") as text,
    ):
        yield text


def write_metadata(
    shop: Shop, top: str, members: Sequence[Product], folder: Path, planted: PlantedDirt
) -> None:
    """Write the metadata file of a top-level category.

    Args:
        shop: The shop.
        top: The top-level category.
        members: Its products.
        folder: The raw folder.
        planted: The record of planted dirt, which is extended.
    """
    path = folder / "amazon2018" / f"meta_{file_name(top)}.json.gz"
    origin = str(path.relative_to(folder))
    repeats: list[tuple[Product, str]] = []
    line_number = 0
    with _gzip_lines(path) as file:
        for product in members:
            kind = shop.dirt_plan.products.get(product.number, "")
            line = json.dumps(_metadata_row(shop, product, kind))
            file.write(line + "\n")
            line_number += 1
            if kind == "duplicate_row":
                repeats.append((product, line))
            elif kind and kind not in dirt.IMAGE_FLAWS and kind != "near_duplicate":
                planted.note(kind, file=origin, line=line_number, record_id=f"amazon18:{product.asin}")
            if len(repeats) and line_number % 50 == 0:
                # Not directly after the first row: real files repeat rows far apart.
                product, line = repeats.pop(0)
                file.write(line + "\n")
                line_number += 1
                planted.note(
                    "duplicate_row", file=origin, line=line_number, record_id=f"amazon18:{product.asin}"
                )
        for product, line in repeats:
            file.write(line + "\n")
            line_number += 1
            planted.note("duplicate_row", file=origin, line=line_number, record_id=f"amazon18:{product.asin}")
        if shop.dirt_plan.products and top == TOP_CATEGORIES[0]:
            file.write('{"category": ["' + top + '", "Drinkware"], "tech1": "", "descri\n')
            planted.note("broken_line", file=origin, line=line_number + 1)


def _metadata_row(shop: Shop, product: Product, kind: str) -> dict[str, Any]:
    """Return a row of the 2021 schema: every key is there, missing values are '' or []."""
    chance = hash_draw(shop.seed, "shop metadata", product.asin)
    pair = PAIRS[product.pair]
    category = [product.top, pair.middle, FINE_CATEGORIES[product.fine].name]
    title, brand, price = product.title, product.brand, f"${product.price:.2f}"
    if kind == "html_title":
        title = dirt.HTML_TITLE
    elif kind == "script_title":
        title = dirt.SCRIPT_TITLE
    elif kind == "entity_title":
        title = html.escape(title, quote=False)
    elif kind == "css_price":
        price = dirt.CSS_PRICE
    elif kind == "script_price":
        price = dirt.SCRIPT_PRICE
    elif kind == "bullet_in_category":
        category = [html.escape(name) for name in category] + [dirt.BULLET_IN_CATEGORY]
    elif kind == "tag_in_category":
        category = [*category, dirt.TAG_IN_CATEGORY]
    elif kind == "brand_page":
        brand = f"Visit Amazon's {brand} Page"
    rank: str | list[str] = f"{1 + chance % 900_000:,} in {product.top} ("
    if chance // 7 % 2:
        rank = [f"&gt;#{1 + chance % 900_000:,} in {product.top} (See top 100)"]
    thumbnails, full = [image_url(product.image_id, _THUMBNAIL)], [image_url(product.image_id)]
    if kind == "thumbnails_only":
        full = []
    if not shop.images:
        thumbnails = full = []
    return {
        "category": category,
        "tech1": "",
        "description": [description(product, chance)],
        "fit": "",
        "title": title,
        "also_buy": _linked(shop, shop.links.bought, product, "bought"),
        "tech2": "",
        "brand": brand,
        "feature": features(product),
        "rank": rank,
        "also_view": _linked(shop, shop.links.viewed, product, "viewed"),
        "details": {"\n    Item Weight: \n    ": f"{4 + chance % 40} ounces", "ASIN: ": product.asin},
        "main_cat": html.escape(product.top),
        "similar_item": _comparison_table(shop, product),
        "date": "",
        "price": price,
        "asin": product.asin,
        "imageURL": thumbnails,
        "imageURLHighRes": full,
    }


def _linked(shop: Shop, links: Mapping[int, Sequence[int]], product: Product, what: str) -> list[str]:
    """Return the linked products' ASINs; as in the real files, some are of products outside of the shop."""
    asins = [shop.products[number].asin for number in links.get(product.number, ())]
    chance = hash_draw(shop.seed, "shop outside", what, product.asin)
    if chance % 3 == 0:
        asins.append("B0X" + scatter(chance // 3 % 36**6, 7, 36))
    return asins


def _comparison_table(shop: Shop, product: Product) -> str:
    """Return the HTML table in which the product's page compares it with similar ones."""
    similar = [shop.products[number] for number in shop.links.similar.get(product.number, ())]
    if not similar:
        return ""
    columns = [product, *similar]
    heads, prices = [], []
    for position, column in enumerate(columns):
        style = "comparison_baseitem_column" if position == 0 else f"comparable_item{position - 1}"
        heads.append(
            f'<th class="comparison_image_title_cell {style}" data-asin="{column.asin}">'
            f'<a class="a-link-normal" href="/dp/{column.asin}/ref=psdc_0_t{position}_{product.asin}">'
            f'<span class="a-size-base">{html.escape(column.title, quote=False)}</span></a></th>'
        )
        prices.append(f'<td class="{style}"><span class="a-color-price">${column.price:.2f}</span></td>')
    return (
        '<table id="HLCXComparisonTable" class="a-bordered"><tr class="comparison_table_image_row">'
        + "".join(heads)
        + '</tr><tr id="comparison_price_row">'
        + "".join(prices)
        + "</tr></table>"
    )


def write_reviews(shop: Shop, folder: Path, planted: PlantedDirt) -> None:
    """Write the review and rating files of all top-level categories.

    Args:
        shop: The shop.
        folder: The raw folder.
        planted: The record of planted dirt, which is extended.
    """
    by_top: dict[str, list[int]] = {top: [] for top in TOP_CATEGORIES}
    for index, review in enumerate(shop.reviews):
        by_top[shop.products[review.product].top].append(index)
    for top, indices in by_top.items():
        path = folder / "amazon2018" / f"{file_name(top)}_5.json.gz"
        origin = str(path.relative_to(folder))
        line_number = 0
        with (
            _gzip_lines(path) as file,
            (folder / "amazon2018" / f"{file_name(top)}.csv").open(
                "w", encoding="ascii", newline=""
            ) as ratings,
        ):
            for index in indices:
                review = shop.reviews[index]
                kind = shop.dirt_plan.reviews.get(index, "")
                row = _review_row(shop, review, kind)
                file.write(json.dumps(row) + "\n")
                line_number += 1
                ratings.write(f"{row['asin']},{row['reviewerID']},{row['overall']},{row['unixReviewTime']}\n")
                if kind:
                    planted.note(
                        kind, file=origin, line=line_number, record_id=written_review_id(shop, index)
                    )
            if shop.dirt_plan.reviews and top == TOP_CATEGORIES[1]:
                file.write('{"overall": 4.0, "verified": true, "reviewTime": "03 1\n')
                planted.note("broken_line", file=origin, line=line_number + 1)


@cache
def _written_day(day: int) -> str:
    """Return a day since 1970 as `06 7, 2018`."""
    moment = datetime.fromtimestamp(day * DAY, UTC)
    return f"{moment:%m} {moment.day}, {moment.year}"


def written_review_id(shop: Shop, index: int) -> str:
    """Return the id that the parser gives a review, by its position in the shop."""
    review = shop.reviews[index]
    row = _review_row(shop, review, shop.dirt_plan.reviews.get(index, ""))
    text = row.get("reviewText", "").replace(dirt.LONE_SURROGATE, "\ufffd")
    content = content_hash(review.rating, row.get("summary"), text)
    return review_id(row["asin"], row["reviewerID"], str(row["unixReviewTime"]), content)


def _review_row(shop: Shop, review: Review, kind: str) -> dict[str, Any]:
    product, user = shop.products[review.product], shop.users[review.user]
    row: dict[str, Any] = {"overall": float(review.rating)}
    if review.chance // 13 % 4 == 0:
        row["vote"] = f"{2 + review.chance // 52 % 1400:,}"
    row |= {
        "verified": review.chance // 17 % 10 > 0,
        "reviewTime": _written_day(review.day),
        "reviewerID": user.user_id,
        "asin": product.asin,
    }
    if product.shows_look and review.chance // 19 % 2:
        row["style"] = {"Size:": f" {product.size}", "Color:": f" {product.colour.title()}"}
    text = review.text
    if kind == "foreign_review":
        text = dirt.foreign_text(review.chance)
    elif kind == "surrogate_in_review":
        text += " " + dirt.LONE_SURROGATE
    elif kind in dirt.PERSONAL_DATA:
        text += " " + dirt.PERSONAL_DATA[kind][0]
    row["reviewerName"] = reviewer_name(user.user_id)
    if kind != "no_review_text":
        row["reviewText"] = text
        row["summary"] = "" if kind == "foreign_review" else review.summary
    row["unixReviewTime"] = review.day * DAY
    if review.image_id is not None and shop.images:
        row["image"] = [image_url(review.image_id, "._SY88")]
    return row
