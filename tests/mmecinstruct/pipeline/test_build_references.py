"""Builds whose shards hold no pixels: images with hashes of their bytes, or as URLs of publishers only."""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from caslie_model.data.images import read_images
from mmecinstruct.auditing import audit_folder, settings_of_folder
from mmecinstruct.core.errors import DatasetError, RecipeError
from mmecinstruct.dataset import find_shards, write_manifest
from mmecinstruct.dataset.validate import validate_folder
from mmecinstruct.pipeline.build import BuildReport, build
from mmecinstruct.recipe import load_recipe
from mmecinstruct.schemas.samples import published_features
from mmecinstruct.web.images import add_takedown
from tests.servers import image_server

CC = "category_classification"
REFERENCE = "images.publish=reference"
UNREAD = "images.read=false"
PRODUCTS = 36


@pytest.fixture(autouse=True)
def _quiet() -> None:
    datasets.disable_progress_bars()


def rows_of(folder: Path) -> Iterator[dict[str, Any]]:
    for path in find_shards(folder):
        yield from pq.read_table(folder / path).to_pylist()


def loads_without_pixels(folder: Path, cache: Path) -> int:
    """Load every split of every task as a user does; return the number of images that are referenced."""
    loaded = datasets.load_dataset(str(folder), "all", cache_dir=str(cache))
    images = 0
    for split in loaded:
        assert loaded[split].features == published_features()
        for row in loaded[split]:
            assert row["images"] == [None] * len(row["image_roles"])
            assert len(row["image_urls"]) == len(row["image_ids"]) == len(row["image_roles"])
            images += len(row["images"])
        streamed = datasets.load_dataset(
            str(folder), "all", split=split, streaming=True, cache_dir=str(cache)
        )
        assert next(iter(streamed)) == loaded[split][0]
    return images


def unchecked_images(folder: Path) -> set[str]:
    report = audit_folder(folder, settings_of_folder(folder))
    assert not report.exceeded
    return {
        check.kind for check in report.unchecked if "not embedded, so they were not compared" in check.note
    }


# --- a shop of one's own, on the web ----------------------------------------------------------------------


@pytest.fixture
def web_shop(tmp_path: Path, images: Any) -> Path:
    """A shop on a server that counts what it is asked; products 0 and 1 share an image, 2 has but a path."""
    folder = tmp_path / "shop"
    folder.mkdir()
    syllables = ["bala", "diro", "fune", "gosta", "kebi", "lami"]
    with (folder / "products.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "title", "brand", "category", "description", "price", "images"])
        for number in range(PRODUCTS):
            title = f"{syllables[number % 6]}{number} {syllables[number // 6]}{PRODUCTS + number} thing"
            url = "two.jpg" if number == 2 else images.url(f"/{max(number, 1)}.jpg")
            writer.writerow([number, title, "", f"Top > Fine {number % 6}", "", "", url])
    return folder


def build_shop(shop: Path, folder: Path, *overrides: str) -> BuildReport:
    recipe = load_recipe("catalog", ["tasks.category_classification={options: 4}", *overrides])
    return build(recipe, folder / "out", workspace=folder / "ws", data=shop)


def test_urls_are_published_without_requests(web_shop: Path, tmp_path: Path, images: Any) -> None:
    build_shop(web_shop, tmp_path, REFERENCE, UNREAD)
    assert images.log == []
    out = tmp_path / "out"
    rows = list(rows_of(out))
    assert len(rows) >= PRODUCTS - 2
    for row in rows:
        (product,) = row["product_ids"]
        number = max(int(product.removeprefix("shop:")), 1)
        assert row["image_urls"] == [images.url(f"/{number}.jpg")]
        assert row["image_ids"] == row["images"] == [None]
        assert row["image_roles"] == ["product"]
    assert validate_folder(out) == []
    assert loads_without_pixels(out, tmp_path / "cache") == len(rows)
    rejected = pq.read_table(out / "rejections" / "rejections.parquet").to_pylist()
    assert ("references", "no_web_address", "two.jpg", "products.csv:4") in {
        (row["stage"], row["reason"], row["image_url"], row["origin"]) for row in rejected
    }


def test_products_of_one_url_stay_together(web_shop: Path, tmp_path: Path) -> None:
    build_shop(web_shop, tmp_path, REFERENCE, UNREAD)
    (folder,) = (tmp_path / "ws").glob("**/deduplicate/*/all")
    products = {row["product_id"]: row for row in pq.read_table(folder / "products.parquet").to_pylist()}
    assert products["shop:0"]["cluster_id"] == products["shop:1"]["cluster_id"]
    assert len({row["cluster_id"] for row in products.values()}) == PRODUCTS - 1


def test_read_images_have_the_hash_of_the_received_bytes(web_shop: Path, tmp_path: Path, images: Any) -> None:
    bodies = {}
    for number in range(1, PRODUCTS):
        values = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(values).resize((120, 120), Image.Resampling.BICUBIC).save(stream, "JPEG")
        bodies[images.url(f"/{number}.jpg")] = stream.getvalue()
        images.routes[f"/{number}.jpg"] = image_server.Answer(body=stream.getvalue())
    fetch = "fetch={enabled: true, contact: 'https://shop.example/', private_networks: [127.0.0.0/8]}"
    build_shop(web_shop, tmp_path, REFERENCE, fetch)
    assert images.asked("/5.jpg") == 1
    rows = list(rows_of(tmp_path / "out"))
    for row in rows:
        assert row["images"] == [None]
        assert row["image_ids"] == [hashlib.sha256(bodies[row["image_urls"][0]]).hexdigest()]
    assert validate_folder(tmp_path / "out") == []


def test_a_takedown_by_bytes_of_unread_images_is_warned_of(
    web_shop: Path, tmp_path: Path, images: Any
) -> None:
    workspace = tmp_path / "ws"
    add_takedown(workspace, workspace / "fetched", "image", "0" * 64)
    add_takedown(workspace, workspace / "fetched", "url", images.url("/7.jpg"))
    report = build_shop(web_shop, tmp_path, REFERENCE, UNREAD)
    assert any("names 1 images by their bytes" in warning for warning in report.warnings)
    assert report.taken_down == {"references": 1}
    assert images.url("/7.jpg") not in {url for row in rows_of(tmp_path / "out") for url in row["image_urls"]}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ((UNREAD,), r"images.read: false leaves no pixels to embed; set images.publish to reference"),
        (
            (REFERENCE, UNREAD, "fetch={enabled: true, contact: me@shop.example}"),
            r"set fetch.enabled to false",
        ),
        (("images.publish=links",), "images.publish"),
        (("licences=free",), "licences"),
    ],
)
def test_impossible_settings_are_an_error_with_the_remedy(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load_recipe("catalog", list(overrides))


# --- the built-in shop ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sample, its images embedded, referenced and not even read, from one workspace."""
    folder = tmp_path_factory.mktemp("sample")
    ways = {"embedded": [], "referenced": [REFERENCE], "unread": [REFERENCE, UNREAD]}
    for name, overrides in ways.items():
        recipe = load_recipe("sample", ["sample.products=100", *overrides])
        build(recipe, folder / name, workspace=folder / "ws")
    return {name: folder / name for name in ways}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["referenced", "unread"])
