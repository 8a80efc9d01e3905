"""Turn raw tables into curated ones: products, texts without personal data, records that hold together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.core.duckdb import DEFAULT_BUDGET, Budget, create_view, working_connection
from mmecinstruct.core.parquet import write_table
from mmecinstruct.curate.settings import CurateSettings
from mmecinstruct.engine.stage import Counts
from mmecinstruct.pipeline.work.files import Paths, write_rejections
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, CURATED_TABLES, RAW_TABLES
from mmecinstruct.text.pii_kinds import PersonalDataKind

HYGIENE_BATCH_ROWS = 5_000


@dataclass(frozen=True)
class CurateProductsPayload:
    """Curate products."""

    products: Paths
    category_labels: Paths
    product_images: Paths
    similarity: float
    taken_down: frozenset[str]
    budget: Budget = DEFAULT_BUDGET


def curate_products_work(payload: CurateProductsPayload, folder: Path) -> Counts:
    """Write products.parquet."""
    from mmecinstruct.curate.products import curate_products

    with working_connection(folder, payload.budget) as connection:
        for name in ("products", "category_labels", "product_images"):
            create_view(connection, name, getattr(payload, name), RAW_TABLES[name])
        table, rejections = curate_products(connection, payload.similarity, payload.taken_down)
    write_table(table, folder / "products.parquet")
    write_rejections(rejections, folder)
    clusters = len(set(table["cluster_id"].to_pylist()))
    return Counts(table.num_rows + len(rejections), table.num_rows, len(rejections), {"clusters": clusters})


@dataclass(frozen=True)
class HygienePayload:
    """Clean some row groups of one file of reviews or questions."""

    name: str
    path: Path
    first_row_group: int
    row_groups: int
    kinds: tuple[PersonalDataKind, ...]


def hygiene_work(payload: HygienePayload, folder: Path) -> Counts:
    """Write `<name>.parquet`: each row with its personal data masked and its texts measured."""
    from mmecinstruct.text.hygiene import clean_questions, clean_reviews

    clean = clean_reviews if payload.name == "reviews" else clean_questions
    masked: Counter[str] = Counter()
    records = profane = 0
    schema = CURATED_TABLES[payload.name]
    with (
        pq.ParquetFile(payload.path) as file,
        pq.ParquetWriter(folder / f"{payload.name}.parquet", schema, compression="zstd") as writer,
    ):
        groups = range(payload.first_row_group, payload.first_row_group + payload.row_groups)
        for batch in file.iter_batches(batch_size=HYGIENE_BATCH_ROWS, row_groups=groups):
            table = clean(pa.Table.from_batches([batch]), payload.kinds)
            writer.write_table(table)
            records += table.num_rows
            profane += sum(count > 0 for count in table["profanity"].to_pylist())
            masked.update(kind for kinds in table["masked"].to_pylist() for kind in kinds)
    return Counts(records, records, 0, {"masked": dict(sorted(masked.items())), "profane": profane})


@dataclass(frozen=True)
class CurateRecordsPayload:
    """Curate one table of records that refer to products."""

    name: str
    files: Paths
    products: Paths
    settings: CurateSettings
    budget: Budget = DEFAULT_BUDGET


def curate_records_work(payload: CurateRecordsPayload, folder: Path) -> Counts:
    """Write `<name>.parquet`."""
    from mmecinstruct.curate.records import curate_questions, curate_records, curate_reviews

    with working_connection(folder, payload.budget) as connection:
        create_view(connection, payload.name, payload.files, CURATED_TABLES[payload.name])
        if payload.name == "reviews":
            create_view(connection, "products", payload.products, CURATED_PRODUCTS)
            table, rejections = curate_reviews(connection, payload.settings)
        elif payload.name == "questions":
            table, rejections = curate_questions(connection, payload.settings)
        else:
            table, rejections = curate_records(connection, payload.name)
    write_table(table, folder / f"{payload.name}.parquet")
    write_rejections(rejections, folder)
    return Counts(table.num_rows + len(rejections), table.num_rows, len(rejections))
