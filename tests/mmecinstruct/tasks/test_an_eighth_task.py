"""An eighth task is its module, its templates and its test: everything else reads the `Task` object."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from pydantic import Field

from caslie_model.config.choices import full_task_names
from caslie_model.evaluation.metrics import Bootstrap
from caslie_model.evaluation.score import score_part
from mmecinstruct.api import task_names
from mmecinstruct.auditing import audit_folder
from mmecinstruct.core import templating
from mmecinstruct.core.errors import RecipeError
from mmecinstruct.core.package_data import templates_folder
from mmecinstruct.dataset.shards import find_shards
from mmecinstruct.dataset.validate import validate_folder
from mmecinstruct.pipeline.build import BuildReport, build
from mmecinstruct.recipe import load_recipe
from mmecinstruct.tasks import TASKS, TaskOutput, TaskSettings
from mmecinstruct.tasks.expressions import first_row, has_images, product_image, sample_id
from mmecinstruct.tasks.output import collect, create_records
from mmecinstruct.tasks.task import Candidates, InputField, PredictedSplits, Row, Sampling, Task

if TYPE_CHECKING:
    import duckdb

# What a module mmecinstruct/tasks/title_length.py would hold.

NAME = "title_length"


class TitleLengthSettings(TaskSettings):
    """Settings of title length."""

    limit: int = Field(default=40, ge=1, description="Characters that a long title exceeds.")


def title_length_output(settings: TitleLengthSettings) -> str:
    return f"CASE WHEN length(title) > {settings.limit} THEN 'B' ELSE 'A' END"


def build_title_length(
    connection: duckdb.DuckDBPyConnection, settings: TitleLengthSettings, seed: int, sampled: bool
) -> TaskOutput:
    """Ask of each product whether its title is long."""
    asked = (
        "products SEMI JOIN sampled_records ON sampled_records.one = product_id" if sampled else "products"
    )
    create_records(
        connection,
        f"""
        SELECT product_id AS record_id, * EXCLUDE (product_id), {title_length_output(settings)} AS output,
               CASE WHEN coalesce(category, '') = '' THEN 'no_category' END AS reason, title AS detail
        FROM {asked}
        """,
    )
    return collect(
        connection,
        NAME,
        "products",
        f"""
        SELECT {sample_id(NAME, "record_id")} AS id, category, source,
               json_object('product name', title)::VARCHAR AS fields,
               []::VARCHAR[] AS options, output, output AS label,
               [{product_image("'product'", "record_id", "image_urls")}] AS images,
               [record_id] AS product_ids, NULL::VARCHAR AS user_id, NULL::VARCHAR AS query_id,
               []::VARCHAR[] AS record_ids
        FROM task_records WHERE reason IS NULL
        """,
    )


def title_length_candidates(
    connection: duckdb.DuckDBPyConnection, settings: TitleLengthSettings, splits: PredictedSplits
) -> Candidates:
    return Candidates(f"""
        WITH titled AS (
            SELECT product_id, {title_length_output(settings)} AS label, file_index, row_index FROM products
        ), first AS (
            SELECT * FROM titled {first_row("product_id")}
        )
        SELECT product_id AS one, NULL::VARCHAR AS two, split, first.label
        FROM first JOIN expected_product USING (product_id)
        WHERE category <> '' AND {has_images(settings, "has_image")}
    """)


TITLE_LENGTH = Task(
    name=NAME,
    short_name="tl",
    answer="A short, B long",
    labels=("A", "B"),
    metric="accuracy",
    requires=("products",),
    split_note="goes by product, as its title does.",
    settings=TitleLengthSettings,
    build=build_title_length,
    sampling=Sampling("product", None, title_length_candidates),
    row=Row({"product name": InputField("title")}),
)

# What its templates would be.

TEMPLATES = {
    **{
        f"instructions/{NAME}/{number}.j2": f"Tell how long the title is, way {number}."
        for number in range(6)
    },
    f"inputs/{NAME}.j2": '{"product name": {{ product_name | tojson }}}',
    f"options/{NAME}.j2": "short\nlong",
}

# The test.

SHOP = ("sample.products=60", "sample.images=false", "sizes={train: 20, validation: 4, test: 4, test_ood: 4}")


@pytest.fixture(scope="module")
def with_title_length(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Add the task and its templates while the module's tests run."""
    folder = tmp_path_factory.mktemp("eighth") / "templates"
    shutil.copytree(templates_folder(), folder)
    for name, text in TEMPLATES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, NAME, TITLE_LENGTH)
        patch.setattr(templating, "templates_folder", lambda: folder)
        templating.environment.cache_clear()
        yield
    templating.environment.cache_clear()