def test_the_sample_builds_loads_and_is_valid_by_reference(
    sample: dict[str, Path], name: str, tmp_path: Path
) -> None:
    assert validate_folder(sample[name]) == []
    assert loads_without_pixels(sample[name], tmp_path) > 100
    assert unchecked_images(sample[name]) == {"image_bytes", "image_pixels", "image_near"}
    card = (sample[name] / "README.md").read_text()
    assert "embedded as JPEG" not in card
    assert "an image with the same bytes (" in card.partition("Not checked: ")[2]


@pytest.mark.slow
def test_but_for_the_pixels_a_referenced_sample_is_the_embedded_one(sample: dict[str, Path]) -> None:
    embedded, referenced = (list(rows_of(sample[name])) for name in ("embedded", "referenced"))
    assert any(image["bytes"] for row in embedded for image in row["images"])
    for row in (*embedded, *referenced):
        row["images"] = len(row["images"])
    assert embedded == referenced


@pytest.mark.slow
def test_unread_samples_have_more_images_and_no_ids(sample: dict[str, Path]) -> None:
    referenced, unread = (list(rows_of(sample[name])) for name in ("referenced", "unread"))
    # Nobody finds out that an image is broken, blank or gone.
    assert sum(len(row["images"]) for row in unread) > sum(len(row["images"]) for row in referenced)
    assert {image_id for row in unread for image_id in row["image_ids"]} == {None}
    assert {url.partition("/")[0] for row in unread for url in row["image_urls"]} == {"https:"}


@pytest.mark.slow
def test_the_model_says_that_pixels_are_missing(sample: dict[str, Path]) -> None:
    with pytest.raises(DatasetError, match="image 'product' has no embedded bytes"):
        read_images(str(sample["unread"]), CC, "train")


@pytest.mark.slow
def test_pixels_and_gaps_where_the_recipe_has_none_are_found(sample: dict[str, Path], tmp_path: Path) -> None:
    def reasons(name: str, change: Any) -> set[str]:
        folder = tmp_path / name
        shutil.copytree(sample[name], folder)
        file = folder / f"{CC}/train-00000-of-00001.parquet"
        schema = pq.read_schema(file)
        rows = pq.read_table(file).to_pylist()
        change(rows[0])
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), file)
        write_manifest(folder, load_recipe(str(folder / "recipe.yaml")), "f" * 32)
        found = {problem.reason for problem in validate_folder(folder)}
        shutil.rmtree(folder)
        return found

    pixels = [{"bytes": b"\xff\xd8\xff", "path": "x.jpg"}]
    assert reasons("unread", lambda row: row.update(images=pixels)) == {"image_embedded"}
    assert reasons("unread", lambda row: row.update(image_urls=[""])) == {"image_url_missing"}
    assert reasons("referenced", lambda row: row.update(image_ids=[None])) == {"value_missing"}
    assert reasons("embedded", lambda row: row.update(images=[None])) == {"image_not_embedded"}
