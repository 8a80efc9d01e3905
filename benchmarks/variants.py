"""Measure how often products whose titles differ in colour, size or material alone are one article.

    MMEC_REAL_DATA=FOLDER python benchmarks/variants.py [--results benchmarks/results]

Where the data says which products are one article, that decides: the parent of a shop's variants, the stem of the
miniature's products, brand, series and category of the sample shop's. Elsewhere each pair was judged by eye
(`variants_judged.csv`: the titles, the descriptions and images beside them). Pairs are counted within each set of
variants that the rule makes; pairs of equal titles are left out, as equal titles share a split anyway. Precision is the
share of these pairs that are one article, recall the share of one article's pairs of different titles that are found.

Two real shops' tables list articles with their options, so the titles of their variants are made as these shops'
programs make them: Magento's `name-size-colour`, in five sizes and three colours, and Vendure's name with the options.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np

from mmecinstruct.duplicates.clusters import connected_components, members
from mmecinstruct.duplicates.variants import variant_edges
from mmecinstruct.recipe import SampleShopSettings
from mmecinstruct.synthetic.raw_files.volumes import volumes_at
from mmecinstruct.synthetic.raw_files.world import World
from mmecinstruct.synthetic.shop.assembly import make_shop
from mmecinstruct.synthetic.shop.vocabulary import FINE_CATEGORIES
from mmecinstruct.text.words import normalised_text

JUDGED = Path(__file__).with_name("variants_judged.csv")
# Of clothes in the Magento shop: each article has five sizes and three colours.
SIZES = ("XS", "S", "M", "L", "XL")
COLOURS = ("Black", "Blue", "Orange")

Row = dict[str, Any]


def row(product_id: str, title: str, brand: str | None, category: str, article: str | None) -> Row:
    """Return a product; article: what the data says it belongs to, None where it does not say."""
    return {
        "product_id": product_id,
        "title": title,
        "brand": brand,
        "category": category,
        "group_id": None,
        "article": article,
    }


def luma(folder: Path) -> Iterator[Row]:
    """Yield the shop's table as it is; its variants are not marked."""
    for one in _csv(folder / "luma_shop" / "products.csv"):
        yield row(one["sku"], one["name"], one["brand"], one["category"].split(" > ")[0], None)


def luma_export(folder: Path) -> Iterator[Row]:
    """Yield the clothes as Magento exports their variants."""
    for one in _csv(folder / "luma_shop" / "products.csv"):
        top = one["category"].split(" > ")[0]
        if top == "Gear":
            continue
        for size, colour in product(SIZES, COLOURS):
            title = f"{one['name']}-{size}-{colour}"
            yield row(f"{one['sku']}-{size}-{colour}", title, one["brand"], top, one["sku"])


def vendure(folder: Path) -> Iterator[Row]:
    """Yield the variants of a Vendure shop."""
    name = brand = category = ""
    for number, one in enumerate(_csv(folder / "vendure_mock" / "data-sources" / "products.csv")):
        one = {key.strip(): (value or "").strip() for key, value in one.items() if key}
        if one["name"]:
            name = one["name"]
            facets = [facet.split(":", 1) for facet in one["facets"].split("|") if ":" in facet]
            brand = next((value for kind, value in facets if kind == "brand"), "")
            category = next((value for kind, value in facets if kind == "category"), "")
        title = " ".join([name, *(one["optionValues"].split("|") if one["optionValues"] else [])])
        yield row(str(number), title, brand or None, category, name)


def eshop(folder: Path) -> Iterator[Row]:
    """Yield the products of an outdoor shop; each is an article."""
    for one in json.loads((folder / "dotnet_eshop" / "catalog.json").read_text()):
        yield row(str(one["Id"]), one["Name"], one["Brand"], one["Type"], str(one["Id"]))


