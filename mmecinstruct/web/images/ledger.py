"""The ledger: one row per requested URL, and the robots.txt of each origin (SQLite).

A row is committed as soon as its URL is done. An interrupted run loses only the requests in flight; a killed run also
loses images that had arrived but had no row yet.
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
from mmecinstruct.images.urls import forms
from mmecinstruct.web.outcome import PERMANENT, Outcome

FILE = "ledger.sqlite"
_VERSION = 2
_COLUMNS = tuple(field.name for field in fields(Outcome))
_BATCH = 500  # parameters per query

# The columns of the ledger that a build reads: nothing that depends on when, or how often, a URL was requested.
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
    """The ledger of a folder, for one thread. Every method raises WorkspaceError where the file cannot be used."""

    def __init__(self, folder: Path) -> None:
        """Open the ledger of a folder, or create it.

        Raises:
            WorkspaceError: The ledger is damaged, of another version or cannot be written.
        """
        self.file = folder / FILE
        with self._explained():
            folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self.file, timeout=30, isolation_level=None)
            # WAL without a flush per row: a power cut may lose the last rows, never the rest.
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
            if not 0 <= version <= _VERSION:
                raise WorkspaceError(
                    f"{self.file} was written by another version ({version}, this one reads {_VERSION}); move it "
                    "away to fetch again"
                )
            columns = ", ".join(name for name in _COLUMNS if name != "url")
            if version == 1:
                self._migrate()
            self._database.execute(
                f"CREATE TABLE IF NOT EXISTS images (url TEXT PRIMARY KEY, {columns}, finished REAL) WITHOUT ROWID"
            )
            self._database.execute("CREATE INDEX IF NOT EXISTS by_hash ON images (sha256)")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS robots "
                "(origin TEXT PRIMARY KEY, http_status INT, content TEXT, asked REAL) WITHOUT ROWID"
            )
            self._database.execute(f"PRAGMA user_version = {_VERSION}")

    def _migrate(self) -> None:
        """Rename the table of version 1, whose rows are the same."""
        self._database.execute("BEGIN IMMEDIATE")
        if self._database.execute("PRAGMA user_version").fetchone()[0] == 1:
            self._database.execute("ALTER TABLE pictures RENAME TO images")
            self._database.execute(f"PRAGMA user_version = {_VERSION}")
        self._database.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def record(self, outcome: Outcome) -> None:
        """Write the row of a URL, replacing an older one."""
        parameters = ", ".join("?" * (len(_COLUMNS) + 1))
        with self._explained():
            self._database.execute(
                f"INSERT OR REPLACE INTO images ({', '.join(_COLUMNS)}, finished) VALUES ({parameters})",
                (*astuple(outcome), time.time()),
            )

    def known(self, urls: Iterable[str]) -> dict[str, Outcome]:
        """Return the rows of the URLs that have one, by URL."""
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
        """Return the rows of the URLs that have one as a table, sorted by URL."""
        known = self.known(urls)
        rows = [{name: getattr(known[url], name) for name in SNAPSHOT.names} for url in sorted(known)]
        return pa.Table.from_pylist(rows, schema=SNAPSHOT)

    def robots(self, max_age: float) -> dict[str, tuple[int, str]]:
        """Return (HTTP status, content) of every robots.txt that is at most `max_age` seconds old, by origin."""
        with self._explained():
            rows = self._database.execute(
                "SELECT origin, http_status, content FROM robots WHERE asked > ?", (time.time() - max_age,)
            )
            return {origin: (status, content) for origin, status, content in rows}

    def record_robots(self, origin: str, http_status: int, content: str) -> None:
        """Store the robots.txt of an origin."""
        with self._explained():
            self._database.execute(
                "INSERT OR REPLACE INTO robots VALUES (?, ?, ?, ?)",
                (origin, http_status, content, time.time()),
            )

    def urls_of(self, sha256: str) -> list[str]:
        """Return the URLs that gave these bytes, sorted."""
        with self._explained():
            rows = self._database.execute("SELECT url FROM images WHERE sha256 = ? ORDER BY url", (sha256,))
            return [row[0] for row in rows]

    def urls_at(self, wanted: str) -> list[str]:
        """Return the URLs, sorted, that name this image (`forms`) or were redirected to it."""
        with self._explained():
            rows = self._database.execute("SELECT url, final_url FROM images ORDER BY url")
            return [row[0] for row in rows if wanted in forms(row[0]) | forms(row[1] or "")]

    def take_down(self, urls: Iterable[str], detail: str) -> None:
        """Turn rows into permanent failures, so that no run requests these URLs again."""
        with self._explained():
            self._database.executemany(
                "UPDATE images SET status = ?, reason = 'taken_down', detail = ? WHERE url = ?",
                [(PERMANENT, detail, url) for url in urls],
            )

    def forget_taken_down(self, urls: Iterable[str]) -> None:
        """Remove the rows of URLs that were taken down, so that they are requested again."""
        with self._explained():
            self._database.executemany(
                "DELETE FROM images WHERE url = ? AND reason = 'taken_down'", [(url,) for url in urls]
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            # A full disk, a lock, a folder without write permission.
            raise WorkspaceError(
                f"{self.file}: {error}; free space or repair it and run again: fetched images are kept"
            ) from error
        except sqlite3.DatabaseError as error:
            raise WorkspaceError(
                f"{self.file} is damaged ({error}); move it away and run again: images are then requested again"
            ) from error


def _batches(urls: Iterable[str]) -> Iterator[tuple[str, ...]]:
    rest = iter(urls)
    while batch := tuple(islice(rest, _BATCH)):
        yield batch
