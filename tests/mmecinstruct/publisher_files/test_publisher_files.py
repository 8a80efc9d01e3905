"""The generated files of the further publishers: the same from the same seed, with the dirt that their counts state."""

from __future__ import annotations

import ast
import csv
import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from mmecinstruct.core.hashing import sha256_file
from tests.mmecinstruct.publisher_files import (
    abo_files,
    amazon2014_files,
    amazon2023_files,
    esci_s_files,
    ratings_files,
)

Writer = Callable[[Path, int], Counter[str]]
PAGES = [(f"B0{number:08d}", f"Thing {number}", "us") for number in range(900)]
WRITERS: dict[str, Writer] = {
    "2023 metadata": lambda folder, seed: amazon2023_files.write_metadata(folder, "Electronics", 300, seed),
    "2023 reviews": lambda folder, seed: amazon2023_files.write_reviews(folder, "Electronics", 100, 60, seed),
    "2014 metadata": lambda folder, seed: amazon2014_files.write_metadata(folder, "Electronics", 300, seed),
    "2014 reviews": lambda folder, seed: amazon2014_files.write_reviews(folder, "Electronics", 100, 60, seed),
    "ratings": lambda folder, seed: ratings_files.write_ratings(folder, "Electronics", 100, 60, seed),
    "ESCI-S": lambda folder, seed: esci_s_files.write_pages(folder, PAGES, seed),
    "ABO": lambda folder, seed: abo_files.write_listings(folder, 60, seed, files=3, image_side=16),
}


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_file(path) for path in folder.rglob("*") if path.is_file()
    }


def lines_of(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.readlines()


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(name: str, tmp_path: Path) -> None:
    write = WRITERS[name]
    counts = write(tmp_path / "one", 1)
    assert counts == write(tmp_path / "again", 1)
    write(tmp_path / "other", 2)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "again")
    assert hashes(tmp_path / "one") != hashes(tmp_path / "other")


def test_a_larger_file_begins_with_the_smaller_ones_products(tmp_path: Path) -> None:
    for name, count in (("small", 50), ("large", 200)):
        amazon2023_files.write_metadata(tmp_path / name, "Home_and_Kitchen", count, 3)
    small, large = (
        lines_of(tmp_path / name / "amazon2023" / "meta_Home_and_Kitchen.jsonl.gz")
        for name in ("small", "large")
    )
    assert large[: len(small) - 1] == small[:-1]  # but for the line that is cut off


def test_the_two_shapes_of_2023_say_the_same(tmp_path: Path) -> None:
    amazon2023_files.write_metadata(tmp_path / "raw", "All_Beauty", 120, 5)
    amazon2023_files.write_metadata(tmp_path / "export", "All_Beauty", 120, 5, "datasets")
    raw, export = (
        [
            json.loads(line)
            for line in lines_of(tmp_path / name / "amazon2023" / "meta_All_Beauty.jsonl.gz")[:-1]
        ]
        for name in ("raw", "export")
    )
    assert all(row["categories"] == [] for row in raw)  # as in the whole of this domain
    assert {None} < {row["price"] for row in raw}
    assert "None" in {row["price"] for row in export}
    for one, other in zip(raw, export, strict=True):
        assert json.loads(other["details"]) == one["details"]
        assert other["images"]["hi_res"] == [image["hi_res"] for image in one["images"]]
        assert str(one["price"]) == other["price"]
    assert any(None in row["images"]["hi_res"] for row in export)


def test_reviews_of_2023_join_by_the_parent_only(tmp_path: Path) -> None:
    amazon2023_files.write_reviews(tmp_path, "Electronics", 200, 150, 1)
    rows = [json.loads(line) for line in lines_of(tmp_path / "amazon2023" / "Electronics.jsonl.gz")[:-1]]
    variants = sum(row["asin"] != row["parent_asin"] for row in rows)
    assert 0.2 < variants / len(rows) < 0.5
    assert all(row.get("timestamp", row.get("sort_timestamp")) > 10**12 for row in rows)
    assert 0 < sum("sort_timestamp" in row for row in rows) < len(rows) / 10


def test_metadata_of_2014_are_literals_and_no_json(tmp_path: Path) -> None:
    counts = amazon2014_files.write_metadata(tmp_path, "Sports_and_Outdoors", 400, 1)
    lines = lines_of(tmp_path / "amazon2014" / "meta_Sports_and_Outdoors.json.gz")
    *rows, harmful = lines
    assert "__import__" in harmful
    read = [ast.literal_eval(row) for row in rows]
    assert len(read) == counts["lines"] - 1
    assert sum("title" not in row for row in read) == counts["missing_title"] > 0
    assert all(isinstance(row["categories"][0], list) for row in read)
    assert any('"' in row for row in rows)  # an apostrophe in a title


def test_ratings_name_item_or_user_first(tmp_path: Path) -> None:
    for order in ("2018", "2014"):
        ratings_files.write_ratings(tmp_path, "Electronics", 100, 80, 1, order)
    new, old = (
        list(csv.reader((tmp_path / f"amazon{order}" / "Electronics.csv").open()))
        for order in ("2018", "2014")
    )
    assert [row[:2] for row in new[:-1]] == [[item, user] for user, item, *_ in old[:-1]]
    assert {len(item) for item, *_ in new[:-1]} == {10}
    assert {len(user) for _, user, *_ in new[:-1]} - {0} == {14}


def test_listings_have_images(tmp_path: Path) -> None:
    counts = abo_files.write_listings(tmp_path, 400, 1, files=16, image_side=24)
    assert len(list((tmp_path / "abo").glob("listings_*.json.gz"))) == 16
    with gzip.open(tmp_path / "abo" / "images.csv.gz", "rt") as file:
        known = {row["image_id"]: row for row in csv.DictReader(file)}
    assert len(known) == counts["images"]
    for row in list(known.values())[:20]:
        with Image.open(tmp_path / "abo" / "images" / "small" / row["path"]) as image:
            assert image.size == (int(row["width"]), int(row["height"])) == (24, 24)
    rows = [
        json.loads(line)
        for path in sorted((tmp_path / "abo").glob("listings_*.json.gz"))
        for line in lines_of(path)
        if line.endswith("}\n")
    ]
    assert len(rows) == counts["lines"] - counts["broken_json"]
    named = {row["main_image_id"] for row in rows if "main_image_id" in row}
    assert 0 < len(named - set(known)) < len(named) / 10
    keys = Counter((row["item_id"], row["domain_name"]) for row in rows if row["item_id"])
    assert max(keys.values()) == 1
    assert len({item for item, _ in keys}) < len(keys)  # one item in two marketplaces
    assert 0 < counts["missing_title"] < 40
    assert 0 < counts["other_language"] < counts["english"]


def test_pages_of_esci_s_have_gaps(tmp_path: Path) -> None:
    counts = esci_s_files.write_pages(tmp_path, PAGES, 1)
    with pa.CompressedInputStream(str(tmp_path / "esci_s" / "esci.json.zst"), "zstd") as file:
        rows = [json.loads(line) for line in file.read().decode().splitlines()[:-1]]
    assert len(rows) == counts["lines"] - 1
    assert 0.85 < len(rows) / len(PAGES) < 0.97
    assert sum("image" not in row for row in rows) > 0
    assert sum(row.get("image") == "" for row in rows) > 0
    assert sum("category" not in row or row["category"] == [] for row in rows) > 0
    assert sum("asin" not in row for row in rows) == counts["missing_id"] > 0
