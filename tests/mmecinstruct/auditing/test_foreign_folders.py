"""Foreign folders: missing columns are reported as unchecked, and damaged files are errors that name them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from mmecinstruct.auditing import AuditReport, audit_folder, report_markdown, settings_of_folder
from mmecinstruct.cli.app import app
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.duplicates.settings import DuplicateSettings
from mmecinstruct.recipe import AuditSettings, Recipe

CC, SA, SR = "category_classification", "sentiment_analysis", "sequential_recommendation"
Shop = Any  # of conftest.py; tests are no package


def statuses(report: AuditReport) -> dict[str, str]:
    return {check.kind: check.status for check in report.checks}


def test_missing_group_ids_are_not_checked(shop: Shop, tmp_path: Path) -> None:
    shop.row(CC, "test")["product_ids"] = shop.row(CC, "train")["product_ids"]
    report = audit_folder(shop.write(tmp_path, without=("group_ids",)))
    assert {kind for kind, status in statuses(report).items() if status == "not checked"} == {
        *("cluster", "user", "query_id")
    }
    assert {check.kind: check.note for check in report.unchecked}["user"] == "no column group_ids.user"
    assert [finding.kind for finding in report.findings] == ["product"]


def test_texts_are_compared_without_other_columns(shop: Shop, tmp_path: Path) -> None:
    shop.row(CC, "test")["input"] = shop.row(CC, "train")["input"]
    gone = (
        "images",
        "image_roles",
        "image_product_ids",
        "product_ids",
        "group_ids",
        "id",
        "category",
        "options",
    )
    report = audit_folder(shop.write(tmp_path, without=gone))
    assert statuses(report)["product"] == statuses(report)["image_near"] == "not checked"
    assert statuses(report)["category"] == "not checked"
    (finding,) = report.findings
    (example,) = finding.examples
    assert finding.kind == "title_identical"
    assert example.sample == f"{CC}/test-00000-of-00001.parquet row 0"
    text = report_markdown(report)
    assert "not checked: no column images" in text
    assert not any(line.startswith("| image_near ") and " across " in line for line in text.splitlines())


def test_a_column_of_some_files_is_partly_checked(shop: Shop, tmp_path: Path) -> None:
    folder = shop.write(tmp_path)
    file = folder / CC / "test-00000-of-00001.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["product_ids", "group_ids"]), file)
    checks = {check.kind: check for check in audit_folder(folder).checks}
    assert checks["product"].status == "partly checked"
    assert f"in 1 files, as {CC}/test" in checks["product"].note


def test_columns_without_values_are_not_reported_as_clean(shop: Shop, tmp_path: Path) -> None:
    for rows in shop.rows.values():
        for row in rows:
            row["group_ids"]["user"] = None
    report = audit_folder(shop.write(tmp_path))
    assert statuses(report)["user"] == "no values"
    assert "| user " not in report_markdown(report).partition("Samples of the later split")[2]


def test_damaged_and_unembedded_images_are_reported(shop: Shop, tmp_path: Path) -> None:
    shop.row(CC, "test")["images"] = [{"bytes": b"\xff\xd8\xff\xe0 no image", "path": None}]
    shop.row(CC, "test", 1)["images"] = [{"bytes": None, "path": "somewhere.jpg"}]
    checks = {check.kind: check for check in audit_folder(shop.write(tmp_path)).checks}
    assert checks["image_near"].status == "partly checked"
    assert "1 images cannot be decoded" in checks["image_near"].note
    assert checks["image_bytes"].note == "1 images are not embedded, so they were not compared"


def test_foreign_tasks_files_and_columns_are_read(tmp_path: Path) -> None:
    """One image a row, one product a row, an input that is no JSON, a query table of another task."""
    rows = [
        {"input": "What a lovely thing this is, I bought it twice", "product_ids": 7, "id": "a"},
        {"input": "{not json", "product_ids": 8, "id": "b"},
    ]
    for split in ("train", "test"):
        (tmp_path / "captions").mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "captions" / f"{split}.parquet")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "captions" / "notes.parquet")
    report = audit_folder(tmp_path)
    assert report.rows == {"captions": {"train": 2, "test": 2}}
    assert {(finding.kind, finding.samples) for finding in report.findings} == {
        ("product", 2),
        ("text_identical", 1),
    }
    assert report.unread == ("captions/notes.parquet",)


def test_files_of_unknown_splits_are_reported(shop: Shop, tmp_path: Path) -> None:
    shop.keep("train", "test")
    folder = shop.write(tmp_path)
    assert audit_folder(folder).unread == ()
    shard = folder / CC / "train-00000-of-00001.parquet"
    shutil.copy(shard, folder / CC / "dev-<b>.parquet")
    shutil.copy(shard, folder / "all.parquet")
    report = audit_folder(folder)
    assert report.unread == ("all.parquet", f"{CC}/dev-<b>.parquet")
    assert report.as_dict()["unread_files"] == list(report.unread)
    text = report_markdown(report).partition("**Not read**")[2].splitlines()[0]
    assert "all.parquet, category_classification/dev" in text
    assert "&lt;b&gt;.parquet." in text
    assert "2 Parquet file(s) not read" in run(folder).stderr


def test_a_single_split_has_no_pairs(shop: Shop, tmp_path: Path) -> None:
    shop.keep("train")
    report = audit_folder(shop.write(tmp_path))
    assert (report.pairs, report.findings) == ([], ())
    assert "one split only" in report_markdown(report)


def test_hostile_texts_are_escaped(shop: Shop, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> | [x](http://evil.example) \u202e \x1b[2J `rm` " + "word " * 20
    for split in ("train", "test"):
        shop.set_input(shop.row(SA, split), review=evil)
        shop.row(SA, split)["id"] = f"{split} | <b>"
    report = audit_folder(shop.write(tmp_path))
    text = report_markdown(report)
    assert report.findings
    assert not [part for part in ("<", "\x1b", "\u202e", "[x]", " `rm`") if part in text]
    assert "&lt;script&gt;" in text
    assert json.loads(report.to_json())["findings"][0]["kind"] == "text_identical"


# --- errors --------------------------------------------------------------------------------------------


def test_a_missing_folder_and_an_empty_one_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no such folder"):
        audit_folder(tmp_path / "gone")
    with pytest.raises(DatasetError, match="no file <task>/<split>"):
        audit_folder(tmp_path)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-200])


def spoil(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[200:4000] = bytes(3800)
    file.write_bytes(content)


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize(("damage", "workers"), [(truncate, 1), (spoil, 1), (empty, 1), (spoil, 2)])
def test_a_damaged_shard_is_named(shop: Shop, tmp_path: Path, damage: Any, workers: int) -> None:
    shop.keep("train", "test")
    folder = shop.write(tmp_path)
    damage(folder / CC / "test-00000-of-00001.parquet")
    with pytest.raises(DatasetError, match=rf"{CC}/test-00000-of-00001.parquet: cannot be read as Parquet"):
        audit_folder(folder, workers=workers)


# --- settings ------------------------------------------------------------------------------------------


def test_tolerances_come_from_the_folders_recipe(shop: Shop, tmp_path: Path) -> None:
    shop.row(CC, "test")["product_ids"] = shop.row(CC, "train")["product_ids"]
    folder = shop.write(tmp_path)
    assert settings_of_folder(folder) == AuditSettings()
    assert audit_folder(folder).exceeded
    recipe = {"name": "of-a-later-version", "unknown": 1, "audit": {"tolerances": {"product": 0.5}}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert audit_folder(folder).exceeded == []
    assert audit_folder(folder, AuditSettings()).exceeded


@pytest.mark.parametrize(
    "text", ["audit: {tolerances: {product: 2}}", "audit: 7", "a: [", "audit: {colour: 1}"]
)
def test_an_invalid_recipe_is_named_in_the_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(DatasetError, match=r"(?s)recipe\.yaml.*name another recipe"):
        settings_of_folder(tmp_path)


def test_a_recipe_has_a_part_for_the_audit() -> None:
    content = {"name": "r", "sources": [{"kind": "mave", "path": "x"}], "audit": {"image_radius": 3}}
    assert Recipe.model_validate(content).audit.image_radius == 3


def test_audit_and_build_have_the_same_default_thresholds() -> None:
    audit, build = AuditSettings(), DuplicateSettings()
    assert (audit.image_radius, audit.max_colour_difference, audit.min_structure, audit.text_similarity) == (
        build.image_radius,
        build.max_colour_difference,
        build.min_structure,
        build.title_similarity,
    )


# --- the command ---------------------------------------------------------------------------------------


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["audit", "--workers", "1", *map(str, arguments)])


def test_the_command_exits_1_above_the_tolerance(shop: Shop, tmp_path: Path) -> None:
    shop.row(CC, "test")["product_ids"] = shop.row(CC, "train")["product_ids"]
    shop.keep("train", "test")
    folder, out = shop.write(tmp_path / "dataset"), tmp_path / "audit.json"
    done = run(folder, "--out", out, "--examples", "1")
    assert done.exit_code == 1
    assert re.search(r"\| product +\| within a task \| +1 \(5\.6 %\) \|", done.stdout)
    assert "1 finding(s) above the tolerance" in done.stderr
    assert json.loads(out.read_text())["findings"][0]["examples"][0]["shared"] == "shop:13"
    tolerant = tmp_path / "tolerant.yaml"
    tolerant.write_text(
        yaml.safe_dump(
            {
                "name": "tolerant",
                "sources": [{"kind": "mave", "path": "x"}],
                "audit": {"tolerances": {"product": 0.4}},
            }
        )
    )
    markdown = tmp_path / "audit.md"
    done = run(folder, "--recipe", tolerant, "--out", markdown)
    assert done.exit_code == 0
    assert markdown.read_text() == done.stdout


def test_the_command_exits_2_for_unreadable_folders(shop: Shop, tmp_path: Path) -> None:
    done = run(tmp_path / "gone")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    shop.keep("train", "test")
    folder = shop.write(tmp_path / "dataset")
    truncate(folder / CC / "test-00000-of-00001.parquet")
    done = run(folder)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "cannot be read as Parquet" in done.stderr
    assert run(folder, "--out", "audit.txt").exit_code == 2


def test_a_folder_without_comparable_columns_is_not_clean(tmp_path: Path) -> None:
    (tmp_path / "captions").mkdir()
    for split in ("train", "test"):
        pq.write_table(pa.table({"caption": ["A mug."]}), tmp_path / "captions" / f"{split}.parquet")
    done = run(tmp_path)
    assert done.exit_code == 2
    assert "none of the columns that an audit compares" in done.stderr
    assert "nothing above" not in done.stderr
