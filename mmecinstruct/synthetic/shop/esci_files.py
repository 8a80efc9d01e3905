"""Write the sample shop's queries, judgements and image addresses in the form of ESCI and SQID."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.synthetic.shop.products import Product, description, features
from mmecinstruct.synthetic.shop.queries import Query
from mmecinstruct.synthetic.shop.shop import PlantedDirt, Shop, image_url

_SQID_CODES = ("._AC_SX425_", "._AC_SX679_", "._SY385_", "")
_EXAMPLES_FILE = "shopping_queries_dataset_examples.parquet"
_PRODUCTS_FILE = "shopping_queries_dataset_products.parquet"
_FOREIGN_PRODUCTS = 3  # rows of another locale in the ESCI files

# As the publisher has them; the miniature writes the same.
EXAMPLES = pa.schema(
    [
        ("example_id", pa.int64()),
        ("query", pa.string()),
        ("query_id", pa.int64()),
        ("product_id", pa.string()),
        ("product_locale", pa.string()),
        ("esci_label", pa.string()),
        ("small_version", pa.int64()),
        ("large_version", pa.int64()),
        ("split", pa.string()),
    ]
)
PRODUCTS = pa.schema(
    [
        ("product_id", pa.string()),
        ("product_title", pa.string()),
        ("product_description", pa.string()),
        ("product_bullet_point", pa.string()),
        ("product_brand", pa.string()),
        ("product_color", pa.string()),
        ("product_locale", pa.string()),
    ]
)


def write_esci(shop: Shop, folder: Path, planted: PlantedDirt) -> None:
    """Write queries, judgements and products in the formats of ESCI and SQID, with their dirt."""
    judged: set[int] = set()
    columns: dict[str, list[Any]] = {name: [] for name in EXAMPLES.names}

    def add(query: Query, asins: list[str], labels: list[str], locale: str) -> None:
        held_out = hash_draw(shop.seed, "shop esci split", str(query.query_id)) % 5 == 0
        columns["product_id"] += asins
        columns["esci_label"] += labels
        for name, value in (
            ("query", query.text),
            ("query_id", query.query_id),
            ("product_locale", locale),
            ("split", "test" if held_out else "train"),
        ):
            columns[name] += [value] * len(asins)

    for query in shop.queries:
        numbers = [judgement.product for judgement in query.judgements]
        judged.update(numbers)
        labels = [judgement.label for judgement in query.judgements]
        add(query, [shop.products[number].asin for number in numbers], labels, "us")
    products = [shop.products[number] for number in sorted(judged)]
    foreign = products[:_FOREIGN_PRODUCTS] if shop.plan.products else []
    for place, product in enumerate(foreign):
        add(shop.queries[place % len(shop.queries)], [product.asin], ["E"], "es")
        planted.note("other_locale", file=f"esci/{_EXAMPLES_FILE}", record_id=f"esci:{product.asin}")
    total = len(columns["query"])
    columns["example_id"] = list(range(total))
    columns["small_version"] = columns["large_version"] = [1] * total
    rows = [_esci_row(shop, product, "us") for product in products]
    rows += [_esci_row(shop, product, "es") for product in foreign]
    _write_parquet(pa.table(columns, schema=EXAMPLES), folder / "esci" / _EXAMPLES_FILE)
    _write_parquet(
        pa.Table.from_pylist(rows, schema=PRODUCTS),
        folder / "esci" / _PRODUCTS_FILE,
    )
    with (folder / "sqid" / "product_image_urls.csv").open("w", encoding="ascii", newline="") as file:
        file.write("product_id,image_url\n")
        for product in products if shop.images else ():
            chance = hash_draw(shop.seed, "shop sqid", product.asin)
            # Real files lack one in twenty; here fewer, or too many judgements would have no image.
            if shop.plan.products and chance % 100 == 0:
                file.write(f"{product.asin},\n")
                planted.note(
                    "empty_image_url", file="sqid/product_image_urls.csv", record_id=f"esci:{product.asin}"
                )
            else:
                code = _SQID_CODES[chance // 100 % len(_SQID_CODES)]
                file.write(f"{product.asin},{image_url(product.image_id, code)}\n")


def _esci_row(shop: Shop, product: Product, locale: str) -> dict[str, Any]:
    chance = hash_draw(shop.seed, "shop metadata", product.asin)
    text = f"<p>{html.escape(description(product, chance), quote=False)}</p>" if chance % 4 else None
    return {
        "product_id": product.asin,
        "product_title": product.title,
        "product_description": text,
        "product_bullet_point": "\n".join(features(product)),
        "product_brand": product.brand,
        "product_color": product.colour.title() if product.shows_look else None,
        "product_locale": locale,
    }


def _write_parquet(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, compression="snappy")
