"""A stage: fields from which its fingerprint is computed, work items, work, output.

A stage is one class in one file of `mmecinstruct/stages/`, a frozen dataclass with keyword fields:

    @dataclass(frozen=True, kw_only=True)
    class CountWords(Stage):
        name = "count_words"
        version = 1
        reviews: Files
        least: int
        budget: Budget = field(metadata=RUNTIME)

        def work(self, item: WorkItem, folder: Path) -> Counts: ...

The work reads only these fields, and all fields that are not marked RUNTIME enter the fingerprint. So a
setting cannot be left out of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version as library_version
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from mmecinstruct.core.hashing import fingerprint
from mmecinstruct.core.settings import Settings

REJECTIONS_FILE = "rejections.parquet"
# Marks a field that changes no byte of the output: a budget, a local path, a time stamp.
RUNTIME = MappingProxyType({"runtime": True})
SettingsType = TypeVar("SettingsType", bound=Settings)


@dataclass(frozen=True)
class Counts:
    """Counts of a work item's records: each was kept, rejected or, where a recipe samples, not sampled."""

    records: int
    kept: int
    rejected: int
    extra: Mapping[str, Any] | None = None
    not_sampled: int = 0

    def __post_init__(self) -> None:
        if self.records != self.kept + self.rejected + self.not_sampled:
            raise AssertionError(
                f"rows in ({self.records}) are not rows kept ({self.kept}) + rows rejected ({self.rejected})"
                f" + rows not sampled ({self.not_sampled})"
            )


@dataclass(frozen=True)
class WorkItem:
    """One piece of a stage's work.

    Attributes:
        key: name of its folder; outputs are read in the order of keys.
        payload: describes the item's part of the work.
        weight: how long it takes compared with others. The longest start first, so that workers end together.
    """

    key: str
    payload: Any = None
    weight: int = 0


@dataclass(frozen=True)
class StageOutput:
    """A finished stage.

    Attributes:
        name: the stage's label.
        extra: the further counts of its work items, by their keys.
        hashes: the SHA-256 of its files, by their paths below `folder`.
    """

    name: str
    fingerprint: str
    folder: Path
    records: int
    kept: int
    rejected: int
    not_sampled: int
    extra: dict[str, dict[str, Any]]
    cached: bool
    hashes: Mapping[str, str] = field(default_factory=dict)

    def files(self, name: str) -> list[Path]:
        """Return the files of that name, one per work item that wrote it, in the order of the items."""
        paths = (f"{key}/{name}" for key in sorted(self.extra))
        return [self.folder / path for path in paths if path in self.hashes]


@dataclass(frozen=True)
class Files:
    """Files that a stage reads, with the fingerprint of their content: other paths, same stage.

    Attributes:
        paths: the files, in the order in which they are read.
        fingerprints: of each stage that wrote some of them, or of each file, its fingerprint.
        hashes: SHA-256 of files that no stage wrote.
    """

    paths: tuple[Path, ...] = ()
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[Path, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that no file stays out of a stage's fingerprint."""
        if self.paths and not self.fingerprints:
            raise AssertionError(f"{self.paths[0]}, …: files without a fingerprint")

    @classmethod
    def of(cls, outputs: StageOutput | Iterable[StageOutput], name: str) -> Files:
        """Return the files of that name that finished stages wrote."""
        several = [outputs] if isinstance(outputs, StageOutput) else list(outputs)
        return cls(
            tuple(path for output in several for path in output.files(name)),
            {output.name: output.fingerprint for output in several},
        )


def is_runtime(one: dataclasses.Field[Any]) -> bool:
    """Tell whether a field stays out of the fingerprint."""
    return one.metadata == RUNTIME


def only(settings: SettingsType, names: Collection[str]) -> SettingsType:
    """Return a copy that holds the named settings alone; all others have their defaults.

    A stage that reads a part of a settings object is given such a copy, so that no other setting reaches its
    fingerprint or its work.
    """
    return type(settings)(**{name: getattr(settings, name) for name in names})


class Stage:
    """The base of all stages.

    Attributes:
        name: in progress, statistics and the workspace. A class that runs several times extends it by `label`.
        version: raised when changed code gives another result.
        libraries: those whose output the stage keeps. Another version of one runs the stage again.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    libraries: ClassVar[tuple[str, ...]] = ()

    @property
    def label(self) -> str:
        """The stage's name, with an addition that distinguishes runs of the same class."""
        return self.name

    def items(self) -> Sequence[WorkItem]:
        """Return the work items. Called in the main process, and only when there is work to do."""
        return [WorkItem("all")]

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Write the item's files into an empty folder and return its counts. Runs in a worker process."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Return a hash of everything that decides the output."""
        return fingerprint(self.fingerprint_content())

    def fingerprint_content(self) -> dict[str, Any]:
        """Return the content that the fingerprint covers, as values of JSON."""
        return {
            "stage": self.label,
            "version": self.version,
            "libraries": {library: library_version(library) for library in self.libraries},
            "fields": _json(self),
        }


def files_of(value: Any) -> Iterator[Files]:
    """Yield all files among the fields of a stage, those of RUNTIME fields too."""
    match value:
        case Files():
            yield value
        case Mapping():
            for one in value.values():
                yield from files_of(one)
        case tuple() | list():
            for one in value:
                yield from files_of(one)
        case _ if dataclasses.is_dataclass(value):
            for one in dataclasses.fields(value):
                yield from files_of(getattr(value, one.name))


def _json(value: Any) -> Any:
    """Return a field's value as JSON can hold it, files as their fingerprints.

    Raises AssertionError for a value of another kind, such as a path.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Files():
            return dict(value.fingerprints)
        case Settings():
            return value.model_dump(mode="json")
        case Mapping():
            return {str(key): _json(one) for key, one in value.items()}
        case tuple() | list():
            return [_json(one) for one in value]
        case set() | frozenset():
            return sorted(_json(one) for one in value)
    if not dataclasses.is_dataclass(value):
        raise AssertionError(f"no fingerprint of a {type(value).__name__}: hand it over as Files or RUNTIME")
    return {
        one.name: _json(getattr(value, one.name)) for one in dataclasses.fields(value) if not is_runtime(one)
    }
