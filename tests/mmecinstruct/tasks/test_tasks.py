"""Rules of all seven tasks together."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from mmecinstruct.schemas.samples import UNRENDERED
from mmecinstruct.schemas.tables import REJECTIONS
from mmecinstruct.tasks import TASKS, TaskOutput, missing_tables


def test_short_names_are_initials_and_differ() -> None:
    assert [task.short_name for task in TASKS.values()] == ["ap", "cc", "prp", "psi", "mpc", "sa", "sr"]


def test_fields_of_the_same_name_have_the_same_unit() -> None:
    found = [(name, field.unit) for task in TASKS.values() for name, field in (task.row.fields or {}).items()]
    assert len(dict(found)) == len(set(found))


def test_every_setting_of_a_task_is_described() -> None:
    fields = [field for task in TASKS.values() for field in task.settings.model_fields.values()]
    assert all(field.description for field in fields)


@pytest.mark.parametrize("task", TASKS)
def test_empty_tables_give_an_empty_result(shop: Any, task: str) -> None:
    output = shop.build(task)
    assert output.records_in == output.samples.num_rows == output.rejections.num_rows == 0
    assert output.samples.schema.equals(UNRENDERED)
    assert output.rejections.schema.equals(REJECTIONS)


@pytest.mark.parametrize("task", TASKS)
def test_records_without_products_are_all_rejected(shop: Any, task: str) -> None:
    shop.review("r", "gone")
    shop.relation("gone", "away", "similar")
    shop.judgement("q", "gone", "E")
    shop.question("w", "gone")
    output = shop.build(task)
    assert output.samples.num_rows == 0
    assert output.records_in == (0 if task == "category_classification" else 1)


@pytest.mark.parametrize("task", TASKS)
def test_ids_of_records_are_data_not_sql(shop: Any, samples: Any, task: str) -> None:
    ids = ["it's", 'a "b"', "c; DROP TABLE products --", "ü{{ 1 }}", "\\"]
    for number, one in enumerate(ids):
        shop.product(one, title=f"Thing {number} of O'Neil", category_path=["O'Neil's", f"N'{number}"])
        shop.review(one, one, "user's", timestamp=number)
        shop.judgement(one, one, "E")
        shop.question(one, one)
    shop.relation(ids[0], ids[1], "similar")
    settings = {"k_core": 1, "min_history": 2, "candidates": 2} if task == "sequential_recommendation" else {}
    built = samples(shop.build(task, **settings))
    if task == "sequential_recommendation":
        assert built == []  # all five are bought, so there is no negative
    else:
        assert len(built) == (1 if task == "product_relation_prediction" else 5)
        assert {one["task"] for one in built} == {task}


def test_missing_tables_are_named() -> None:
    counts = {"products": 3, "reviews": 0}
    assert missing_tables("sentiment_analysis", counts) == ["reviews"]
    assert missing_tables("category_classification", counts) == []
    assert missing_tables("answerability_prediction", {}) == ["products", "questions"]
    assert {table for task in TASKS.values() for table in task.requires} == {
        "products",
        "reviews",
        "relations",
        "judgements",
        "questions",
    }


def test_lost_records_are_an_error() -> None:
    empty: pa.Table = UNRENDERED.empty_table()
    with pytest.raises(AssertionError, match="1 records became 0 samples and 0 rejections"):
        TaskOutput(empty, REJECTIONS.empty_table(), 1)


def test_long_details_are_shortened(shop: Any) -> None:
    shop.product("p")
    shop.question("q", "p", question="why " * 200, document=[])
    (detail,) = shop.build("answerability_prediction").rejections["detail"].to_pylist()
    assert len(detail) == 300
    assert detail.endswith("…")
