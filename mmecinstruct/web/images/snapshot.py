"""Snapshots of fetched images: a build reads a table that does not change until the user asks for a new one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.core.errors import WorkspaceError
from mmecinstruct.core.hashing import fingerprint
from mmecinstruct.core.parquet import write_table
from mmecinstruct.web.images.run import FetchReport
from mmecinstruct.web.images.settings import FetchSettings

SNAPSHOTS_FOLDER = "snapshots"

# Settings of the user agent, speed and patience do not change which images a build wants.
_WITHOUT_MEANING = {
    *("enabled", "user_agent", "contact", "threads", "connections_per_host", "requests_per_second"),
    *("connect_timeout", "read_timeout", "total_timeout", "retries", "backoff_base", "backoff_cap"),
    *("max_retry_after", "host_failures", "max_crawl_delay", "robots_max_age"),
}


def frozen_snapshot(
    groups: Sequence[Sequence[str]],
    settings: FetchSettings,
    folder: Path,
    fetch: Callable[[], FetchReport],
    *,
    depends_on: object = None,
    retry_failed: bool = False,
) -> tuple[pa.Table, FetchReport | None]:
    """Return the snapshot of groups of URLs, and the report of the run that made it, if one was needed.

    The first call makes the requests and writes the snapshot below `folder`; later calls read it. So a finished build
    stays finished although another recipe's build, or a retry, changes the ledger.

    Args:
        groups: As for `fetch_groups`, without URLs on the takedown list.
        settings: The settings of the requests.
        folder: The folder of store and ledger.
        fetch: Runs `fetch_groups` over the groups with the same `retry_failed`.
        depends_on: Everything else that decides which URLs are tried, such as the settings of `accept` and the
            takedown list; values of JSON.
        retry_failed: Make a new snapshot, with new requests for transient failures.

    Raises:
        WorkspaceError: The snapshot's file is damaged.
    """
    kept = settings.model_dump(mode="json", exclude=_WITHOUT_MEANING)
    # Keys of earlier versions had the settings' names of then; with another key a frozen snapshot would be lost.
    kept["pictures_per_product"] = kept.pop("images_per_product")
    key = fingerprint({"groups": [list(urls) for urls in groups], "settings": kept, "identity": depends_on})
    file = folder / SNAPSHOTS_FOLDER / f"{key}.parquet"
    if file.is_file() and not retry_failed:
        try:
            # When it was last used, for `mmec clean`. A workspace may be read-only.
            with suppress(OSError):
                os.utime(file)
            return pq.read_table(file), None
        except (pa.ArrowInvalid, OSError) as error:
            raise WorkspaceError(f"{file} is damaged ({error}); delete it and run again") from error
    report = fetch()
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".arriving")
    write_table(report.snapshot, temporary)
    temporary.replace(file)
    return report.snapshot, report


def remove_old_snapshots(folder: Path, keep_days: float) -> int:
    """Remove snapshots that no build used within `keep_days` days; return the bytes freed.

    A later build makes its snapshot again from the ledger, and requests nothing that has a row there.
    """
    horizon = time.time() - keep_days * 86_400
    freed = 0
    for file in sorted((folder / SNAPSHOTS_FOLDER).glob("*")):
        status = file.stat()
        if status.st_mtime < horizon:
            file.unlink()
            freed += status.st_size
    return freed
