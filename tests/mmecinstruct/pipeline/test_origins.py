"""Origins of rejections, looked up by their ids in the curated tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from mmecinstruct.core.duckdb import DEFAULT_BUDGET
from mmecinstruct.core.parquet import write_table
from mmecinstruct.engine.stage import Files
from mmecinstruct.pipeline.origins import traced_rejections
from mmecinstruct.schemas.rejections import Rejection, of_samples, rejections_table
from mmecinstruct.schemas.tables import CURATED_TABLES
from mmecinstruct.stages.files import CuratedTables
from mmecinstruct.stages.index import USERS

ROWS: dict[str, list[dict[str, Any]]] = {
    "products": [
        {"product_id": f"s:{name}", "image_urls": [f"{name}.jpg", "both.jpg"], "origin": f"p.csv:{line}"}
        for line, name in enumerate("ABC", 2)
    ],
    "reviews": [
        {
            "review_id": "s:r1",
            "product_id": "s:A",
            "user_id": "s:u",
            "image_urls": ["r.jpg"],
            "origin": "r.csv:2",
        },
        {"review_id": "s:r2", "product_id": "s:B", "user_id": "s:u", "image_urls": [], "origin": "r.csv:3"},
    ],
    "relations": [{"product_a": "s:A", "product_b": "s:B", "relation": "similar", "origin": "l.csv:2"}],
    "judgements": [{"query_id": "s:q", "product_id": "s:B", "origin": "j.csv:9"}],
    "questions": [{"question_id": "s:a", "product_id": "s:C", "origin": "q.csv:4"}],
}


def traced(folder: Path, *files: pa.Table) -> list[dict[str, Any]]:
    tables = {}
    for name, rows in ROWS.items():
        path = folder / f"{name}.parquet"
        write_table(pa.Table.from_pylist(rows, schema=CURATED_TABLES[name]), path)
        tables[name] = Files((path,), {name: ""})
    write_table(pa.table({"user_id": ["s:u"], "number": [7]}, schema=USERS), folder / "users.parquet")
    paths = [folder / f"rejections-{9 - number}.parquet" for number in range(len(files))]
    for path, table in zip(paths, files, strict=True):
        write_table(table, path)
    users = [folder / "users.parquet"]
    with traced_rejections(paths, CuratedTables(**tables), users, folder / "x", DEFAULT_BUDGET) as parts:
        return [row for part in parts for row in part.to_pylist()]


def test_each_id_leads_to_a_line(tmp_path: Path) -> None:
    rejections = [
        Rejection("parse", "bad_row", "", "p.csv:9"),
        Rejection("sentiment_analysis", "no_text", "", "", "s:r2", product_ids=("s:B",), source_id="s:r2"),
        Rejection("answerability_prediction", "no_label", "", "", "s:a"),
        Rejection("product_relation_prediction", "same_title", "", "", "s:B s:A", product_ids=("s:B", "s:A")),
        Rejection("split", "crosses_splits", "", "", "0a", product_ids=("s:B",), query_id="s:q"),
        Rejection("sequential_recommendation", "k_core", "", "", "s:u Home", user_id="s:u"),
        Rejection("deduplicate", "duplicate_product", "", "", "s:C"),
        Rejection("filter", "placeholder", "", "both.jpg", "f00"),
        Rejection("images", "dead_path", "", "r.jpg"),
        Rejection("task", "unknown", "", "", "s:nothing"),
    ]
    rows = traced(tmp_path, rejections_table(rejections))
    assert [row["origin"] for row in rows] == [
        *(
            "p.csv:9",
            "r.csv:3",
            "q.csv:4",
            "l.csv:2",
            "j.csv:9",
            "r.csv:2",
            "p.csv:4",
            "p.csv:2",
            "r.csv:2",
            "",
        ),
    ]
    assert [row["image_url"] for row in rows[6:9]] == [None, "both.jpg", "r.jpg"]
    assert rows[7]["product_ids"] == ["s:A", "s:B", "s:C"]
    assert [row["user"] for row in rows[4:7]] == [None, 7, None]


def test_rejections_of_an_older_version_are_read(tmp_path: Path) -> None:
    new = rejections_table([Rejection("parse", "bad_row", "", "p.csv:9")])
    old = rejections_table([Rejection("images", "dead_path", "", "B.jpg")]).select(range(5))
    rows = traced(tmp_path, old, new)
    assert [(row["stage"], row["origin"]) for row in rows] == [("images", "p.csv:3"), ("parse", "p.csv:9")]


def test_a_sample_gives_its_ids_to_its_rejection() -> None:
    sample = {
        "id": "0a",
        "product_ids": ["s:A"],
        "query_id": None,
        "user_id": "s:u",
        "record_ids": ["s:r1", "s:r2"],
    }
    (found,) = of_samples([Rejection("split", "ood_user", "why", "anything", "0a")], [sample], "the_task")
    assert found == Rejection(
        "split", "ood_user", "why", "", "0a", "the_task", ("s:A",), user_id="s:u", source_id="s:r2"
    )
