"""Find near-duplicate products, and point other tables' records to the one of each that stays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mmecinstruct.core.parquet import read_tables, write_table
from mmecinstruct.duplicates.settings import DuplicateSettings
from mmecinstruct.engine.stage import Counts
from mmecinstruct.pipeline.work.files import MERGED, Paths, write_rejections
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, CURATED_REVIEWS, CURATED_TABLES, IMAGES


@dataclass(frozen=True)
class DuplicatesPayload:
    """Cluster all products."""

    products: Paths
    images: Paths
    reviews: Paths
    settings: DuplicateSettings


def find_duplicates_work(payload: DuplicatesPayload, folder: Path) -> Counts:
    """Write products.parquet with the final clusters, pairs.parquet (the evidence) and merged.parquet."""
    from mmecinstruct.duplicates.find import REVIEW_COLUMNS, find_duplicates

    products = read_tables(payload.products, CURATED_PRODUCTS)
    wanted = pa.schema([CURATED_REVIEWS.field(name) for name in REVIEW_COLUMNS])
    found = find_duplicates(
        products, read_tables(payload.images, IMAGES), payload.settings, read_tables(payload.reviews, wanted)
    )
    write_table(found.products, folder / "products.parquet")
    write_table(found.pairs, folder / "pairs.parquet")
    write_table(
        pa.table({"merged": list(found.merged), "kept": list(found.merged.values())}, schema=MERGED),
        folder / "merged.parquet",
    )
    write_rejections(found.rejections, folder)
    return Counts(products.num_rows, found.products.num_rows, len(found.rejections), found.statistics)


@dataclass(frozen=True)
class RepointPayload:
    """Point one table's records to the products that stayed."""

    name: str
    records: Paths
    merged: Paths


def repoint_work(payload: RepointPayload, folder: Path) -> Counts:
    """Write `<name>.parquet`."""
    from mmecinstruct.duplicates.remap_ids import repoint

    table = read_tables(payload.records, CURATED_TABLES[payload.name])
    names = read_tables(payload.merged, MERGED)
    merged = dict(zip(names["merged"].to_pylist(), names["kept"].to_pylist(), strict=True))
    kept, rejections = repoint(payload.name, table, merged)
    write_table(kept, folder / f"{payload.name}.parquet")
    write_rejections(rejections, folder)
    return Counts(table.num_rows, kept.num_rows, len(rejections))