def retail_demo(folder: Path) -> Iterator[Row]:
    """Yield products without brands."""
    import yaml

    text = (folder / "aws_retail_demo" / "products.yaml").read_text()
    for one in yaml.load(text, Loader=yaml.CSafeLoader):
        yield row(one["id"], one["name"], None, one["category"], None)


def sample_shop() -> Iterator[Row]:
    """Yield the sample shop's products."""
    for one in make_shop(SampleShopSettings(), 1).all_products:
        article = f"{one.brand} {one.series} {one.fine}"
        yield row(one.asin, one.title, one.brand, FINE_CATEGORIES[one.fine].top, article)


def miniature(products: int = 20_000) -> Iterator[Row]:
    """Yield products of the first department of a large miniature."""
    world = World(1, volumes_at(0.05))
    found = world.catalogue.of_department(0, np.arange(products))
    titles = world.catalogue.titles(found)
    brands = world.catalogue.brand(found)
    for number, ids in enumerate(titles.tolist()):
        title = "".join(world.fragments.text(one) for one in ids)
        yield row(str(found.key[number]), title, str(brands[number]), "Home", str(found.stem[number]))


def _csv(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def measure(rows: Iterable[Row], judged: Mapping[tuple[str, str], bool]) -> dict[str, Any]:
    """Return the counts of a catalogue's pairs, and the pairs that neither data nor judgement decides."""
    by_id = {one["product_id"]: one for one in rows}
    by_title: dict[str, str] = {}
    equal = [(by_title.setdefault(one["title"], name), name) for name, one in by_id.items()]
    components = connected_components(by_id, [*variant_edges(list(by_id.values())), *equal])
    counts = {"products": len(by_id), "pairs": 0, "one_article": 0, "of_one_article": 0, "unjudged": []}
    for group in members(components).values():
        for a, b in combinations((by_id[name] for name in group), 2):
            if normalised_text(a["title"]) == normalised_text(b["title"]):
                continue
            counts["pairs"] += 1
            if a["article"] is not None:
                counts["one_article"] += a["article"] == b["article"]
                continue
            titles = (a["title"], b["title"])
            verdict = judged.get((min(titles), max(titles)))
            counts["one_article"] += bool(verdict)
            if verdict is None:
                counts["unjudged"].append(titles)
    articles = defaultdict(list)
    for one in by_id.values():
        if one["article"] is not None:
            articles[one["article"]].append(normalised_text(one["title"]))
    counts["of_one_article"] = sum(a != b for titles in articles.values() for a, b in combinations(titles, 2))
    return counts


def main() -> None:
    """Measure all catalogues and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    folder = Path(os.environ["MMEC_REAL_DATA"])
    judged = {
        (min(one["one"], one["other"]), max(one["one"], one["other"])): one["one_article"] == "yes"
        for one in _csv(JUDGED)
    }
    catalogues = {
        "Luma shop, as it is": luma(folder),
        "Luma shop, as a Magento export": luma_export(folder),
        "Vendure's shop": vendure(folder),
        "eShop": eshop(folder),
        "retail demo (no brands)": retail_demo(folder),
        "sample shop": sample_shop(),
        "miniature": miniature(),
    }
    found = {name: measure(rows, judged) for name, rows in catalogues.items()}
    for name, counts in found.items():
        for titles in counts.pop("unjudged"):
            print(f"not judged: {name}: {' | '.join(titles)}")
    lines = [
        "| catalogue | products | pairs | one article | precision | recall |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, counts in found.items():
        precision = f"{counts['one_article'] / counts['pairs']:.3f}" if counts["pairs"] else "–"
        whole = counts["of_one_article"]
        recall = f"{counts['one_article'] / whole:.3f}" if whole else "–"
        cells = (name, counts["products"], counts["pairs"], counts["one_article"], precision, recall)
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    table = "\n".join(lines) + "\n"
    print(table)
    if arguments.results:
        (arguments.results / "variants.json").write_text(json.dumps(found, indent=1) + "\n")
        (arguments.results / "variants.md").write_text(table)


if __name__ == "__main__":
    main()
