"""The report of a pull."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

# fetched: in this run; present: by an earlier one; found: put there by somebody else, and checked; by_hand: missing, a
# person has to get it; failed: could not be fetched; rejected: there is a file, but not the wanted one.
Status = Literal["fetched", "present", "found", "by_hand", "failed", "rejected"]


@dataclass(frozen=True, slots=True)
class PulledFile:
    """The result of one file of a pull.

    Attributes:
        origin: The path below the raw folder.
        publisher: The publisher's short name.
        status: The file's outcome.
        url: The URL without its query, empty where there is none.
        size: Bytes of the file.
        sha256: The hexadecimal digest, where known.
        received: The bytes over the network in this run.
        continued_at: The bytes of an earlier run.
        attempts: The number of attempts.
        seconds: The time of the attempts.
        reason: A word for why the file is missing.
        detail: Why the file is missing, and what to do.
        notes: Messages about the download.
    """

    origin: str
    publisher: str
    status: Status
    url: str = ""
    size: int | None = None
    sha256: str | None = None
    received: int = 0
    continued_at: int = 0
    attempts: int = 0
    seconds: float = 0.0
    reason: str = ""
    detail: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PullReport:
    """The result of a pull.

    Attributes:
        folder: The raw folder.
        files: The files, in the order of the request.
        seconds: The time of the pull.
    """

    folder: Path
    files: tuple[PulledFile, ...]
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether every file is there."""
        return all(file.status in ("fetched", "present", "found") for file in self.files)

    @property
    def missing(self) -> list[PulledFile]:
        """The files that are not there."""
        return [file for file in self.files if file.status in ("by_hand", "failed", "rejected")]

    def of(self, status: Status) -> list[PulledFile]:
        """Return the files of a status."""
        return [file for file in self.files if file.status == status]

    def to_json(self) -> dict[str, Any]:
        """Return the report as values of JSON."""
        files = [{**asdict(file), "seconds": round(file.seconds, 3)} for file in self.files]
        return {
            "folder": str(self.folder),
            "complete": self.complete,
            "seconds": round(self.seconds, 3),
            "files": files,
        }

    def __str__(self) -> str:
        """Return one line per file: status, size in bytes and path, separated by tabs."""
        return "\n".join(
            f"{file.status}\t{'' if file.size is None else file.size}\t{file.origin}" for file in self.files
        )
