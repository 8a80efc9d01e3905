"""A shop made of a few rows, from which tasks are built through DuckDB views."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from mmecinstruct.core.duckdb import connect
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, CURATED_REVIEWS, JUDGEMENTS, QUESTIONS, RELATIONS
from mmecinstruct.tasks import TASKS, TaskOutput, build_task

SCHEMAS = {
    "products": CURATED_PRODUCTS,
    "reviews": CURATED_REVIEWS,
    "relations": RELATIONS,
    "judgements": JUDGEMENTS,
    "questions": QUESTIONS,
}


class SmallShop:
    """Collects rows; every `build` checks what holds for all tasks."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in SCHEMAS}

    def product(self, product_id: str, title: str | None = None, **columns: Any) -> None:
        row = {
            "product_id": product_id,
            "source": "shop",
            "title": f"Title of {product_id}" if title is None else title,
            "category": "Home",
            "category_path": ["Home", "Mugs"],
            "image_urls": [f"{product_id}.jpg"],
            "cluster_id": product_id,
            "split_unit": columns.get("cluster_id", product_id),
        }
        self.rows["products"].append(row | columns)

    def review(self, review_id: str, product_id: str, user_id: str | None = "u", **columns: Any) -> None:
        row = {
            "review_id": review_id,
            "product_id": product_id,
            "user_id": user_id,
            "rating": 5,
            "title": "",
            "text": "Works as it should.",
            "timestamp": 0,
            "image_urls": [],
        }
        self.rows["reviews"].append(row | columns)

    def relation(self, product_a: str, product_b: str, relation: str) -> None:
        self.rows["relations"].append({"product_a": product_a, "product_b": product_b, "relation": relation})

    def judgement(self, query_id: str, product_id: str, label: str, query: str = "red mug") -> None:
        self.rows["judgements"].append(
            {"query_id": query_id, "query": query, "product_id": product_id, "label": label}
        )

    def question(self, question_id: str, product_id: str, **columns: Any) -> None:
        row = {
            "question_id": question_id,
            "product_id": product_id,
            "category": "Elsewhere",
            "question": "Does it fit?",
            "document": ["It fits.", "Nice."],
            "answerable": True,
        }
        self.rows["questions"].append(row | columns)

    def build(
        self,
        task: str,
        *,
        seed: int = 0,
        reverse: bool = False,
        sampled_records: list[tuple[str, str | None]] | None = None,
        core: list[tuple[str, str]] | None = None,
        popularity: dict[str, int] | None = None,
        ood_categories: tuple[str, ...] = (),
        **settings: Any,
    ) -> TaskOutput:
        """Build a task; sampled_records, core: the tables are a part of larger ones.

        popularity: interactions of each product of the whole core; by default those of `core`.
        """
        connection = connect()
        category = {row["product_id"]: row["category"] for row in self.rows["products"]}
        counts = popularity if popularity is not None else Counter(product for _, product in core or [])
        counted = {
            "product_id": list(counts),
            "item_id": list(counts),
            "category": [category.get(one, "Home") for one in counts],
            "interactions": list(counts.values()),
        }
        types = [pa.string(), pa.string(), pa.string(), pa.int64()]
        connection.register(
            "popularity", pa.table(counted, schema=pa.schema(list(zip(counted, types, strict=True))))
        )
        for name, rows, columns in (
            ("sampled_records", sampled_records, ("one", "two")),
            ("core", core, ("user_id", "product_id")),
        ):
            pairs = [dict(zip(columns, row, strict=True)) for row in rows or []]
            schema = pa.schema([(column, pa.string()) for column in columns])
            connection.register(name, pa.Table.from_pylist(pairs, schema=schema))
        for name, schema in SCHEMAS.items():
            rows = self.rows[name][::-1] if reverse else self.rows[name]
            connection.register(name, pa.Table.from_pylist(rows, schema=schema))
        sampled = sampled_records is not None or core is not None
        output = build_task(
            task,
            connection,
            TASKS[task].settings(**settings),
            seed,
            sampled=sampled,
            ood_categories=ood_categories,
        )
        ids = output.samples["id"].to_pylist()
        assert ids == sorted(set(ids))
        assert all(len(one) == 24 and set(one) <= set("0123456789abcdef") for one in ids)
        assert set(output.rejections["stage"].to_pylist()) <= {task}
        assert all(output.rejections["detail"].to_pylist())
        left = connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        assert left == [], "a builder leaves no table behind"
        return output


def samples(output: TaskOutput) -> list[dict[str, Any]]:
    """Return samples as rows with their fields parsed."""
    rows: list[dict[str, Any]] = output.samples.to_pylist()
    return [row | {"fields": json.loads(row["fields"])} for row in rows]


def reasons(output: TaskOutput) -> dict[str, str]:
    """Return the reason of each rejected record."""
    table = output.rejections
    return dict(zip(table["record_id"].to_pylist(), table["reason"].to_pylist(), strict=True))


@pytest.fixture
def shop() -> SmallShop:
    return SmallShop()


@pytest.fixture(name="samples")
def samples_function() -> Any:
    return samples


@pytest.fixture(name="reasons")
def reasons_function() -> Any:
    return reasons
