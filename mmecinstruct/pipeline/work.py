"""What a worker does for one shard of a stage: read files, call the stage's function, write files.

Every function here takes (payload, folder), writes into the folder and returns its counts. Payloads are paths and
settings.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.errors import SourceError
from mmecinstruct.parquet import (
    DEFAULT_BUDGET,
    Budget,
    TableWriters,
    create_view,
    read_tables,
    working_connection,
    write_table,
)
from mmecinstruct.recipe import (
    CurateSettings,
    DuplicateSettings,
    ImageSettings,
    SampleShopSettings,
    TaskSettings,
)
from mmecinstruct.recipe.curate import PersonalDataKind
from mmecinstruct.recipe.sources import Source
from mmecinstruct.rejections import Rejection, rejections_table
from mmecinstruct.sampling.plan import CORE, DRAWN, SamplingPlan
from mmecinstruct.sources.batches import FilePart
from mmecinstruct.tables import CURATED_PRODUCTS, CURATED_REVIEWS, CURATED_TABLES, IMAGES, RAW_TABLES
from mmecinstruct.workspace import REJECTIONS_FILE, Counts

Paths = tuple[Path, ...]
MERGED = pa.schema([("merged", pa.string()), ("kept", pa.string())])  # product ids

HYGIENE_BATCH_ROWS = 5_000


def write_rejections(rejections: Sequence[Rejection], folder: Path) -> None:
    """Write a shard's rejections, if there are any."""
    if rejections:
        write_table(rejections_table(rejections), folder / REJECTIONS_FILE)


# --- the built-in shop ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShopTablesPayload:
    """Draw the shop's raw tables."""

    settings: SampleShopSettings
    seed: int


def draw_shop_tables(payload: ShopTablesPayload, folder: Path) -> Counts:
    """Write the built-in shop's raw files, without pictures."""
    from mmecinstruct.sample_shop import draw_sample_shop

    draw_sample_shop(payload.settings, payload.seed, folder)
    return Counts(payload.settings.products, payload.settings.products, 0)


@dataclass(frozen=True)
class ShopPicturesPayload:
    """Draw a slice of the shop's pictures."""

    shop: Path
    start: int
    stop: int
    side: int


def draw_shop_pictures(payload: ShopPicturesPayload, folder: Path) -> Counts:
    """Write the pictures of a slice of the shop's list of pictures."""
    from mmecinstruct.sample_shop import draw_pictures, pictures_to_draw

    specifications = pictures_to_draw(payload.shop)[payload.start : payload.stop]
    draw_pictures(specifications, folder, payload.side)
    return Counts(len(specifications), len(specifications), 0)


# --- raw files to tables -------------------------------------------------------------------------------


@dataclass(frozen=True)
class ParsePayload:
    """Parse one raw file or a part of it. stamp: the file's size and time of modification before its hash was taken."""

    source: Source
    role: str
    path: Path
    origin: str
    stamp: tuple[int, int]
    part: FilePart | None = None


def parse_raw_file(payload: ParsePayload, folder: Path) -> Counts:
    """Write `<table>.parquet` for each table that the raw file has rows of.

    Where the archive is cut short, the counts say so (`cut_short`).

    Raises SourceError where the file changed since its hash was taken.
    """
    from mmecinstruct.sources import RawFile, parse_file
    from mmecinstruct.sources.batches import TRUNCATED

    records = kept = rejected = 0
    cut_short: list[str] = []
    file = RawFile(payload.role, payload.path, payload.origin, payload.part)
    collecting = gc.isenabled()
    # Millions of rows and no cycle among them: looking for one takes a seventh of the time. Between batches there is
    # nothing to look through but what some lines leave: Python's own reader of literals a kilobyte each.
    gc.disable()
    try:
        with TableWriters(folder) as writers:
            for batch in parse_file(payload.source, file):
                records += batch.records
                kept += batch.kept
                rejected += len(batch.rejections)
                cut_short += [f"{r.origin}: {r.detail}" for r in batch.rejections if r.reason == TRUNCATED]
                for name, table in sorted(batch.tables.items()):
                    writers.append(table, f"{name}.parquet")
                writers.append(rejections_table(batch.rejections), REJECTIONS_FILE)
                gc.collect(0)
    finally:
        if collecting:
            gc.enable()
    if file_stamp(payload.path) != payload.stamp:
        raise SourceError(f"{payload.path} changed while it was read; run the build again")
    return Counts(records, kept, rejected, {"cut_short": cut_short} if cut_short else None)


