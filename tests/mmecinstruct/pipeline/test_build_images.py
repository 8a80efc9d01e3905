"""Images, duplicates and takedowns in a build: requests, kept files, repeated work."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from mmecinstruct.cli.app import app
from mmecinstruct.core.errors import SourceError
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.pipeline.build import BuildReport, build
from mmecinstruct.recipe import load_recipe
from mmecinstruct.web.images import FETCHED_FOLDER, ImageStore, add_takedown
from tests.servers import image_server

PRODUCTS = 36
FETCH = "fetch={enabled: true, contact: 'https://shop.example/', private_networks: [127.0.0.0/8], retries: 0}"
# Words that no other title has: titles are near only where a test makes them so.
WORDS = [
    f"{first}{second}" for first in "bdfgklmnprst" for second in ("ala", "iro", "une", "osta", "ebi", "ami")
]


def photo(number: int) -> bytes:
    values = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(values).resize((120, 120), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=92)
    return stream.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_products(folder: Path, rows: list[dict[str, str]]) -> Path:
    folder.mkdir(exist_ok=True)
    with (folder / "products.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(
            stream, ["id", "title", "brand", "category", "description", "price", "images"]
        )
        writer.writeheader()
        writer.writerows({"brand": "", "description": "", "price": "", **row} for row in rows)
    return folder


def products(image: Callable[[int], str]) -> list[dict[str, str]]:
    return [
        {
            "id": str(number),
            "title": f"{WORDS[number]} {WORDS[-1 - number]} thing",
            "category": f"Top > Fine {number % 6}",
            "images": image(number),
        }
        for number in range(PRODUCTS)
    ]


def build_shop(shop: Path, folder: Path, *overrides: str, **more: Any) -> BuildReport:
    recipe = load_recipe("catalog", ["tasks.category_classification={options: 4}", *overrides])
    return build(recipe, folder / "out", workspace=folder / "ws", data=shop, **more)


def rejections(folder: Path) -> dict[str, tuple[str, str]]:
    """Return (stage, reason) of each rejected image or product, by URL or id."""
    rows = pq.read_table(folder / "out" / "rejections" / "rejections.parquet").to_pylist()
    return {row["image_url"] or row["record_id"]: (row["stage"], row["reason"]) for row in rows}


def published(folder: Path, column: str) -> set[str]:
    files = (folder / "out").glob("*/*.parquet")
    tables = [pq.read_table(file, columns=[column]) for file in files if file.parent.name != "rejections"]
    return {value for table in tables for row in table[column].to_pylist() for value in row}


@pytest.fixture
def web_shop(tmp_path: Path, images: Any) -> Path:
    """A shop whose images are on the web; the first one of product 3 is gone, product 4's only one is busy."""
    for number in range(PRODUCTS):
        images.routes[f"/{number}.jpg"] = image_server.Answer(body=photo(number))
    images.routes["/3.jpg"] = image_server.Answer(404)
    images.routes["/3b.jpg"] = image_server.Answer(body=photo(103))
    images.routes["/4.jpg"] = [
        image_server.Answer(503),
        image_server.Answer(body=photo(4)),
    ]

    def image(number: int) -> str:
        others = (
            f"|{images.url('/3b.jpg')}" if number == 3 else f"|{images.url('/5b.jpg')}" if number == 5 else ""
        )
        return images.url(f"/{number}.jpg") + others

    return write_products(tmp_path / "shop", products(image))


def test_a_build_fetches_missing_images_once(web_shop: Path, tmp_path: Path, images: Any) -> None:
    report = build_shop(web_shop, tmp_path, FETCH)
    assert report.fetched == {"fetched": PRODUCTS - 1, "http_404": 1, "http_503": 1}
    # Product 3's second image replaces its first; the second one of product 5 is not requested.
    assert images.asked("/3b.jpg") == 1
    assert images.asked("/5b.jpg") == 0
    assert images.url("/3b.jpg") in published(tmp_path, "image_urls")
    assert rejections(tmp_path)[images.url("/3.jpg")] == ("images", "http_404")
    assert rejections(tmp_path)[images.url("/4.jpg")] == ("images", "http_503")

    asked = len(images.log)
    again = build_shop(web_shop, tmp_path, FETCH)
    assert again.up_to_date
    assert len(images.log) == asked

    retried = build_shop(web_shop, tmp_path, FETCH, retry_failed=True)
    assert not retried.up_to_date
    assert images.paths()[asked - 1 :].count("/4.jpg") == 1
    assert images.asked("/3.jpg") == 1
    assert images.url("/4.jpg") in published(tmp_path, "image_urls")
    # Later builds get the outcomes of the new requests.
    asked = len(images.log)
    assert build_shop(web_shop, tmp_path, FETCH).up_to_date
    assert len(images.log) == asked


