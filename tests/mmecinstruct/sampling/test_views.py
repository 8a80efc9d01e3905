"""Each task builder reads the records that were sampled for it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from mmecinstruct.core.duckdb import connect
from mmecinstruct.sampling.plan import CORE, POPULARITY, SAMPLED
from mmecinstruct.sampling.views import create_sampled_views
from mmecinstruct.schemas.tables import JUDGEMENTS, QUESTIONS, RELATIONS, REVIEWS
from mmecinstruct.tasks import TASKS

AP, CC, PRP, PSI, MPC, SA, SR = TASKS

SCHEMAS = {"questions": QUESTIONS, "relations": RELATIONS, "judgements": JUDGEMENTS, "reviews": REVIEWS}
ROWS: dict[str, list[dict[str, Any]]] = {
    "questions": [{"question_id": one} for one in ("q1", "q2", "p1")],
    "relations": [
        {"product_a": a, "product_b": b, "relation": "similar"}
        for a, b in (("p1", "p2"), ("p3", "p1"), ("p2", "p3"))
    ],
    "judgements": [
        {"query_id": query, "product_id": product} for query in ("s1", "s2") for product in ("p1", "p2")
    ],
    "reviews": [
        {"review_id": one, "user_id": user} for one, user in (("r1", "u1"), ("r2", "u1"), ("r3", "u2"))
    ],
}
SAMPLED_RECORDS = [
    (AP, "q1", "p1"),
    (PRP, "p1", "p3"),
    (PSI, "s1", "p1"),
    (MPC, "s2", "p2"),
    (SA, "r2", "p1"),
    (SR, "u2", "Home"),
    (CC, "p1", None),
]


def shown(task: str, merged: dict[str, str] | None = None) -> dict[str, list[tuple[Any, ...]]]:
    names = {"merged": list(merged or {}), "kept": list((merged or {}).values())}
    with connect() as connection:
        for name, schema in SCHEMAS.items():
            connection.register(f"{name}_rows", pa.Table.from_pylist(ROWS[name], schema=schema))
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM {name}_rows")
        chosen = [{"task": task, "one": one, "two": two} for task, one, two in SAMPLED_RECORDS]
        connection.register("all_sampled_records", pa.Table.from_pylist(chosen, schema=SAMPLED))
        core = [{"user_id": "u2", "product_id": product} for product in ("p1", "p2")]
        connection.register("whole_core", pa.Table.from_pylist(core, schema=CORE))
        counted = [{"product_id": one, "category": "Home", "interactions": 3} for one in ("p1", "p2", "p9")]
        connection.register("whole_popularity", pa.Table.from_pylist(counted, schema=POPULARITY))
        connection.register(
            "merged", pa.table(names, schema=pa.schema([("merged", pa.string()), ("kept", pa.string())]))
        )
        create_sampled_views(connection, task)
        keys = {
            "questions": "question_id",
            "relations": "product_a, product_b",
            "judgements": "query_id, product_id",
            "reviews": "review_id",
            "sampled_records": "one, two",
            "core": "user_id, product_id",
            "popularity": "product_id, item_id, category, interactions",
        }
        return {
            name: connection.sql(f"SELECT {columns} FROM {name} ORDER BY ALL").fetchall()
            for name, columns in keys.items()
        }


@pytest.mark.parametrize(
    ("task", "table", "rows"),
    [
        (AP, "questions", [("q1",)]),
        (PRP, "relations", [("p3", "p1")]),
        (PSI, "judgements", [("s1", "p1")]),
        (MPC, "judgements", [("s2", "p2")]),
        (SA, "reviews", [("r2",)]),
        (SR, "reviews", [("r3",)]),
        (CC, "sampled_records", [("p1", None)]),
    ],
)
def test_a_task_reads_the_records_sampled_for_it(task: str, table: str, rows: list[tuple[Any, ...]]) -> None:
    found = shown(task)
    assert found[table] == rows
    for name in set(SCHEMAS) - {table}:
        assert len(found[name]) == len(ROWS[name])


def test_merged_products_count_under_the_kept_id() -> None:
    merged = {"p1": "p2"}
    assert shown(CC, merged)["sampled_records"] == [("p2", None)]
    assert shown(PRP, merged)["relations"] == [("p2", "p3")]
    assert shown(PSI, merged)["judgements"] == [("s1", "p2")]
    assert shown(SR, merged)["core"] == [("u2", "p2")]
    # A question may have the id of a product; questions are not merged.
    assert shown(AP, {"q1": "p1"})["questions"] == [("q1",)]
