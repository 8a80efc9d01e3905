"""What a stage consists of: its work items, its work, its output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REJECTIONS_FILE = "rejections.parquet"


@dataclass(frozen=True)
class Counts:
    """What a shard did. Every record that came in was kept, rejected or, where a recipe samples, not drawn."""

    records: int
    kept: int
    rejected: int
    extra: Mapping[str, Any] | None = None
    not_drawn: int = 0

    def __post_init__(self) -> None:
        if self.records != self.kept + self.rejected + self.not_drawn:
            raise AssertionError(
                f"rows in ({self.records}) are not rows kept ({self.kept}) + rows rejected ({self.rejected})"
                f" + rows not drawn ({self.not_drawn})"
            )


@dataclass(frozen=True)
class Shard:
    """One piece of a stage's work: a key (its folder's name, sorts in order) and the function's payload.

    weight: how long it takes beside others; the longest are begun first, so that workers end together.
    """

    key: str
    payload: Any
    weight: int = 0


@dataclass(frozen=True)
class StageWork:
    """A stage to run: its fingerprint covers name, version, settings and the fingerprints of the inputs.

    function(payload, folder) writes its files into the folder and returns its counts; it must be a module-level
    function. `shards` may be a function, called only when there is work to do.
    """

    name: str
    version: int
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    shards: Sequence[Shard] | Callable[[], Sequence[Shard]]
    function: Callable[[Any, Path], Counts]


@dataclass(frozen=True)
class StageOutput:
    """A finished stage."""

    name: str
    fingerprint: str
    folder: Path
    records: int
    kept: int
    rejected: int
    not_drawn: int
    extra: dict[str, dict[str, Any]]  # per shard key
    cached: bool

    def files(self, name: str) -> list[Path]:
        """Return the files of that name, one per shard that wrote it, in shard order."""
        paths = (self.folder / key / name for key in sorted(self.extra))
        return [path for path in paths if path.is_file()]