def test_without_fetching_a_web_address_is_a_rejection(web_shop: Path, tmp_path: Path, images: Any) -> None:
    build_shop(web_shop, tmp_path, "tasks.category_classification.require_images=none")
    assert rejections(tmp_path)[images.url("/1.jpg")] == ("images", "no_local_copy")
    assert not images.log


def test_a_image_on_disk_is_not_asked_for(tmp_path: Path, images: Any) -> None:
    def image(number: int) -> str:
        return f"{images.url('/')}{number}.jpg|{number}.jpg"

    shop = write_products(tmp_path / "shop", products(image))
    for number in range(PRODUCTS):
        (shop / f"{number}.jpg").write_bytes(photo(number))
    report = build_shop(shop, tmp_path, FETCH)
    assert not images.log
    assert report.fetched == {}


def test_a_lost_store_is_named_with_the_remedy(web_shop: Path, tmp_path: Path) -> None:
    build_shop(web_shop, tmp_path, FETCH)
    for path in (tmp_path / "ws" / FETCHED_FOLDER / "objects").glob("*/*"):
        path.unlink()
    assert build_shop(web_shop, tmp_path, FETCH).up_to_date
    with pytest.raises(SourceError, match=r"no longer in the workspace.*--retry-failed"):
        build_shop(web_shop, tmp_path, FETCH, "images.jpeg_quality=70")
    report = build_shop(web_shop, tmp_path, FETCH, "images.jpeg_quality=70", retry_failed=True)
    assert report.fetched["fetched"] >= PRODUCTS - 1


@pytest.fixture
def local_shop(tmp_path: Path) -> Path:
    """A shop with its images beside it. Product 1 is product 0 again; 2 has the image of 0 under another title."""
    rows = products(lambda number: f"{number}.jpg")
    rows[1]["title"] = rows[0]["title"] + " new"
    shop = write_products(tmp_path / "shop", rows)
    for number in range(PRODUCTS):
        (shop / f"{number}.jpg").write_bytes(photo(number))
    for number in (1, 2):
        (shop / f"{number}.jpg").write_bytes(photo(0))
    return shop


def test_products_that_share_a_image_share_a_split(local_shop: Path, tmp_path: Path) -> None:
    build_shop(local_shop, tmp_path)
    clusters: dict[str, str] = {}
    for file in (tmp_path / "out").glob("category_classification/*.parquet"):
        for row in pq.read_table(file, columns=["product_ids", "group_ids"]).to_pylist():
            clusters[row["product_ids"][0]] = row["group_ids"]["clusters"][0]
    assert clusters["shop:2"] == "shop:0"
    assert clusters["shop:5"] == "shop:5"
    audit = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert not [finding for finding in audit["findings"] if finding["kind"].startswith("image")]


def test_a_recipe_may_merge_equal_products(local_shop: Path, tmp_path: Path) -> None:
    build_shop(local_shop, tmp_path, "duplicates.merge=true")
    kept = published(tmp_path, "product_ids")
    rejected = rejections(tmp_path)
    [merged] = [key for key in ("shop:0", "shop:1") if key not in kept]
    assert rejected[merged] == ("deduplicate", "duplicate_product")
    assert "shop:2" in kept  # another title: another product under the same image


REVIEWS = "product rating title text user timestamp images"


