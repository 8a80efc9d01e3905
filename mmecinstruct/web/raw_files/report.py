"""What a pull did."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

# fetched: in this run; present: by an earlier one; found: put there by somebody else, and checked; by_hand: missing, a
# person has to get it; failed: could not be fetched; rejected: there is a file, and it is not the right one.
Status = Literal["fetched", "present", "found", "by_hand", "failed", "rejected"]


@dataclass(frozen=True, slots=True)
class PulledFile:
    """One file of a pull. Sizes in bytes; received: over the network; continued_at: what an earlier run had left.

    reason and detail say why a file is not there, and what to do. notes: what happened on the way.
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
    """All files of a pull, in the order in which they were asked for."""

    folder: Path
    files: tuple[PulledFile, ...]
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether every file is in its place."""
        return all(file.status in ("fetched", "present", "found") for file in self.files)

    @property
    def missing(self) -> list[PulledFile]:
        """The files that are not in their places."""
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
        """One line per file: status, size in bytes and path, separated by tabs."""
        return "\n".join(
            f"{file.status}\t{'' if file.size is None else file.size}\t{file.origin}" for file in self.files
        )