def build_shop(folder: Path, *overrides: str) -> tuple[Path, BuildReport]:
    recipe = load_recipe("sample", [*SHOP, f"tasks.{NAME}={{limit: 45}}", *overrides])
    report = build(recipe, folder / "out", workspace=folder / "ws", tasks=[NAME, "category_classification"])
    return folder / "out", report


@pytest.fixture(scope="module")
def built(with_title_length: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuildReport]:
    return build_shop(tmp_path_factory.mktemp("built"))


def test_it_is_built_split_and_rendered(built: tuple[Path, BuildReport]) -> None:
    out, report = built
    assert list(report.sizes) == ["category_classification", NAME]
    assert list(report.sizes[NAME]) == ["train", "validation", "test", "test_ood"]
    shards = [path for path in find_shards(out) if path.startswith(NAME)]
    assert [path.partition("/")[2].partition("-")[0] for path in shards] == list(report.sizes[NAME])
    rows = [row for path in shards for row in pq.read_table(out / path).to_pylist()]
    for row in rows:
        title = json.loads(row["input"])["product name"]
        assert (row["options"], row["output"]) == (["A: short", "B: long"], "AB"[len(title) > 45])
        assert row["instruction"].startswith("Tell how long the title is")
    assert {row["output"] for row in rows} == {"A", "B"}


def test_its_folder_is_valid_and_wrong_rows_are_found(
    built: tuple[Path, BuildReport], tmp_path: Path
) -> None:
    out = Path(shutil.copytree(built[0], tmp_path / "out"))
    assert validate_folder(out) == []
    path = next(path for path in find_shards(out) if path.startswith(f"{NAME}/train"))
    schema, rows = pq.read_schema(out / path), pq.read_table(out / path)
    changed = rows.to_pylist()
    changed[0] |= {"input": '{"name": "Mug"}', "output": "C"}
    pq.write_table(rows.from_pylist(changed, schema=schema), out / path)
    assert {"input_shape", "answer_not_an_option"} <= {problem.reason for problem in validate_folder(out)}


def test_its_titles_are_audited(built: tuple[Path, BuildReport], tmp_path: Path) -> None:
    out = Path(shutil.copytree(built[0], tmp_path / "out"))
    assert not audit_folder(out).exceeded
    (train,) = out.glob(f"{NAME}/train-*.parquet")
    (test,) = out.glob(f"{NAME}/test-*.parquet")
    schema, rows = pq.read_schema(test), pq.read_table(test)
    leaked = rows.to_pylist()
    leaked[0]["input"] = pq.read_table(train).to_pylist()[0]["input"]
    pq.write_table(rows.from_pylist(leaked, schema=schema), test)
    assert {(found.task, found.kind) for found in audit_folder(out).exceeded} >= {(NAME, "title_identical")}


def test_the_card_shows_it(built: tuple[Path, BuildReport]) -> None:
    card = (built[0] / "README.md").read_text()
    assert f"| {NAME} | tl | A short, B long | " in card
    assert f"{NAME} goes by product, as its title does." in card


@pytest.mark.usefixtures("with_title_length")
def test_it_has_a_metric_and_names() -> None:
    part = score_part(NAME, ["A", "B"], ["A", "A"], ["A", "B"], "A", Bootstrap(20))
    assert (part["metric"], part["primary"]) == ("accuracy", 0.5)
    assert task_names("tl,sa") == (NAME, "sentiment_analysis")
    assert task_names("all")[-1] == NAME
    assert full_task_names(["tl"]) == (NAME,)


def test_its_records_are_sampled(built: tuple[Path, BuildReport], tmp_path: Path) -> None:
    out, report = build_shop(
        tmp_path, "sampling={oversample: 2}", f"tasks.{NAME}.label_balance={{A: 0.5, B: 0.5}}"
    )
    sampled = report.measured["sampling"]["drawn"][NAME]
    assert 0 < sampled["train"] <= 40
    assert validate_folder(out) == []


@pytest.mark.usefixtures("with_title_length")
def test_its_settings_are_its_own() -> None:
    with pytest.raises(RecipeError, match=f"only {NAME} uses it"):
        load_recipe("sample", ["tasks.sentiment_analysis.limit=50"])
    with pytest.raises(RecipeError, match=rf"tasks\.{NAME}\.limit: Input should be greater"):
        load_recipe("sample", [f"tasks.{NAME}.limit=0"])
