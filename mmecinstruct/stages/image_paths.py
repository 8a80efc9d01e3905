"""Give local images one name in all tables: the path below the data root, in whatever form a table names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mmecinstruct.core.parquet import read_tables, write_table
from mmecinstruct.engine.stage import Counts, Files, Stage, WorkItem
from mmecinstruct.schemas.tables import CURATED_TABLES

NAMING_TABLES = ("products", "reviews")


@dataclass(frozen=True, kw_only=True)
class ImagePaths(Stage):
    """Write products.parquet and reviews.parquet with the names of images. names: by the form in the tables."""

    name = "image_paths"
    version = 1

    products: Files
    reviews: Files
    names: Mapping[str, str]

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Name the images of all rows."""
        rows = 0
        for name in NAMING_TABLES:
            schema = CURATED_TABLES[name]
            table = read_tables(getattr(self, name).paths, schema)
            urls = [
                None if one is None else list(dict.fromkeys(self.names.get(url, url) for url in one))
                for one in table["image_urls"].to_pylist()
            ]
            index = schema.get_field_index("image_urls")
            column = pa.array(urls, schema.field(index).type)
            write_table(table.set_column(index, schema.field(index), column), folder / f"{name}.parquet")
            rows += table.num_rows
        return Counts(rows, rows, 0)