def file_stamp(path: Path) -> tuple[int, int]:
    """Return what changes with a file's content: size and time of modification.

    Raises SourceError where the file cannot be looked at.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    return status.st_size, status.st_mtime_ns


# --- sampling ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SamplingPayload:
    """Draw the records that samples may be made from. tables: files of each raw table."""

    tables: dict[str, Paths]
    plan: SamplingPlan
    budget: Budget


def sample_tables_work(payload: SamplingPayload, folder: Path) -> Counts:
    """Write the thinned raw tables, and what was drawn."""
    from mmecinstruct.sampling.stage import sample_tables

    with working_connection(folder, payload.budget) as connection:
        for name, schema in RAW_TABLES.items():
            create_view(connection, name, payload.tables[name], schema)
        sampled = sample_tables(connection, payload.plan, folder)
    not_drawn = {name: rows - sampled.kept[name] for name, rows in sampled.rows.items()}
    return Counts(
        sum(sampled.rows.values()),
        sum(sampled.kept.values()),
        0,
        {"rows": sampled.rows, "not_drawn": not_drawn, **sampled.statistics},
        sum(not_drawn.values()),
    )


# --- curated tables ------------------------------------------------------------------------------------


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
    from mmecinstruct.curate.hygiene import clean_questions, clean_reviews

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


# --- pictures ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PicturesPayload:
    """Measure a slice of the located pictures."""

    located: Path
    start: int
    stop: int
    settings: ImageSettings


def measure_pictures_work(payload: PicturesPayload, folder: Path) -> Counts:
    """Write images.parquet (one row per URL) and pixels.parquet (one row per distinct picture)."""
    from mmecinstruct.images.locate import LocatedPicture
    from mmecinstruct.images.stage import measure_pictures

    rows = pq.read_table(payload.located).slice(payload.start, payload.stop - payload.start).to_pylist()
    located = [LocatedPicture(**row) for row in rows]
    images, pixels, rejections = measure_pictures(located, payload.settings)
    write_table(images, folder / "images.parquet")
    pq.write_table(pixels, folder / "pixels.parquet", compression="none", row_group_size=100)
    write_rejections(rejections, folder)
    return Counts(images.num_rows, images.num_rows - len(rejections), len(rejections))


@dataclass(frozen=True)
class ReferencesPayload:
    """Take the URLs of all pictures as they are."""

    products: Paths
    reviews: Paths
    settings: ImageSettings
    taken_down: frozenset[str]
    budget: Budget = DEFAULT_BUDGET


def reference_pictures_work(payload: ReferencesPayload, folder: Path) -> Counts:
    """Write images.parquet, one row per URL that a product or a review names."""
    from mmecinstruct.images.references import reference_pictures

    with working_connection(folder, payload.budget) as connection:
        create_view(connection, "products", payload.products, CURATED_PRODUCTS)
        create_view(connection, "reviews", payload.reviews, CURATED_REVIEWS)
        table, rejections = reference_pictures(connection, payload.settings, payload.taken_down)
    write_table(table, folder / "images.parquet")
    write_rejections(rejections, folder)
    return Counts(table.num_rows, table.num_rows - len(rejections), len(rejections))


@dataclass(frozen=True)
class VerdictsPayload:
    """Judge all pictures together."""

    images: Paths
    products: Paths
    settings: ImageSettings
    budget: Budget = DEFAULT_BUDGET


def judge_pictures_work(payload: VerdictsPayload, folder: Path) -> Counts:
    """Write images.parquet with what the recipe does not want rejected."""
    from mmecinstruct.images.verdicts import judge_pictures

    with working_connection(folder, payload.budget) as connection:
        connection.register("images", read_tables(payload.images, IMAGES))
        create_view(connection, "products", payload.products, CURATED_PRODUCTS)
        table, rejections = judge_pictures(connection, payload.settings)
    write_table(table, folder / "images.parquet")
    write_rejections(rejections, folder)
    return Counts(table.num_rows, table.num_rows - len(rejections), len(rejections))


# --- duplicates ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DuplicatesPayload:
    """Cluster all products."""

    products: Paths
    images: Paths
    reviews: Paths
    settings: DuplicateSettings


def find_duplicates_work(payload: DuplicatesPayload, folder: Path) -> Counts:
    """Write products.parquet with the final clusters, pairs.parquet (the evidence) and merged.parquet."""
    from mmecinstruct.duplicates.stage import REVIEW_COLUMNS, find_duplicates

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
    from mmecinstruct.duplicates.merging import repoint

    table = read_tables(payload.records, CURATED_TABLES[payload.name])
    names = read_tables(payload.merged, MERGED)
    merged = dict(zip(names["merged"].to_pylist(), names["kept"].to_pylist(), strict=True))
    kept, rejections = repoint(payload.name, table, merged)
    write_table(kept, folder / f"{payload.name}.parquet")
    write_rejections(rejections, folder)
    return Counts(table.num_rows, kept.num_rows, len(rejections))


# --- tasks ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CuratedTables:
    """Files of the curated tables."""

    products: Paths
    reviews: Paths
    relations: Paths
    judgements: Paths
    questions: Paths


@dataclass(frozen=True)
class BuildTaskPayload:
    """Build one task's samples. drawn, core, merged: where the recipe samples, see `show_drawn`."""

    task: str
    tables: CuratedTables
    settings: TaskSettings
    seed: int
    drawn: Paths = ()
    core: Paths = ()
    merged: Paths = ()
    budget: Budget = DEFAULT_BUDGET


def build_task_work(payload: BuildTaskPayload, folder: Path) -> Counts:
    """Write samples.parquet (samples.UNRENDERED)."""
    from mmecinstruct.sampling.handed_on import show_drawn
    from mmecinstruct.tasks import build_task

    with working_connection(folder, payload.budget) as connection:
        for name, schema in CURATED_TABLES.items():
            create_view(connection, name, getattr(payload.tables, name), schema)
        if payload.drawn:
            create_view(connection, "all_drawn", payload.drawn, DRAWN)
            create_view(connection, "whole_core", payload.core, CORE)
            create_view(connection, "merged", payload.merged, MERGED)
            show_drawn(connection, payload.task)
        output = build_task(
            payload.task, connection, payload.settings, payload.seed, sampled=bool(payload.drawn)
        )
    write_table(output.samples, folder / "samples.parquet")
    if output.rejections.num_rows:
        write_table(output.rejections, folder / REJECTIONS_FILE)
    return Counts(
        output.records_in, output.records_in - output.rejections.num_rows, output.rejections.num_rows
    )
