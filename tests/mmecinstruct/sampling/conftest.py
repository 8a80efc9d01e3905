"""Raw tables of a few rows, in the order in which they were added."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from mmecinstruct.core.duckdb import connect
from mmecinstruct.schemas.tables import RAW_TABLES

if TYPE_CHECKING:
    import duckdb


class RawShop:
    """Collects rows of the raw tables."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in RAW_TABLES}

    def product(self, product_id: str, category: str = "Home", **columns: Any) -> str:
        """Add a product; return its id."""
        row = {
            "product_id": product_id,
            "source": "shop",
            "title": f"Title of {product_id}",
            "category": category,
            "category_path": [category, "Mugs"] if category else [],
            "image_urls": [f"{product_id}.jpg"],
        }
        self.rows["products"].append(row | columns)
        return product_id

    def add(self, table: str, **columns: Any) -> None:
        """Add a row to a table."""
        self.rows[table].append(columns)

    def review(self, product_id: str, user_id: str | None, **columns: Any) -> str:
        """Add a review; return its id."""
        review_id = f"{product_id}/{user_id}/{len(self.rows['reviews'])}"
        row = {
            "review_id": review_id,
            "product_id": product_id,
            "user_id": user_id,
            "rating": 5,
            "title": "",
            "text": "Works as it should.",
            "timestamp": 0,
            "image_urls": [f"{review_id}.jpg"],
        }
        self.rows["reviews"].append(row | columns)
        return review_id

    @contextmanager
    def connected(self, reverse: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection with views of the raw tables; reverse: with their rows in reverse order."""
        with connect() as connection:
            for name, schema in RAW_TABLES.items():
                rows = self.rows[name][::-1] if reverse else self.rows[name]
                table = pa.Table.from_pylist(rows, schema=schema)
                table = table.append_column("file_index", pa.array([1] * len(rows), pa.int64()))
                table = table.append_column("row_index", pa.array(range(len(rows)), pa.int64()))
                connection.register(name, table)
            yield connection


@pytest.fixture
def raw() -> RawShop:
    """Return an empty shop."""
    return RawShop()
