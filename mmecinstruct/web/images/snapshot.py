"""What a build sees of the fetched images: a table that stays as it is until the user wants another."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.core.errors import WorkspaceError
from mmecinstruct.core.hashing import fingerprint
from mmecinstruct.core.parquet import write_table
from mmecinstruct.web.images.run import FetchReport
from mmecinstruct.web.images.settings import FetchSettings

SNAPSHOTS_FOLDER = "snapshots"

# Who asks how fast changes nothing of what a build wants to see.
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
    identity: object = None,
    retry_failed: bool = False,
) -> tuple[pa.Table, FetchReport | None]:
    """Return the snapshot of these groups, and the report of the run that made it, if one was needed.

    groups: as for `fetch_groups`, without what the takedown list forbids. fetch: runs `fetch_groups` over them with
    the same `retry_failed`. identity: whatever else decides which URLs are tried, such as the settings of `accept`
    and the takedown list; JSON. The first call asks the world and writes the snapshot below `folder`; later ones
    read it, so a finished build stays finished although another recipe's build, or a retry, changes the ledger.

    Raises WorkspaceError where the snapshot's file is damaged.
    """
    kept = settings.model_dump(mode="json", exclude=_WITHOUT_MEANING)
    mark = fingerprint({"groups": [list(urls) for urls in groups], "settings": kept, "identity": identity})
    file = folder / SNAPSHOTS_FOLDER / f"{mark}.parquet"
    if file.is_file() and not retry_failed:
        try:
            os.utime(file)  # when it was last used, for `mmec clean`
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
    """Remove what no build used within `keep_days` days; return the bytes freed.

    A build that comes back makes its snapshot anew from the ledger, and asks for nothing that has a row there.
    """
    horizon = time.time() - keep_days * 86_400
    freed = 0
    for file in sorted((folder / SNAPSHOTS_FOLDER).glob("*")):
        status = file.stat()
        if status.st_mtime < horizon:
            file.unlink()
            freed += status.st_size
    return freed
