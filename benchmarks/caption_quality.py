r"""What captions say of known attributes, on the sample and on a shop of photographs.

    python benchmarks/caption_quality.py --sample dataset-sample --shop luma-dataset \
        --shop-table luma_shop/products.csv --out results-folder

The sample's attributes are the shop's ground truth. The colours of the photographs stand in the names of the image
files, which the shop gave ("mh05-white_main.jpg"), and the kind of a product is its category. Each figure is that of
`caslie_model caption-quality`.
"""

from __future__ import annotations

import argparse
import csv
import re
from pathlib import Path

import caslie_model
from caslie_model.evaluation.caption_figures import quality_table
from mmecinstruct.reporting.tables import table_markdown

COLOURS = ("black", "blue", "brown", "gray", "green", "orange", "pink", "purple", "red", "white", "yellow")
CODES = {"bk": "black", "br": "brown"}
KINDS = ("Hoodies & Sweatshirts", "Pants", "Tees", "Shorts", "Jackets", "Tanks", "Bags", "Watches")


def shop_catalogue(table: Path, out: Path) -> Path:
    """Write a catalogue of what the names of a shop's image files, and its categories, say of each product."""
    lines = [["sku", "colour", "kind"]]
    with table.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            there = (name for name in row["images"].split("|") if (table.parent / name).is_file())
            words = re.findall("[a-z]+", Path(next(there, "")).stem)
            colours = [CODES.get(word, word) for word in words]
            kinds = [kind for kind in KINDS if kind in re.split(r"[>|]", row["category"].replace(" > ", ">"))]
            lines.append([row["sku"], "|".join(each for each in colours if each in COLOURS), "|".join(kinds)])
    path = out / "catalogue.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(lines)
    return path


def main() -> None:
    """Caption, measure, and print the tables as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample", required=True, help="a dataset of the recipe sample")
    parser.add_argument("--shop", help="a dataset of the shop")
    parser.add_argument("--shop-table", type=Path, help="the shop's products.csv, its images beside it")
    parser.add_argument("--captioner", default="attributes")
    parser.add_argument("--reader", default="words")
    parser.add_argument("--limit", type=int, help="products")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    measured = {"sample": (given.sample, {})}
    if given.shop:
        catalogue = shop_catalogue(given.shop_table, given.out)
        of_shop = {"catalogue": catalogue, "id_column": "sku", "attributes": ["colour", "kind"]}
        measured["shop"] = (given.shop, of_shop)
    for name, (data, settings) in measured.items():
        captions = caslie_model.caption(given.captioner, data, given.out / f"captions-{name}")
        result = caslie_model.caption_quality(
            captions.folder.name,
            data,
            given.out / f"{name}-{re.sub('[^a-z0-9]+', '-', given.reader)}",
            captions_from=given.out / f"captions-{name}",
            reader=given.reader,
            limit=given.limit,
            **settings,
        )
        table = quality_table(result.metrics)
        print(f"{name}: {table_markdown(table)}")


if __name__ == "__main__":
    main()
