"""The ledger: one row per URL that was asked for, and the robots.txt of each origin (SQLite).

A row is committed as soon as its URL is done, so a run that is stopped loses the requests in flight and nothing else;
killed outright, also what had arrived and was about to be written.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, fields
from itertools import islice
from pathlib import Path

import pyarrow as pa

from mmecinstruct.core.errors import WorkspaceError
from mmecinstruct.images.urls import full_size_url
from mmecinstruct.web.outcome import PERMANENT, Outcome

FILE = "ledger.sqlite"
_VERSION = 1
_COLUMNS = tuple(field.name for field in fields(Outcome))
_BATCH = 500  # parameters per query

# What a build sees of the ledger: nothing that depends on when, or how often, a URL was asked for.
SNAPSHOT = pa.schema(
    [
        ("url", pa.string()),
        ("status", pa.string()),  # fetched | permanent | transient
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("sha256", pa.string()),
        ("bytes", pa.int64()),
        ("content_type", pa.string()),
        ("http_status", pa.int16()),
        ("final_url", pa.string()),
    ]
)


class Ledger:
    """The ledger of a folder, for one thread."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE
        with self._explained():
            folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self.file, timeout=30, isolation_level=None)
            # WAL without a flush per row: a power cut may lose the last rows, never the rest.
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise WorkspaceError(
                    f"{self.file} was written by another version ({version}, this one reads {_VERSION}); move it "
                    "away to fetch again"
                )
            columns = ", ".join(name for name in _COLUMNS if name != "url")
            # Ledgers of earlier versions have the same rows under another name.
            if self._database.execute("SELECT 1 FROM sqlite_master WHERE name = 'pictures'").fetchone():
                self._database.execute("ALTER TABLE pictures RENAME TO images")
            self._database.execute(
                f"CREATE TABLE IF NOT EXISTS images (url TEXT PRIMARY KEY, {columns}, finished REAL) WITHOUT ROWID"
            )
            self._database.execute("CREATE INDEX IF NOT EXISTS by_hash ON images (sha256)")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS robots "
                "(origin TEXT PRIMARY KEY, http_status INT, content TEXT, asked REAL) WITHOUT ROWID"
            )
            self._database.execute(f"PRAGMA user_version = {_VERSION}")

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def record(self, outcome: Outcome) -> None:
        """Write the row of a URL, over an older one."""
        marks = ", ".join("?" * (len(_COLUMNS) + 1))
        with self._explained():
            self._database.execute(
                f"INSERT OR REPLACE INTO images ({', '.join(_COLUMNS)}, finished) VALUES ({marks})",
                (*astuple(outcome), time.time()),
            )

    def known(self, urls: Iterable[str]) -> dict[str, Outcome]:
        """Return the rows of those URLs that have one."""
        rows: dict[str, Outcome] = {}
        with self._explained():
            for batch in _batches(urls):
                query = (
                    f"SELECT {', '.join(_COLUMNS)} FROM images WHERE url IN ({', '.join('?' * len(batch))})"
                )
                for row in self._database.execute(query, batch):
                    rows[row[0]] = Outcome(*row)
        return rows

    def snapshot(self, urls: Iterable[str]) -> pa.Table:
        """Return the rows of those URLs that have one, sorted by URL."""
        known = self.known(urls)
        rows = [{name: getattr(known[url], name) for name in SNAPSHOT.names} for url in sorted(known)]
        return pa.Table.from_pylist(rows, schema=SNAPSHOT)

    def robots(self, max_age: float) -> dict[str, tuple[int, str]]:
        """Return (HTTP status, content) of every robots.txt that is not older than so many seconds."""
        with self._explained():
            rows = self._database.execute(
                "SELECT origin, http_status, content FROM robots WHERE asked > ?", (time.time() - max_age,)
            )
            return {origin: (status, content) for origin, status, content in rows}

    def record_robots(self, origin: str, http_status: int, content: str) -> None:
        """Keep the robots.txt of an origin."""
        with self._explained():
            self._database.execute(
                "INSERT OR REPLACE INTO robots VALUES (?, ?, ?, ?)",
                (origin, http_status, content, time.time()),
            )

    def urls_of(self, sha256: str) -> list[str]:
        """Return the URLs under which these bytes came, sorted."""
        with self._explained():
            rows = self._database.execute("SELECT url FROM images WHERE sha256 = ? ORDER BY url", (sha256,))
            return [row[0] for row in rows]

    def urls_at(self, full_size: str) -> list[str]:
        """Return the URLs, sorted, that ask for this image in any size or were redirected to it."""
        with self._explained():
            rows = self._database.execute("SELECT url, final_url FROM images ORDER BY url")
            return [
                row[0] for row in rows if full_size in (full_size_url(row[0]), full_size_url(row[1] or ""))
            ]

    def take_down(self, urls: Iterable[str], detail: str) -> None:
        """Turn rows into permanent failures, so that no run asks for these URLs again."""
        with self._explained():
            self._database.executemany(
                "UPDATE images SET status = ?, reason = 'taken_down', detail = ? WHERE url = ?",
                [(PERMANENT, detail, url) for url in urls],
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:  # a full disk, a lock, a folder that may not be written
            raise WorkspaceError(
                f"{self.file}: {error}; free space or mend it and run again: what was fetched is kept"
            ) from error
        except sqlite3.DatabaseError as error:
            raise WorkspaceError(
                f"{self.file} is damaged ({error}); move it away and run again: images are then asked for again"
            ) from error


def _batches(urls: Iterable[str]) -> Iterator[tuple[str, ...]]:
    rest = iter(urls)
    while batch := tuple(islice(rest, _BATCH)):
        yield batch
