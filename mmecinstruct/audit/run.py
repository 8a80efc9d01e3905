"""Run an audit: read the files in workers, look for what is alike, count what meets."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.audit import keys
from mmecinstruct.audit.files import SampleFile, find_sample_files
from mmecinstruct.audit.keys import COLUMNS, IMAGE, SAMPLE_SHIFT, TEXT, KeysPayload, KeysRead, read_keys
from mmecinstruct.audit.overlaps import collect_findings, find_overlaps, total_overlaps
from mmecinstruct.audit.report import CHECKED, KINDS, NO_VALUES, NOT_CHECKED, AuditReport, Check
from mmecinstruct.audit.texts import QUERY
from mmecinstruct.executors import LocalExecutor
from mmecinstruct.parquet import working_connection, write_table
from mmecinstruct.recipe.audit import AuditSettings
from mmecinstruct.samples import SPLITS
from mmecinstruct.workspace import Report

if TYPE_CHECKING:
    import duckdb

# Kind of overlap -> the kind of key in `uses` that it compares.
_KEY_KIND = {
    "product": keys.PRODUCT,
    "cluster": keys.CLUSTER,
    "user": keys.USER,
    "query": QUERY,
    "query_id": keys.QUERY_ID,
    "image_bytes": IMAGE,
    "image_pixels": IMAGE,
    "image_near": IMAGE,
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
    """Compare every pair of splits of a dataset folder and return what they share.

    The folder needs no more than files `<task>/<split>-*.parquet`; for columns that are missing the report says what
    was not checked. settings: by default those of the folder's own recipe. Memory grows with distinct keys, texts and
    picture hashes of a pair of splits, not with pixels. Whatever the number of workers, the report is the same.

    Raises DatasetError where there is no such folder, a file is damaged, or its recipe is not valid.
    """
    from mmecinstruct.audit.settings import settings_of_folder

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
            damaged = _measure_pictures(connection, folder, files, work, executor, report)
            _link_alike(connection, work, settings, report)
            find_overlaps(connection)
            rows: dict[str, dict[str, int]] = {}
            for entry in sorted(read, key=lambda entry: entry.file.number):
                splits = rows.setdefault(entry.file.task, {})
                splits[entry.file.split] = splits.get(entry.file.split, 0) + entry.rows
            return AuditReport(
                rows,
                _checks(connection, read, damaged),
                collect_findings(connection, rows, settings),
                total_overlaps(connection),
                settings.model_dump(mode="json"),
            )


def _counted(results: Iterator[object], name: str, total: int, report: Report | None) -> Iterator[object]:
    for done, result in enumerate(results, start=1):
        yield result
        if report:
            report(name, done, total)


def _load(connection: duckdb.DuckDBPyConnection, work: Path, files: Sequence[SampleFile]) -> None:
    """Create samples, uses and texts from what the workers wrote."""
    places = pa.table(
        {
            "file": pa.array([file.number for file in files], pa.int32()),
            "path": [file.path for file in files],
            "task": [file.task for file in files],
            "split": [file.split for file in files],
        }
    )
    connection.register("files", places)
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
    connection.execute(
        'CREATE TABLE links (kind VARCHAR, "left" VARCHAR, "right" VARCHAR, detail VARCHAR)'
    )
