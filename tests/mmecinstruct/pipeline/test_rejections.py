"""Rejections that one can follow: each has an origin and ids, and a build that stops names them."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from mmecinstruct.core.errors import RecipeError
from mmecinstruct.pipeline.build import BuildReport, build
from mmecinstruct.recipe import load_recipe

CC, SA, SR = "category_classification", "sentiment_analysis", "sequential_recommendation"
URLS = {"publish": "reference", "read": False}
MAPPING = {"path": "products.csv", "id": "id", "title": "title", "category": "category"}


def run(
    folder: Path, sources: Sequence[dict[str, Any]], wanted: Sequence[str] = (CC, SA), **recipe: Any
) -> BuildReport:
    """Build the tables of a folder into its folder `out`."""
    content = {"name": "followed", "seed": 1, "sources": list(sources), **recipe}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    loaded = load_recipe(str(folder / "recipe.yaml"))
    return build(loaded, folder / "out", workspace=folder / "ws", data=folder, tasks=wanted)


def rejections(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).to_pylist()


def products(folder: Path, count: int = 20, image: str = "https://img.example.com/{}.jpg") -> None:
    rows = [
        f"P{n:03},Mug No. {n} of {'ab'[n % 2]}{n * 7},Home > {'Mugs' if n % 2 else 'Bowls'},{image.format(n)}"
        for n in range(count)
    ]
    (folder / "products.csv").write_text("id,title,category,images\n" + "".join(f"{row}\n" for row in rows))


def catalogue(**tables: Any) -> dict[str, Any]:
    return {"kind": "catalog", "prefix": "shop", "products": {**MAPPING, "images": "images"}, **tables}


def test_every_rejection_names_a_line_and_the_ids(tmp_path: Path) -> None:
    products(tmp_path)
    with (tmp_path / "products.csv").open("a") as file:
        file.write(
            "P000,Again,Home,\nP100,Bag,Home > Bags,/etc/x.jpg\nP101,Hat,Home > Hats,https://img.example.com/no-image.png\n"
        )
        file.write(",Nothing,Home,\n")
    users = [f"u{n % 4}" for n in range(20)]
    rows = [f"r{n},P{n:03},{users[n]},5,Works as it should.,{1_600_000_000 + n}" for n in range(20)]
    rows += [
        "r0,P001,u0,5,Again,1600000000",
        "r90,P900,u9,5,Of nothing,1600000000",
        "r91,P001,u5,5,,1600000000",
    ]
    (tmp_path / "reviews.csv").write_text(
        "key,item,who,stars,words,when\n" + "".join(f"{row}\n" for row in rows)
    )
    between = "".join(f"P{a:03},similar,P{b:03}\n" for a in range(1, 20, 5) for b in range(a + 5, 20, 5))
    (tmp_path / "links.csv").write_text(
        f"a,kind,b\nP001,similar,P002\nP001,similar,P002\nP003,similar,P900\n{between}"
    )
    (tmp_path / "judged.csv").write_text(
        "q,item,rel\n" + "".join(f"mug {n // 5},P{n:03},E\n" for n in range(20)) + "hat,P900,E\n"
    )
    source = catalogue(
        reviews={
            "path": "reviews.csv",
            "id": "key",
            "product": "item",
            "user": "who",
            "rating": "stars",
            "text": "words",
        }
        | {"timestamp": "when"},
        relations={"path": "links.csv", "product": "a", "linked_product": "b", "relation": "kind"}
        | {"names": {"similar": "similar"}},
        judgements={"path": "judged.csv", "query": "q", "product": "item", "label": "rel"},
    )
    tasks = (CC, SA, SR, "product_relation_prediction", "product_substitute_identification")
    report = run(
        tmp_path,
        [source],
        tasks,
        images=URLS,
        sizes={"train": 100, "validation": 10, "test": 10, "test_ood": 0},
        tasks={SR: {"k_core": 1, "min_history": 2, "candidates": 3}},
    )
    rows_out = rejections(tmp_path / "out" / "rejections" / "rejections.parquet")
    assert len(rows_out) == sum(row["rejected"] for row in report.stages)
    files = {
        name: (tmp_path / name).read_text().splitlines()
        for name in ("products.csv", "reviews.csv", "links.csv", "judged.csv")
    }
    for row in rows_out:
        name, _, line = row["origin"].rpartition(":")
        assert 1 < int(line) <= len(files[name]), row
        text = files[name][int(line) - 1]
        if row["product_ids"] and row["stage"] != SR:
            assert any(one.removeprefix("shop:") in text for one in row["product_ids"]), row
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows_out:
        found.setdefault((row["stage"], row["reason"]), []).append(row)
    (again,) = found["curate_products", "duplicate_id"]
    assert (again["origin"], again["product_ids"]) == ("products.csv:22", ["shop:P000"])
    assert "products.csv:2" in again["detail"]
    assert {row["origin"] for row in found["curate_reviews", "duplicate_id"]} == {"reviews.csv:22"}
    assert {row["origin"] for row in found["curate_relations", "duplicate_row"]} == {"links.csv:3"}
    (path,) = found["references", "no_web_address"]
    assert (path["origin"], path["image_url"], path["product_ids"]) == (
        "products.csv:23",
        "…/x.jpg",
        ["shop:P100"],
    )
    assert {row["origin"] for row in found[SA, "no_text"]} == {"reviews.csv:24"}
    assert {row["origin"] for row in found["product_relation_prediction", "unknown_product"]} == {
        "links.csv:4"
    }
    assert {row["origin"] for row in found["product_substitute_identification", "unknown_product"]} == {
        "judged.csv:22"
    }
    crossing = found["split", "crosses_splits"]
    assert {row["task"] for row in crossing} == {"product_relation_prediction"}
    assert all(len(row["product_ids"]) == 2 for row in crossing)
    # A user of the dataset has the number that its samples have; no id of a user is published.
    assert not any("u9" in str(value) for row in rows_out for value in row.values())
    assert all(row["user"] is None or 0 <= row["user"] < 5 for row in rows_out)


def test_a_stop_names_reasons_examples_and_remedies(tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_bytes(
        b"id,title,category\n" + b"".join(b"P%d,caf\xe9,Home\n" % n for n in range(9))
    )
    with pytest.raises(RecipeError) as stopped:
        run(tmp_path, [{"kind": "catalog", "prefix": "shop", "products": MAPPING}])
    message = str(stopped.value)
    assert "no products" in message
    assert (
        r"9 not_utf8 (parse), such as products.csv:2: bytes that are not UTF-8: 'P0,caf\xe9,Home'" in message
    )
    assert "save the file as UTF-8" in message
    path = tmp_path / "ws" / "rejections.parquet"
    assert str(path) in message
    assert [row["origin"] for row in rejections(path)] == [f"products.csv:{n}" for n in range(2, 11)]
    # The next build that ends takes the file away.
    products(tmp_path)
    run(tmp_path, [catalogue()], images=URLS)
    assert not path.exists()


def test_a_stop_names_why_images_are_missing(tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pics" / f"{number}.png")
    titles = ("jacket", "lamp", "spoon", "puzzle", "carpet", "kettle")
    rows = [
        f"S{n}-{size},The {titles[size]} {'xyz'[n % 3]}{n * 91},T{size} > U{size},pics/{n}.png"
        for n in range(2)
        for size in range(6)
    ]
    (tmp_path / "products.csv").write_text("id,title,category,images\n" + "".join(f"{row}\n" for row in rows))
    with pytest.raises(RecipeError) as stopped:
        run(tmp_path, [catalogue()])
    message = str(stopped.value)
    assert "12 placeholder (split), such as products.csv:" in message
    assert (
        "2 placeholder (filter), such as products.csv:2, pics/0.png: the same image under 6 unrelated products"
        in message
    )
    assert "images.max_products_per_image" in message
    rows_out = rejections(tmp_path / "ws" / "rejections.parquet")
    assert {row["detail"] for row in rows_out if row["stage"] == "split"} == {
        f"product: placeholder, pics/{number}.png" for number in range(2)
    }


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("../other/{}.jpg", "20 outside_folders (images), such as products.csv:2, ../other/0.jpg"),
        ("pics/{}.jpg", "20 dead_path (images), such as products.csv:2, pics/0.jpg"),
    ],
)
def test_a_stop_names_paths_that_lead_nowhere(tmp_path: Path, image: str, said: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    products(folder, image=image)
    with pytest.raises(RecipeError, match=r"images\.folders") as stopped:
        run(folder, [catalogue()])
    assert said in str(stopped.value)


def test_a_stop_names_images_that_are_objects(tmp_path: Path) -> None:
    lines = [
        {"id": f"P{n}", "title": f"Mug {n}", "category": "Home > Mugs", "images": {"src": f"{n}.jpg"}}
        for n in range(9)
    ]
    (tmp_path / "products.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    source = {"kind": "catalog", "products": {**MAPPING, "path": "products.jsonl", "images": "images"}}
    with pytest.raises(RecipeError) as stopped:
        run(tmp_path, [source])
    assert "9 images could not be read, such as {'src': '0.jpg'} (products.jsonl:1)" in str(stopped.value)


@pytest.mark.parametrize("names", [None, {"3": "E", "2": "S", "1": "C", "0": "I"}])
def test_numbers_are_labels_however_they_are_written(tmp_path: Path, names: dict[str, str] | None) -> None:
    products(tmp_path)
    written = ("3.0", "2.0", "1.0", "0.0") if names else ("100.000", "10.000", "1.000", "0.000")
    rows = [f"mug {n},P{n:03},{written[n % 4]}" for n in range(20)]
    (tmp_path / "judged.csv").write_text("q,item,rel\n" + "\n".join(rows) + "\n")
    judgements = {"path": "judged.csv", "query": "q", "product": "item", "label": "rel"} | (
        {"names": names} if names else {}
    )
    report = run(tmp_path, [catalogue(judgements=judgements)], (CC,), images=URLS)
    assert not any("judged.csv" in warning for warning in report.warnings)
    tables = sorted((tmp_path / "ws").rglob("judgements.parquet"))
    labels = Counter(label for path in tables[:1] for label in pq.read_table(path)["label"].to_pylist())
    assert labels == {"E": 5, "S": 5, "C": 5, "I": 5}


def test_times_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    products(tmp_path)
    times = [
        "2023-01-05 10:11:12 UTC",
        "05/01/2023",
        "Jan 5, 2023",
        "0000-00-00 00:00:00",
        "",
        "20230105",
        "45000",
    ]
    rows = [f'P{n:03},{n % 5 + 1},"It is number {n}, and good.","{time}"' for n, time in enumerate(times)]
    (tmp_path / "reviews.csv").write_text("item,stars,words,when\n" + "\n".join(rows) + "\n")
    reviews = {
        "path": "reviews.csv",
        "product": "item",
        "rating": "stars",
        "text": "words",
        "timestamp": "when",
    }
    report = run(
        tmp_path, [catalogue(reviews=reviews)], (SA,), images=URLS, tasks={SA: {"product_image": True}}
    )
    assert sum(entry["available"] for entry in report.sizes[SA].values()) == 7
    (warning,) = [warning for warning in report.warnings if "could not be read" in warning]
    assert warning.startswith(
        "reviews.csv: 3 times could not be read, such as '05/01/2023' (reviews.csv:3); "
    )
    reviews["day_first"] = True
    report = run(
        tmp_path, [catalogue(reviews=reviews)], (SA,), images=URLS, tasks={SA: {"product_image": True}}
    )
    (warning,) = [warning for warning in report.warnings if "could not be read" in warning]
    assert warning.startswith(
        "reviews.csv: 2 times could not be read, such as '0000-00-00 00:00:00' (reviews.csv:5); "
    )


def test_different_reviews_of_one_day_are_no_duplicates(tmp_path: Path) -> None:
    image = "https://images-na.ssl-images-amazon.com/images/I/{}.jpg"
    goods = [
        {
            "asin": f"B00000000{n}",
            "title": f"Mug number {n}",
            "category": ["Home", "Mugs"],
            "imageURLHighRes": [image.format(n)],
        }
        for n in range(2)
    ]
    review = {
        "overall": 5.0,
        "reviewerID": "A1",
        "asin": "B000000000",
        "reviewText": "Holds tea.",
        "summary": "Good",
    }
    review["unixReviewTime"] = 1672876800
    changes = [{}, {"reviewText": "Broke."}, {"overall": 2.0}, {"reviewerID": "A2"}, {}]
    for name, lines in (("meta_X.json.gz", goods), ("X_5.json.gz", [review | change for change in changes])):
        (tmp_path / name).write_bytes(
            gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())
        )
    sources = [
        {"kind": "amazon18_metadata", "path": "meta_X.json.gz"},
        {"kind": "amazon18_reviews", "path": "X_5.json.gz"},
    ]
    report = run(tmp_path, sources, (SA,), images=URLS, tasks={SA: {"product_image": True}})
    stages = {row["stage"]: row for row in report.stages}
    assert (stages["curate_reviews"]["kept"], stages["curate_reviews"]["rejected"]) == (4, 1)
    (row,) = [
        row
        for row in rejections(tmp_path / "out/rejections/rejections.parquet")
        if row["stage"] == "curate_reviews"
    ]
    assert (row["reason"], row["origin"]) == ("duplicate_id", "X_5.json.gz:5")
    assert row["detail"].startswith("X_5.json.gz:1 ")


@pytest.mark.parametrize("name", ["products.csv", "products.tsv"])
def test_rows_are_kept_or_rejected_by_the_lines_of_the_file(tmp_path: Path, name: str) -> None:
    cut = "\t" if name.endswith("tsv") else ","
    rows = [f"P{n:03}{cut}Mug No. {n}{cut}Home > Mugs" for n in range(40)]
    rows[8], rows[18] = f'P008{cut}"Big mug{cut}Home > Mugs', f'P018{cut}Mug of 24"{cut}Home > Mugs'
    (tmp_path / name).write_text(
        cut.join(("id", "title", "category")) + "\n" + "".join(f"{row}\n" for row in rows)
    )
    source = {"kind": "catalog", "products": {**MAPPING, "path": name}}
    with pytest.raises(RecipeError) as stopped:
        run(tmp_path, [source], (CC,))
    lost = 0 if name.endswith("tsv") else 1
    assert ("1 bad_row (parse), such as products.csv:10" in str(stopped.value)) == bool(lost)
    kept = [pq.read_metadata(path).num_rows for path in (tmp_path / "ws").rglob("00000*/products.parquet")]
    assert sum(kept) + lost == len((tmp_path / name).read_text().splitlines()) - 1