def write_table(path: Path, names: str, *rows: tuple[object, ...]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([names.split(), *rows])


def test_a_merge_reaches_every_table_and_every_row_is_accounted_for(local_shop: Path, tmp_path: Path) -> None:
    """shop:0 and shop:1 are the same product; the first stays."""
    write_table(
        local_shop / "reviews.csv",
        REVIEWS,
        *(
            (number % 9, 1 + number % 5, "", f"It is the {WORDS[number]} one", "u", number, "")
            for number in range(30)
        ),
    )
    write_table(
        local_shop / "relations.csv",
        "product linked_product relation",
        *((0, 1, "similar"), (1, 5, "also_bought"), (0, 5, "also_bought"), (6, 1, "also_viewed")),
    )
    write_table(
        local_shop / "judgements.csv",
        "query product label",
        *(("a thing", 0, "E"), ("a thing", 1, "E"), ("other", 1, "S"), ("third", 4, "C")),
    )
    write_table(
        local_shop / "questions.csv",
        "product question document answerable",
        *((number, "Is it good for me?", "I think so", "yes") for number in range(6)),
    )
    report = build_shop(local_shop, tmp_path, "duplicates.merge=true")
    rejected = {
        (row["stage"], row["reason"], row["record_id"])
        for row in pq.read_table(tmp_path / "out" / "rejections" / "rejections.parquet").to_pylist()
        if row["stage"] == "deduplicate"
    }
    assert {reason for _, reason, _ in rejected} == {"duplicate_product", "self_relation", "duplicate_row"}
    assert ("deduplicate", "self_relation", "shop:0 shop:1 similar") in rejected
    assert ("deduplicate", "duplicate_row", "shop:1 shop:5 also_bought") in rejected
    assert len(rejected) == 4
    stages = {row["stage"]: (row["records"], row["kept"], row["rejected"]) for row in report.stages}
    assert {
        name: stages[f"merge-{name}"] for name in ("reviews", "relations", "judgements", "questions")
    } == {
        "reviews": (30, 30, 0),
        "relations": (4, 2, 2),
        "judgements": (4, 3, 1),
        "questions": (6, 6, 0),
    }
    assert stages["deduplicate"] == (PRODUCTS, PRODUCTS - 1, 1)
    for name in ("reviews", "relations", "judgements", "questions"):
        (file,) = (tmp_path / "ws" / "stages" / f"merge-{name}").rglob(f"{name}.parquet")
        assert "shop:1" not in str(pq.read_table(file).to_pylist()).replace("'", " ").split()
    # The task's own count of its records is what the merge left.
    assert stages["task-answerability_prediction"][0] == 6
    assert "shop:1" not in published(tmp_path, "product_ids")


def test_a_image_in_the_reviews_of_two_products_keeps_them_together(local_shop: Path, tmp_path: Path) -> None:
    (local_shop / "review.jpg").write_bytes(photo(999))
    write_table(
        local_shop / "reviews.csv",
        REVIEWS,
        *((n, 1 + n % 5, "", f"It is the {WORDS[n]} one", f"u{n}", n, "review.jpg") for n in range(3, 15)),
    )
    report = build_shop(local_shop, tmp_path, "duplicates.merge=true")
    assert report.audit is not None
    assert [finding for finding in report.audit.exceeded if finding.kind.startswith("image")] == []
    statistics = json.loads((tmp_path / "out" / "statistics.json").read_text())
    assert statistics["duplicates"]["cluster_sizes"] == {"1": PRODUCTS - 15, "3": 1, "12": 1}
    # 0 and 1: a reviewer's photograph makes no two products one
    assert statistics["duplicates"]["merged"] == 1


def test_the_folder_reports_duplicates_and_hygiene(local_shop: Path, tmp_path: Path) -> None:
    write_table(
        local_shop / "reviews.csv",
        REVIEWS,
        (3, 5, "", "Damn good, ask jane@example.com about it", "u", 1, ""),
    )
    build_shop(local_shop, tmp_path)
    statistics = json.loads((tmp_path / "out" / "statistics.json").read_text())
    found = statistics["duplicates"]
    # 0, 1 and 2 have one image, 0 and 1 nearly one title.
    assert found["cluster_sizes"] == {"1": PRODUCTS - 3, "3": 1}
    assert (found["pairs"]["identical_bytes"], found["duplicate_products"], found["merged"]) == (2, 1, 0)
    assert statistics["hygiene"] == {
        "records": 1,
        "masked": {"email": 1},
        "profane": 1,
        "names": {"searched": PRODUCTS, "suspicious": 0, "masked": {}},
        "queries": {"searched": 0, "masked": {}},
    }
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"{PRODUCTS} products form {PRODUCTS - 2} clusters; the largest holds 3." in card
    assert "Of 1 reviews and questions 1 have swear words" in card


def test_a_changed_threshold_decodes_nothing_again(local_shop: Path, tmp_path: Path) -> None:
    build_shop(local_shop, tmp_path)
    stages: list[str] = []
    build_shop(
        local_shop, tmp_path, "images.min_side=100", report=lambda stage, done, total: stages.append(stage)
    )
    assert "filter" in stages
    assert not {"images", "parse-00-catalog", "curate_products"} & set(stages)


def test_a_takedown_holds_in_later_builds(local_shop: Path, tmp_path: Path) -> None:
    build_shop(local_shop, tmp_path)
    workspace = tmp_path / "ws"
    fetched = workspace / FETCHED_FOLDER
    add_takedown(workspace, fetched, "product", "shop:7", "asked for")
    add_takedown(workspace, fetched, "url", "8.jpg")
    add_takedown(workspace, fetched, "image", sha256_file(local_shop / "9.jpg"))
    report = build_shop(local_shop, tmp_path)
    assert report.taken_down == {"curate_products": 1, "images": 2}
    assert not {"shop:7", "shop:8", "shop:9"} & published(tmp_path, "product_ids")
    rejected = rejections(tmp_path)
    assert rejected["shop:7"] == ("curate_products", "taken_down")
    assert rejected["8.jpg"] == rejected["9.jpg"] == ("images", "taken_down")


def test_taken_down_images_leave_the_store(web_shop: Path, tmp_path: Path, images: Any) -> None:
    shared = photo(11)
    images.routes["/10.jpg"] = images.routes["/11.jpg"]  # the same bytes under another product
    build_shop(web_shop, tmp_path, FETCH)
    workspace = tmp_path / "ws"
    store = ImageStore(workspace / FETCHED_FOLDER)
    add_takedown(workspace, workspace / FETCHED_FOLDER, "url", images.url("/8.jpg"))
    for number in (7, 11):
        add_takedown(workspace, workspace / FETCHED_FOLDER, "product", f"shop:{number}")
    asked = len(images.log)
    report = build_shop(web_shop, tmp_path, FETCH)
    assert len(images.log) == asked
    assert report.taken_down == {"curate_products": 2, "images": 1}
    assert rejections(tmp_path)[images.url("/8.jpg")] == ("images", "taken_down")
    held = {number: store.has(sha256(photo(number))) for number in (7, 8, 9)}
    assert held == {7: False, 8: False, 9: True}
    assert store.has(sha256(shared))


def test_a_thumbnail_replaces_a_broken_full_size(tmp_path: Path, images: Any) -> None:
    for number in range(PRODUCTS):
        images.routes[f"/I/{number}.jpg"] = image_server.Answer(body=photo(number))
    images.routes["/I/5.jpg"] = image_server.Answer(body=photo(5)[:-500])
    images.routes["/I/5._SX38_.jpg"] = image_server.Answer(body=photo(105))

    def image(number: int) -> str:
        if number == 6:  # a still of a video: neither of its sizes is asked for
            return images.url(f"/I/{number}._SX38_PKmb-play-button-overlay-thumb_.jpg")
        return images.url(f"/I/{number}._SX38_.jpg")

    build_shop(write_products(tmp_path / "shop", products(image)), tmp_path, FETCH)
    assert images.url("/I/5._SX38_.jpg") in published(tmp_path, "image_urls")
    assert sha256(photo(105)) in published(tmp_path, "image_ids")
    assert [path for path in images.paths() if path.startswith(("/I/6.", "/I/7."))] == ["/I/7.jpg"]
    assert rejections(tmp_path)[image(6)] == ("images", "placeholder")


def test_the_command_keeps_the_takedown_list(tmp_path: Path) -> None:
    options = ["--workspace", str(tmp_path / "ws")]
    add = CliRunner().invoke(app, ["takedown", "add", "product", "shop:7", "--note", "asked for", *options])
    assert add.exit_code == 0
    assert CliRunner().invoke(app, ["takedown", "list", *options]).stdout == "product\tshop:7\tasked for\n"
    wrong = CliRunner().invoke(app, ["takedown", "add", "photo", "x", *options])
    assert wrong.exit_code == 2
    assert "'photo' is not one of 'product', 'url', 'image'" in wrong.output
