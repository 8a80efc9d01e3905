"""The whole pipeline, on a small shop of the user's own: tables in, a valid dataset folder out."""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from mmecinstruct.auditing import audit_folder
from mmecinstruct.cli.report import print_report
from mmecinstruct.core.duckdb import Budget
from mmecinstruct.core.errors import DatasetError, RecipeError, SourceError
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.dataset.validate import validate_folder
from mmecinstruct.engine.executors import LocalExecutor
from mmecinstruct.engine.executors.local import cores
from mmecinstruct.engine.stage import Files, WorkItem
from mmecinstruct.pipeline import build as building
from mmecinstruct.pipeline.assemble import assemble_folder, publishable
from mmecinstruct.pipeline.build import BuildReport, build
from mmecinstruct.pipeline.stage_groups import query_budget
from mmecinstruct.recipe import load_recipe
from mmecinstruct.recipe.resources import MIN_QUERY_BYTES, ResourceSettings
from mmecinstruct.schemas.rejections import Rejection, rejections_table
from mmecinstruct.schemas.tables import REJECTIONS
from mmecinstruct.sources.readers.batches import BATCH_RECORDS
from mmecinstruct.sources.settings import AmazonMetadata, AmazonReviews, CatalogSource, MaveSource
from mmecinstruct.stages import render
from mmecinstruct.stages.parse import Parse, RawPart, file_stamp
from mmecinstruct.stages.render import warn_of_shortened
from mmecinstruct.stages.shards import splits_of
from mmecinstruct.tasks import TASKS

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def word(generator: random.Random) -> str:
    return "".join(generator.choice(LETTERS) for _ in range(7)).capitalize()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop of 90 products in 9 categories, with links, reviews by accounts, questions and judged queries."""
    folder = tmp_path_factory.mktemp("shop")
    generator = random.Random(4)
    (folder / "images").mkdir()
    products = []
    for number in range(90):
        top, fine = f"Top {number % 3}", f"Fine {number % 9}"
        name = f"images/{number}.png"
        image = Image.new("RGB", (120, 90), "white")
        ranges = ((5, 40), (5, 30), (60, 110), (45, 85))
        corners = [generator.randint(*limits) for limits in ranges]
        ImageDraw.Draw(image).ellipse(corners, fill=tuple(generator.randint(0, 200) for _ in range(3)))
        image.save(folder / name)
        products.append(
            {
                "id": str(number),
                "title": f"{word(generator)} {word(generator)} {fine} item",
                "brand": word(generator),
                "category": f"{top} > {fine}",
                "description": "<p>Nice &amp; good</p>",
                "price": "9.90",
                "images": name if number % 10 else f"{name}|images/none.png",
            }
        )
    products[7]["images"] = "images/missing.png"
    write_csv(folder / "products.csv", products)
    relations = []
    for number in range(90):
        for step, relation in ((3, "also_bought"), (9, "also_viewed"), (18, "similar")):
            relations.append(
                {"product": str(number), "linked_product": str((number + step) % 90), "relation": relation}
            )
    write_csv(folder / "relations.csv", relations)
    reviews = [
        {
            "product": str((user * 3 + 3 * step * (1 + user % 4)) % 90),
            "rating": str(1 + (user + step) % 5),
            "title": "My view",
            "text": f"This is a review of an item that I bought, number {user} of the {step}th order.",
            "user": f"u{user}",
            "timestamp": str(1_600_000_000 + step * 86_400),
            "images": "",
        }
        for user in range(60)
        for step in range(8)
    ]
    reviews.append({**reviews[0], "product": "unheard-of"})
    write_csv(folder / "reviews.csv", reviews)
    with (folder / "questions.jsonl").open("w") as stream:
        for number in range(90):
            row = {
                "product": str(number),
                "question": f"Is item {number} heavy?",
                "document": ["It weighs a pound."],
                "answerable": number % 2 == 0,
            }
            stream.write(json.dumps(row) + "\n")
        stream.write('{"product": "1", "question": "cut off')
    judgements = [
        {"query": f"query {query}", "product": str((query * 7 + step) % 90), "label": "ESCI"[step % 4]}
        for query in range(40)
        for step in range(8)
    ]
    write_csv(folder / "judgements.csv", judgements)
    return folder


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


SETTINGS = (
    "split={train: 0.5, validation: 0.2, test: 0.3, ood_categories: [Top 2]}",
    "tasks.sequential_recommendation={candidates: 6, k_core: 2, require_images: any}",
    "tasks.category_classification={options: 6}",
)


def build_shop(shop: Path, folder: Path, *overrides: str, workers: int = 1, **more: object) -> BuildReport:
    recipe = load_recipe("catalog", [*SETTINGS, *overrides])
    return build(recipe, folder / "out", workspace=folder / "ws", data=shop, workers=workers, **more)  # type: ignore[arg-type]


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def built(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuildReport]:
    folder = tmp_path_factory.mktemp("built")
    return folder, build_shop(shop, folder)


def test_every_task_is_built_and_the_folder_is_valid(built: tuple[Path, BuildReport]) -> None:
    folder, report = built
    assert report.missing == {}
    assert set(report.sizes) == set(TASKS)
    assert validate_folder(folder / "out") == []


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("task", [*TASKS, "all"])
def test_datasets_loads_every_config_and_split(
    built: tuple[Path, BuildReport], task: str, streaming: bool, tmp_path: Path
) -> None:
    import datasets

    folder, report = built
    loaded = datasets.load_dataset(
        str(folder / "out"), task, streaming=streaming, cache_dir=str(tmp_path / "cache")
    )
    sizes = report.sizes.values() if task == "all" else [report.sizes[task]]
    for split in {split for entry in sizes for split in entry if entry[split]["chosen"]}:
        rows = list(loaded[split])
        assert len(rows) == sum(entry[split]["chosen"] for entry in sizes if split in entry)
        for row in rows:
            assert len(row["images"]) == len(row["image_roles"])
            assert all(image.size for image in row["images"])


def test_every_rejection_has_its_reason(built: tuple[Path, BuildReport]) -> None:
    folder, _ = built
    rows = pq.read_table(folder / "out" / "rejections" / "rejections.parquet").to_pylist()
    found = {(row["stage"], row["reason"]): row for row in rows}
    assert found["parse", "broken_json"]["origin"] == "questions.jsonl:91"
    assert found["curate_reviews", "unknown_product"]["detail"] == "no product shop:unheard-of"
    assert {row["image_url"] for row in rows if row["reason"] == "dead_path"} == {
        "images/missing.png",
        "images/none.png",
    }
    assert ("split", "missing_image") in found
    statistics = json.loads((folder / "out" / "statistics.json").read_text())
    assert sum(sum(reasons.values()) for reasons in statistics["rejections"].values()) == len(rows)
    for stage in statistics["stages"]:
        assert stage["records"] == stage["kept"] + stage["rejected"]


def test_the_finished_folder_is_audited(built: tuple[Path, BuildReport]) -> None:
    folder, report = built
    text = (folder / "out" / "audit.json").read_text()
    audit = json.loads(text)
    assert report.audit is not None
    assert text == report.audit.to_json() == audit_folder(folder / "out").to_json()
    # Products, clusters, queries and categories are what the split assigns: none of them crosses.
    assigned = {"product", "cluster", "query", "query_id", "category"}
    assert not [
        finding
        for finding in audit["findings"]
        if finding["kind"] in assigned and finding["scope"] != "by design"
    ]
    assert not [
        finding
        for finding in audit["findings"]
        if finding["kind"] == "user" and finding["scope"] == "within a task"
    ]
    assert {check["status"] for check in audit["checks"]} == {"checked"}
    statistics = json.loads((folder / "out" / "statistics.json").read_text())
    assert statistics["audit"] == report.audit.summary()
    assert "`mmec audit` compared every pair of splits" in (folder / "out" / "README.md").read_text()


def test_users_are_published_as_numbers_only(built: tuple[Path, BuildReport]) -> None:
    folder, _ = built
    found = set()
    for path in (folder / "out").rglob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            row.pop("images", None)
            assert not re.search(r"\bu[0-9]+\b", str(row))
            found.add((row.get("group_ids") or {}).get("user"))
    assert len(found) > 10


def test_a_finished_build_is_up_to_date(shop: Path, built: tuple[Path, BuildReport]) -> None:
    folder, _ = built
    before = hashes(folder / "out")
    assert build_shop(shop, folder).up_to_date
    assert hashes(folder / "out") == before


def test_a_damaged_folder_is_built_again_from_the_workspace(
    shop: Path, built: tuple[Path, BuildReport]
) -> None:
    folder, _ = built
    before = hashes(folder / "out")
    victim = next((folder / "out" / "sentiment_analysis").glob("*.parquet"))
    victim.write_bytes(b"damaged")
    report = build_shop(shop, folder)
    assert not report.up_to_date
    kept = victim.with_name(f"{victim.name}.kept")
    assert [
        warning
        for warning in report.warnings
        if warning.endswith(f"kept as {victim.parent.name}/{kept.name}")
    ]
    assert kept.read_bytes() == b"damaged"
    kept.unlink()
    assert hashes(folder / "out") == before


def test_a_changed_size_does_not_measure_images_again(
    shop: Path, built: tuple[Path, BuildReport], tmp_path: Path
) -> None:
    folder, _ = built
    finished: list[str] = []
    recipe = load_recipe("catalog", [*SETTINGS, "sizes.train=5"])
    build(
        recipe,
        tmp_path / "out",
        workspace=folder / "ws",
        data=shop,
        report=lambda stage, done, total: finished.append(stage) if done == total else None,
    )
    kinds = {stage.partition("-")[0] for stage in finished}
    assert {"select", "shards"} <= kinds
    assert not kinds & {"parse", "images", "curate_products", "task"}


def test_workers_and_workspaces_change_no_byte(
    shop: Path, built: tuple[Path, BuildReport], tmp_path: Path
) -> None:
    folder, _ = built
    build_shop(shop, tmp_path, workers=2)
    assert hashes(tmp_path / "out") == hashes(folder / "out")


def test_how_rendering_is_cut_changes_no_byte(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "ITEM_ROWS", 7)
    tasks = ("category_classification", "answerability_prediction")
    finished: dict[str, int] = {}
    build_shop(
        shop,
        tmp_path,
        "publish.shard_rows=20",
        tasks=tasks,
        report=lambda stage, done, total: finished.update({stage: total}),
    )
    assert finished["render-category_classification"] > 3
    monkeypatch.undo()
    build_shop(shop, tmp_path / "whole", "publish.shard_rows=20", tasks=tasks)
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole" / "out")


def test_rows_are_read_from_the_groups_they_lie_in(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"n": range(25)}), path, row_group_size=7)
    for start, stop in ((0, 25), (0, 7), (6, 8), (7, 14), (20, 25), (3, 3)):
        assert render.read_rows(path, start, stop)["n"].to_pylist() == list(range(start, stop))


def test_a_part_of_a_split_names_its_files(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.parquet" for number in range(3)]
    for path, splits in zip(paths, (["train"] * 5, ["train"] * 2 + ["test"] * 3, ["test"] * 4), strict=True):
        pq.write_table(pa.table({"split": splits}), path)
    found = splits_of(paths)
    assert {split: rows.total for split, rows in found.items()} == {"train": 7, "test": 7}
    assert found["train"].part(0, 5) == ((paths[0],), 0, 5)
    assert found["train"].part(4, 6) == ((paths[0], paths[1]), 4, 6)
    assert found["test"].part(3, 7) == ((paths[2],), 0, 4)


def test_images_behind_a_link_out_of_the_data_root_are_not_opened(shop: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    (small / "images").symlink_to(shop / "images")
    (small / "products.csv").write_bytes((shop / "products.csv").read_bytes())
    with pytest.raises(RecipeError, match="90 missing_image"):
        build_shop(small, tmp_path)


def test_a_shop_of_products_alone_still_has_categories(shop: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    (small / "images").mkdir(parents=True)
    for path in (shop / "images").iterdir():
        (small / "images" / path.name).write_bytes(path.read_bytes())
    (small / "products.csv").write_bytes((shop / "products.csv").read_bytes())
    report = build_shop(small, tmp_path)
    assert set(report.sizes) == {"category_classification"}
    assert report.missing["answerability_prediction"] == ["no questions"]
    assert report.missing["sequential_recommendation"] == ["no reviews"]


def test_an_empty_folder_says_which_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"products\.\*"):
        build(load_recipe("catalog"), tmp_path / "out", workspace=tmp_path / "ws", data=tmp_path)


def test_a_table_without_the_mapped_column_names_its_columns(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"name.*products\.csv|products\.csv.*name"):
        build_shop(shop, tmp_path, "sources.0.products.title=name")


def test_a_full_disk_leaves_no_incomplete_folder(tmp_path: Path) -> None:
    task, out = "sentiment_analysis", tmp_path / "data" / "out"
    shard = tmp_path / "shards" / "key" / task / "train-00000-of-00001.parquet"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(bytes(300_000))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # no file grows beyond this
    try:
        with pytest.raises(DatasetError, match=rf"out={out}: cannot be written: .*File too large"):
            assemble_folder(out, load_recipe("catalog"), "fingerprint", [shard], [], BuildReport(out))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(out.parent.iterdir()) == []


def test_rejections_are_published_without_passwords() -> None:
    origins = ["https://me:secret@x.example/a@b.jpg", "https://x.example/a@b.jpg", "r.json:7", "", None]
    rows = [Rejection("images", "dead", "", origin, "id") for origin in origins]
    published = publishable(rejections_table(rows))
    assert published.schema == REJECTIONS
    assert published["origin"].to_pylist() == ["https://x.example/a@b.jpg", *origins[1:]]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "https:/u:SECRET@h/x",
            "https:u:SECRET@h/x",
            "u:SECRET@h/x",
            "https://u:SECRET\uff20h/x",
            "token=SECRET",
        ),
        *(
            "https://u:A SECRET@h/x",
            "javascript:token=SECRET",
            "https://u:SECRET%40h/x",
            "https://h/?pw=SECRET",
        ),
        *("https://h/token=SECRET/a.jpg", "\x1b[31mhttps://u:SECRET@h/x"),
    ],
)
def test_rejections_name_no_secret(text: str) -> None:
    published = publishable(
        rejections_table([Rejection("images", "dead", f"not reached: {text}", text, "id")])
    )
    (row,) = published.to_pylist()
    assert "SECRET" not in row["origin"] + row["detail"]


def test_details_of_rejections_are_masked() -> None:
    details = [
        "'jane@example.com' is not 1 to 5",
        "'call 555-0142' is no price",
        "column '@type' is empty",
        "firmware 8.8.8.8",
        "'20230105' is no date; from shop.example.com",
    ]
    published = publishable(
        rejections_table([Rejection("parse", "bad", detail, "", "id") for detail in details])
    )
    masked = ["'[EMAIL]' is not 1 to 5", "'call [PHONE]' is no price", *details[2:]]
    assert published["detail"].to_pylist() == masked


def test_shortened_urls_are_told() -> None:
    signed = [f"https://h/a.jpg?X-Amz-Signature={number}" for number in range(3)]
    assert warn_of_shortened(["https://h/a.jpg?key=1", "https://h/b.jpg?hash=2"]) == []
    (warning,) = warn_of_shortened([*signed, "https://h/b.jpg?token=1", "https://h/c.jpg?v=1"])
    assert "4 URLs were shortened, 2 of them to a URL that another image has too" in warning
    assert "https://h/a.jpg;" in warning


def test_nothing_to_build_is_an_error(shop: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    (small / "products.csv").write_bytes((shop / "products.csv").read_bytes())
    with pytest.raises(RecipeError, match="no questions"):
        build_shop(small, tmp_path, tasks=["answerability_prediction"])


def test_an_ood_category_without_products_is_an_error(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no product is in 'Top 9'; .*'Top 0', 'Top 1', 'Top 2'"):
        build_shop(shop, tmp_path, "split.ood_categories=[Top 2, Top 9]")
    stages = {path.name for path in (tmp_path / "ws" / "stages").iterdir()}
    assert "curate_products" in stages
    assert "images" not in stages  # said before any image is fetched or decoded


def test_an_ood_category_without_sampled_records_is_no_error(shop: Path, tmp_path: Path) -> None:
    wanted = ["sampling={oversample: 1}", "sizes={train: 1, validation: 1, test: 1, test_ood: 0}"]
    report = build_shop(
        shop,
        tmp_path,
        *wanted,
        "tasks.sequential_recommendation.sizes={train: 0, validation: 0, test: 0, test_ood: 0}",
    )
    assert {split for splits in report.sizes.values() for split in splits} <= {"train", "validation", "test"}
    with pytest.raises(RecipeError, match="no product is in 'Top 9'"):
        build_shop(shop, tmp_path / "other", *wanted, "split.ood_categories=[Top 2, Top 9]")


def test_a_table_without_sampled_rows_is_not_called_empty(shop: Path, tmp_path: Path) -> None:
    overrides = [
        "sampling={oversample: 1}",
        "tasks.answerability_prediction.sizes={train: 0, validation: 0, test: 0, test_ood: 0}",
    ]
    with pytest.raises(RecipeError, match="none of 90 questions was sampled"):
        build_shop(shop, tmp_path, *overrides, "sizes.train=2", tasks=["answerability_prediction"])


def test_files_without_sampled_rows_are_not_called_empty(shop: Path, tmp_path: Path) -> None:
    overrides = ["sampling={oversample: 1}", "sizes={train: 0, validation: 0, test: 0, test_ood: 0}"]
    with pytest.raises(RecipeError, match="nothing to build from: none of 90 products was sampled"):
        build_shop(shop, tmp_path, *overrides)


def test_more_workers_than_memory_suffices_for_are_a_warning(shop: Path, tmp_path: Path) -> None:
    report = build_shop(shop, tmp_path, "resources.memory=1GB", workers=2, tasks=["answerability_prediction"])
    assert [
        warning for warning in report.warnings if "resources.memory (1GB), which suffices for 1" in warning
    ]


def test_tasks_of_a_cluster_are_no_processes_of_this_machine(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, budgets = [], []

    def cluster(workers: int | None, address: str | None, **_: object) -> LocalExecutor:
        asked.append(workers)
        return LocalExecutor(1)

    def recorded(resources: ResourceSettings, workers: int) -> Budget:
        budgets.append(query_budget(resources, workers))
        return budgets[-1]

    monkeypatch.setattr(building, "RayExecutor", cluster)
    monkeypatch.setattr(building, "query_budget", recorded)
    report = build_shop(shop, tmp_path, workers=64, executor="ray", tasks=["answerability_prediction"])
    assert asked == [64]
    assert not [warning for warning in report.warnings if "processes" in warning]
    assert {one.threads for one in budgets} == {min(cores(), 11)}
    assert min(one.memory for one in budgets) > MIN_QUERY_BYTES


def test_an_ood_category_that_licences_may_have_left_out_is_a_warning(shop: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    for name in ("products.csv", "judgements.csv"):
        (small / name).write_bytes((shop / name).read_bytes())
    with_amazon = load_recipe(
        "catalog",
        [*SETTINGS, "licences=open", "publish.license=cc0-1.0", "split.ood_categories=[Top 2, Top 9]",
         "images={publish: reference, read: false}",
         "tasks.product_substitute_identification.require_images=none"],
    )  # fmt: skip
    amazon = (
        AmazonMetadata(kind="amazon18_metadata", path="amazon2018/meta_Electronics.json.gz"),
        AmazonReviews(kind="amazon18_reviews", path="amazon2018/Electronics_5.json.gz"),
    )
    with_amazon = with_amazon.model_copy(update={"sources": (*with_amazon.sources, *amazon)})
    psi, sa = "product_substitute_identification", "sentiment_analysis"
    report = build(with_amazon, tmp_path / "out", workspace=tmp_path / "ws", data=small, tasks=[psi, sa])
    [said] = [warning for warning in report.warnings if "split.ood_categories" in warning]
    assert "no product is in 'Top 9', so there is no out-of-domain test of it" in said
    assert "licences: open left out amazon18_metadata (amazon2018: none stated), amazon18_reviews" in said
    assert "'Top 0', 'Top 1', 'Top 2'" in said
    assert report.missing == {
        sa: ["no reviews", "licences: open left out amazon18_metadata, amazon18_reviews"]
    }
    assert set(report.sizes) == {psi}
    statistics = json.loads((tmp_path / "out" / "statistics.json").read_text())
    assert statistics["missing_tasks"] == report.missing


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("tasks.category_classification.label_balance={Fine x: 1}", "label Fine x has 0 samples"),
        ("sizes={train: 0, validation: 0, test: 0, test_ood: 0}", "the recipe's sizes want none"),
    ],
)
def test_an_empty_choice_names_the_reason(shop: Path, tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        build_shop(shop, tmp_path, override, tasks=["category_classification"])


def test_files_that_no_build_wrote_are_no_hindrance(
    shop: Path, built: tuple[Path, BuildReport], tmp_path: Path
) -> None:
    shutil.copytree(built[0] / "out", tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    recipe = load_recipe("catalog", [*SETTINGS, "publish.shard_rows=20"])
    report = build(recipe, tmp_path / "out", workspace=built[0] / "ws", data=shop)
    assert not report.up_to_date
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    assert validate_folder(tmp_path / "out") == []
    assert build(recipe, tmp_path / "out", workspace=built[0] / "ws", data=shop).up_to_date


def test_a_workspace_within_the_target_is_an_error(shop: Path, tmp_path: Path) -> None:
    recipe = load_recipe("catalog")
    with pytest.raises(DatasetError, match="would be replaced with it"):
        build(recipe, tmp_path / "out", workspace=tmp_path / "out" / ".mmec", data=shop)


def test_a_link_to_a_folder_is_filled_and_stays_a_link(
    shop: Path, built: tuple[Path, BuildReport], tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    recipe = load_recipe("catalog", list(SETTINGS))
    build(recipe, tmp_path / "out", workspace=built[0] / "ws", data=shop)
    assert (tmp_path / "out").is_symlink()
    assert hashes(tmp_path / "disk") == hashes(built[0] / "out")


def test_hostile_image_paths_are_rejected_and_the_rest_is_built(shop: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(shop, tmp_path / "sh'op [1]*"))
    (copy / "images" / "1.png").unlink()
    (copy / "images" / "1.png").mkdir()
    (copy / "images" / "2.png").unlink()
    (copy / "images" / "2.png").symlink_to("/etc/passwd")
    (copy / "images" / "3.png").unlink()
    os.mkfifo(copy / "images" / "3.png")
    (copy / "images" / "4.png").write_bytes(b"\xff\xd8\xff\xe0 no more")
    report = build_shop(copy, tmp_path, tasks=["category_classification"])
    rows = pq.read_table(tmp_path / "out" / "rejections" / "rejections.parquet").to_pylist()
    reasons = {row["image_url"]: row["reason"] for row in rows if row["stage"] == "images"}
    assert [reasons[f"images/{number}.png"] for number in (1, 2, 3, 4)] == [
        *("dead_path", "outside_folders", "dead_path", "broken_header")
    ]
    assert not report.missing


def test_a_raw_file_that_changes_while_it_is_read_is_an_error(shop: Path, tmp_path: Path) -> None:
    source = load_recipe("catalog").sources[0]
    path = shop / "products.csv"
    stage = parse_one(source, "products", path)
    stage = replace(stage, stamps=((path.stat().st_size, path.stat().st_mtime_ns - 1),))
    with pytest.raises(SourceError, match=r"products\.csv changed while it was read; run the build again"):
        stage.work(WorkItem("00000", RawPart(0)), tmp_path)


def parse_one(source: CatalogSource, role: str, path: Path) -> Parse:
    """The stage over one raw file."""
    return Parse(
        number=0,
        source=source,
        roles=(role,),
        origins=(path.name,),
        files=Files((path,), {"reviews": "a"}),
        stamps=(file_stamp(path),),
    )


def test_a_truncated_archive_is_built_with_a_warning(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(shop, cut)
    packed = gzip.compress((cut / "reviews.csv").read_bytes())
    (cut / "reviews.csv.gz").write_bytes(packed[: len(packed) // 2])
    (cut / "reviews.csv").unlink()
    for _ in range(2):  # also where the finished stages are only read again
        report = build_shop(
            cut, tmp_path, "sources.0.reviews.path=reviews.csv.gz", tasks=["category_classification"]
        )
        (line,) = report.truncated
        location, _, said = line.partition(": ")
        assert re.fullmatch(r"reviews\.csv\.gz:[0-9]+", location)
        assert "truncated" in said
        print_report(report)
        assert f"warning: {line}, and run the build again." in capsys.readouterr().err
    rows = pq.read_table(tmp_path / "out" / "rejections" / "rejections.parquet").to_pylist()
    assert [row["origin"] for row in rows if row["reason"] == "truncated_archive"] == [location]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("<html>sign in</html>\n<p>\n", r"none of its records can be used \(2 broken_json\)"),
        ("", "it has no record"),
    ],
)
def test_a_file_without_usable_records_is_warned_of(
    shop: Path, tmp_path: Path, content: str, problem: str
) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(shop, raw)
    (raw / "labels.jsonl").write_text(content)
    recipe = load_recipe("catalog", SETTINGS)
    labels = MaveSource(kind="mave", path="labels.jsonl")
    recipe = recipe.model_copy(update={"sources": (*recipe.sources, labels)})
    cc, sa = "category_classification", "sentiment_analysis"
    report = build(recipe, tmp_path / "out", workspace=tmp_path / "ws", data=raw, tasks=[cc])
    [said] = [warning for warning in report.warnings if "publisher's file" in warning]
    assert re.match(rf"labels\.jsonl: {problem}; see that it is its publisher's file, and whole", said)
    (raw / "reviews.csv").write_text((raw / "reviews.csv").read_text().splitlines()[0] + "\n")
    with pytest.raises(
        RecipeError, match=rf"sentiment_analysis: .*\n  reviews\.csv: it .*\n  labels\.jsonl: {problem}"
    ):
        build(recipe, tmp_path / "out", workspace=tmp_path / "ws", data=raw, tasks=[sa])


def test_rejections_of_several_batches_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    write_csv(path, [{"product": "1", "rating": "9", "text": str(n)} for n in range(2 * BATCH_RECORDS + 1)])
    mapping = {"path": "reviews.csv", "product": "product", "rating": "rating", "text": "text"}
    products = {"path": "products.csv", "id": "id", "title": "title"}
    source = CatalogSource.model_validate({"kind": "catalog", "products": products, "reviews": mapping})
    counts = parse_one(source, "reviews", path).work(WorkItem("00000", RawPart(0)), tmp_path)
    rows = pq.read_table(tmp_path / "rejections.parquet")
    assert counts.rejected == rows.num_rows == 2 * BATCH_RECORDS + 1
    assert rows["origin"].to_pylist()[-1] == f"reviews.csv:{2 * BATCH_RECORDS + 2}"


def test_a_file_in_the_way_is_an_error_before_any_work(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(DatasetError, match="a file of that name"):
        build_shop(shop, tmp_path)
    assert not (tmp_path / "ws").exists()


@pytest.mark.slow
def test_a_sample_build_killed_three_times_gives_the_same_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mmecinstruct", "build", "--set", "sample.products=240"]
    one = [*command, "--workers", "1", "--out", str(tmp_path / "a"), "--workspace", str(tmp_path / "wa")]
    two = [*command, "--workers", "2", "--out", str(tmp_path / "b"), "--workspace", str(tmp_path / "wb")]
    subprocess.run(one, check=True, capture_output=True)
    # One line on stderr per finished stage: each run is killed in the middle of the stage that follows.
    for finished in ("synthetic_shop:", "curate_questions:", "render-answerability_prediction:"):
        process = subprocess.Popen(two, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert any(line.startswith(finished) for line in process.stderr), "the build ended before the stage"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()
    subprocess.run(two, check=True, capture_output=True)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    assert validate_folder(tmp_path / "a") == []


@pytest.mark.skipif("MMEC_REAL_DATA" not in os.environ, reason="MMEC_REAL_DATA names no folder of real data")
def test_a_real_shop_is_built(tmp_path: Path) -> None:
    data = Path(os.environ["MMEC_REAL_DATA"]) / "luma_shop"
    report = build(load_recipe("luma-shop"), tmp_path / "out", workspace=tmp_path / "ws", data=data)
    assert set(report.sizes) == {
        "category_classification",
        "product_relation_prediction",
        "sentiment_analysis",
    }
    assert validate_folder(tmp_path / "out") == []
    rows = pq.read_table(tmp_path / "out" / "rejections" / "rejections.parquet").to_pylist()
    reasons = [row["reason"] for row in rows]
    assert reasons.count("dead_path") == 195
    assert reasons.count("unknown_product") == 152
