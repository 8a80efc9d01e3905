"""Run an audit: read the files in workers, link near images and texts, count the overlaps."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from mmecinstruct.auditing import keys
from mmecinstruct.auditing.files import SampleFile, find_sample_files, find_unread_files
from mmecinstruct.auditing.keys import COLUMNS, IMAGE, SAMPLE_SHIFT, TEXT, KeysPayload, KeysRead, read_keys
from mmecinstruct.auditing.overlaps import collect_findings, find_overlaps, total_overlaps
from mmecinstruct.auditing.report import (
    CHECKED,
    KINDS,
    NO_VALUES,
    NOT_CHECKED,
    PARTLY_CHECKED,
    AuditReport,
    Check,
)
from mmecinstruct.auditing.settings import settings_of_folder
from mmecinstruct.auditing.texts import QUERY, TITLE
from mmecinstruct.core.duckdb import working_connection
from mmecinstruct.core.parquet import write_table
from mmecinstruct.core.progress import Report
from mmecinstruct.engine.executors import LocalExecutor
from mmecinstruct.recipe.audit import AuditSettings
from mmecinstruct.schemas.samples import SPLITS, TEST_OOD, TRAIN

if TYPE_CHECKING:
    import duckdb

Result = TypeVar("Result")

# Kind of overlap -> the kind of key in `uses` that it compares.
_KEY_KIND = {
    "product": keys.PRODUCT,
    "cluster": keys.CLUSTER,
    "variant": keys.VARIANT,
    "user": keys.USER,
    "query": QUERY,
    "query_id": keys.QUERY_ID,
    "image_url": keys.IMAGE_URL,
    "image_bytes": IMAGE,
    "image_pixels": IMAGE,
    "image_near": IMAGE,
    "title_identical": TITLE,
    "title_near": TITLE,
    "text_identical": TEXT,
    "text_near": TEXT,
    "category": keys.CATEGORY,
}


def audit_folder(
    folder: Path,
    settings: AuditSettings | None = None,
    *,
    workers: int = 1,
    report: Report | None = None,
) -> AuditReport:
    """Compare every pair of splits of a dataset folder, and let guessers guess its answers.

    The folder needs only files `<task>/<split>-*.parquet`; the report lists what was not checked for lack of columns.
    Memory grows with distinct keys, texts and image hashes of a pair of splits, not with pixels.

    Args:
        folder: The dataset folder.
        settings: Thresholds and tolerances; by default those of the folder's recipe.
        workers: Number of processes. It does not change the report.
        report: Called with (step, finished files, all files).

    Returns:
        The content that splits share, and what the guessers scored.

    Raises:
        DatasetError: The folder does not exist, a file is damaged, or its recipe is not valid.
    """
    files = find_sample_files(folder)
    if settings is None:
        settings = settings_of_folder(folder)
    with (
        tempfile.TemporaryDirectory(prefix="mmec-audit-") as name,
        LocalExecutor(workers) as executor,
    ):
        work = Path(name)
        payloads = [KeysPayload(folder, file, settings, work) for file in files]
        read = list(_counted(executor.run(read_keys, payloads), "audit: samples", len(files), report))
        with working_connection(work / "sql") as connection:
            _load(connection, work, files)
            damaged = _measure_images(connection, folder, files, work, executor, report)
            _link_near(connection, settings, report)
            find_overlaps(connection)
            shortcuts = None
            if settings.shortcuts:
                # Imported here: it loads Pillow.
                from mmecinstruct.auditing.shortcuts.run import find_shortcuts

                tolerance = settings.shortcut_tolerance
                shortcuts = find_shortcuts(folder, files, work, executor, tolerance, report)
            rows: dict[str, dict[str, int]] = {}
            for entry in sorted(read, key=lambda entry: entry.file.number):
                splits = rows.setdefault(entry.file.task, {})
                splits[entry.file.split] = splits.get(entry.file.split, 0) + entry.rows
            return AuditReport(
                rows,
                _checks(connection, read, damaged, settings),
                collect_findings(connection, rows, settings),
                total_overlaps(connection),
                settings.model_dump(mode="json"),
                find_unread_files(folder, files),
                shortcuts,
            )


def _counted(results: Iterator[Result], name: str, total: int, report: Report | None) -> Iterator[Result]:
    for done, result in enumerate(results, start=1):
        yield result
        if report:
            report(name, done, total)


def _load(connection: duckdb.DuckDBPyConnection, work: Path, files: Sequence[SampleFile]) -> None:
    """Create samples, uses and texts from the files of the workers."""
    table = pa.table(
        {
            "file": pa.array([file.number for file in files], pa.int32()),
            "path": [file.path for file in files],
            "task": [file.task for file in files],
            "split": [file.split for file in files],
        }
    )
    connection.register("files", table)
    connection.execute(
        f"""
        CREATE TABLE samples AS
        SELECT sample, file, task, split,
               CASE WHEN id = '' THEN path || ' row ' || (sample - (file::BIGINT << {SAMPLE_SHIFT})) ELSE id END AS id
        FROM {_parquet(work, "samples", files)} JOIN files USING (file)
        """
    )
    connection.execute(f"CREATE TABLE uses AS SELECT DISTINCT * FROM {_parquet(work, 'uses', files)}")
    connection.execute(
        "CREATE TABLE texts AS SELECT key, any_value(unit) AS unit, any_value(words) AS words, min(text) AS text "
        f"FROM {_parquet(work, 'texts', files)} GROUP BY key"
    )
    connection.execute('CREATE TABLE links (kind VARCHAR, "left" VARCHAR, "right" VARCHAR, detail VARCHAR)')


def _parquet(work: Path, name: str, files: Sequence[SampleFile]) -> str:
    paths = [str(work / f"{name}-{file.number}.parquet").replace("'", "''") for file in files]
    return "read_parquet([" + ", ".join(f"'{path}'" for path in paths) + "], hive_partitioning = false)"


def _measure_images(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    files: Sequence[SampleFile],
    work: Path,
    executor: LocalExecutor,
    report: Report | None,
) -> int:
    """Create `images`, and `uses` of kind pixels; return the number of images that cannot be decoded."""
    from mmecinstruct.auditing.images import IMAGES, ImagesPayload, measure_images

    owned = connection.sql(
        f"SELECT key, min(sample) >> {SAMPLE_SHIFT} AS file FROM uses WHERE kind = '{IMAGE}' GROUP BY key"
    ).to_arrow_table()
    payloads = []
    for file in files:
        mine = owned.filter(pc.equal(owned["file"], file.number))
        if mine.num_rows:
            path = work / f"owned-{file.number}.parquet"
            write_table(mine.select(["key"]), path)
            payloads.append(ImagesPayload(folder, file, path, work))
    damaged = sum(_counted(executor.run(measure_images, payloads), "audit: images", len(payloads), report))
    if payloads:
        source = _parquet(work, "images", [payload.file for payload in payloads])
        connection.execute(f"CREATE TABLE images AS SELECT * FROM {source}")
    else:
        connection.register("images", IMAGES.empty_table())
    connection.execute(
        "INSERT INTO uses SELECT DISTINCT 'pixels', pixel_id, sample, place FROM uses JOIN images USING (key) "
        f"WHERE kind = '{IMAGE}' AND pixel_id IS NOT NULL"
    )
    return damaged


def _link_near(connection: duckdb.DuckDBPyConnection, settings: AuditSettings, report: Report | None) -> None:
    """Fill `links`: images of equal pixels in other bytes, and near images and texts of later and earlier splits."""
    from mmecinstruct.auditing.near_duplicates import near_images, near_texts
    from mmecinstruct.auditing.variants import title_variants, word_frequency

    connection.execute(
        f"INSERT INTO links SELECT DISTINCT '{keys.VARIANT}', key, key, '' FROM uses "
        f"WHERE kind = '{keys.VARIANT}' AND starts_with(key, '{keys.GROUP_PREFIX}')"
    )
    connection.execute(
        "INSERT INTO links SELECT 'image_pixels', a.key, b.key, '' FROM images a JOIN images b "
        "ON a.pixel_id = b.pixel_id AND a.key <> b.key"
    )
    frequency = word_frequency(_titles_of(connection, SPLITS))
    for position, later in enumerate(SPLITS[1:], start=1):
        earlier = SPLITS[:position]
        found = near_images(
            _images_of(connection, earlier, settings), _images_of(connection, [later], settings), settings
        )
        connection.register("found", found)
        connection.execute("INSERT INTO links SELECT * FROM found")
        found = near_texts(_texts_of(connection, earlier), _texts_of(connection, [later]), settings)
        connection.register("found", found)
        connection.execute("INSERT INTO links SELECT * FROM found")
        found = title_variants(
            _titles_of(connection, earlier),
            _titles_of(connection, [later]),
            settings.text_similarity,
            frequency,
        )
        connection.register("found", found)
        connection.execute("INSERT INTO links SELECT * FROM found")
        if report:
            report("audit: near pairs", position, len(SPLITS) - 1)


def _images_of(
    connection: duckdb.DuckDBPyConnection, splits: Sequence[str], settings: AuditSettings
) -> pa.Table:
    return connection.sql(
        """
        SELECT pixel_id, min(phash) AS phash, min(thumbnail) AS thumbnail FROM images
        WHERE structure >= ? AND pixel_id IN (
            SELECT key FROM uses JOIN samples USING (sample) WHERE kind = 'pixels' AND list_contains(?, split)
        )
        GROUP BY pixel_id ORDER BY pixel_id
        """,
        params=[settings.min_structure, list(splits)],
    ).to_arrow_table()


def _texts_of(connection: duckdb.DuckDBPyConnection, splits: Sequence[str]) -> pa.Table:
    return connection.sql(
        f"""
        SELECT key, unit, words FROM texts WHERE key IN (
            SELECT key FROM uses JOIN samples USING (sample)
            WHERE kind IN ('{TITLE}', '{TEXT}') AND list_contains(?, split)
        )
        ORDER BY key
        """,
        params=[list(splits)],
    ).to_arrow_table()


def _titles_of(connection: duckdb.DuckDBPyConnection, splits: Sequence[str]) -> pa.Table:
    """Return the titles of the rows without groups."""
    return connection.sql(
        """
        SELECT key, words FROM texts WHERE key IN (
            SELECT key FROM uses JOIN samples USING (sample) WHERE kind = ? AND list_contains(?, split)
        )
        ORDER BY key
        """,
        params=[keys.VARIANT, list(splits)],
    ).to_arrow_table()


def _checks(
    connection: duckdb.DuckDBPyConnection, read: Sequence[KeysRead], damaged: int, settings: AuditSettings
) -> tuple[Check, ...]:
    values = dict(connection.execute("SELECT kind, count(DISTINCT key) FROM uses GROUP BY kind").fetchall())
    unembedded = sum(entry.unembedded for entry in read)
    (flat,) = connection.execute(
        "SELECT count(DISTINCT pixel_id) FROM images WHERE structure < ?", [settings.min_structure]
    ).fetchall()[0]
    checks = []
    for kind in KINDS:
        key_kind = _KEY_KIND[kind]
        lacking = sorted(entry.file.path for entry in read if key_kind in entry.missing)
        gaps = []
        if lacking:
            where = "" if len(lacking) == len(read) else f" in {len(lacking)} files, as {lacking[0]}"
            gaps.append(f"no column {' or '.join(COLUMNS[key_kind])}{where}")
        if key_kind == IMAGE and unembedded:
            gaps.append(f"{unembedded} images are not embedded, so they were not compared")
        if key_kind == IMAGE and damaged and kind != "image_bytes":
            gaps.append(f"{damaged} images cannot be decoded")
        count = values.get(key_kind, 0)
        if kind == keys.CATEGORY and not {TRAIN, TEST_OOD} <= {entry.file.split for entry in read}:
            # The rule compares these two splits.
            count = 0
        if gaps:
            status = PARTLY_CHECKED if count else NOT_CHECKED
        else:
            status = CHECKED if count else NO_VALUES
        if kind == "image_near" and flat:
            gaps.append(f"{flat} images have too little structure to be compared")
        checks.append(Check(kind, status, count, "; ".join(gaps)))
    return tuple(checks)
