"""The pull plan: which files are there, which are downloaded, which a person has to get."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from mmecinstruct.core.errors import PullError
from mmecinstruct.core.quantities import human
from mmecinstruct.sources.remote_file import RemoteFile
from mmecinstruct.sources.synthetic_files import SyntheticFiles
from mmecinstruct.web.raw_files.locations import address_of, find_location
from mmecinstruct.web.raw_files.partial import Partial
from mmecinstruct.web.raw_files.record import LOCK, RECORD, Record
from mmecinstruct.web.raw_files.settings import PullSettings
from mmecinstruct.web.raw_files.transport import Failed, Transport, shown

# present: unchanged since an earlier pull; found: put there by somebody else, to be checked.
State = Literal["present", "found", "fetch", "by_hand"]


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file and the pull's action for it.

    Attributes:
        file: The file.
        target: The path that the file has or gets.
        state: The pull's action for it.
        size: The bytes of the whole file, None where unknown.
        arrived: The bytes that an earlier pull downloaded.
        came_from: The URL of an earlier pull, where it is not the present one.
    """

    file: RemoteFile
    target: Path
    state: State
    size: int | None
    arrived: int = 0
    came_from: str = ""

    @property
    def missing(self) -> int:
        """The bytes to download, as far as known."""
        return max(0, (self.size or 0) - self.arrived) if self.state == "fetch" else 0


@dataclass(frozen=True, slots=True)
class PullPlan:
    """The plan of a pull.

    Attributes:
        folder: The raw folder.
        files: All files, in their order.
        free: The free bytes on the disk of the raw folder.
    """

    folder: Path
    files: tuple[PlannedFile, ...]
    free: int

    def of(self, state: State) -> list[PlannedFile]:
        """Return the files of a state."""
        return [planned for planned in self.files if planned.state == state]

    def __str__(self) -> str:
        return format_plan(self)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as values of JSON."""
        files = [
            {
                "origin": planned.file.origin,
                "publisher": planned.file.publisher,
                "state": planned.state,
                "url": address_of(planned.file),
                "size": planned.size,
                "arrived": planned.arrived,
                "came_from": planned.came_from,
                "by_hand": planned.file.by_hand if planned.state == "by_hand" else None,
            }
            for planned in self.files
        ]
        missing = sum(planned.missing for planned in self.files)
        return {"folder": str(self.folder), "free": self.free, "missing": missing, "files": files}


def choose(files: Sequence[RemoteFile], patterns: Sequence[str]) -> list[RemoteFile]:
    """Return the files that match one of the patterns, or all where there is none.

    Args:
        files: The files of a recipe.
        patterns: Globs over paths (`esci/*.parquet`) or names of publishers.

    Raises:
        PullError: A pattern matches no file.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        matched = [f.origin for f in files if pattern == f.publisher or fnmatchcase(f.origin, pattern)]
        if not matched:
            names = sorted({file.publisher for file in files})
            raise PullError(
                f"--only {pattern}: matches no file; give a path, a pattern of paths or one of "
                f"{', '.join(names) or 'none'}. The paths:\n"
                + "\n".join(f"  {file.origin}" for file in files)
            )
        chosen.update(matched)
    return [file for file in files if not patterns or file.origin in chosen]


def distinct(files: Sequence[RemoteFile]) -> list[RemoteFile]:
    """Return each file once.

    Raises:
        PullError: A path is unsafe, or two different files have the same path.
    """
    known: dict[str, RemoteFile] = {}
    for file in files:
        check_origin(file.origin)
        if known.setdefault(file.origin, file) != file:
            raise PullError(
                f"{file.origin}: two different files are to be put there; correct the recipe's paths"
            )
    return list(known.values())


def check_origin(origin: str) -> None:
    """Check that a path stays below the raw folder.

    Raises:
        PullError: It does not, or it is the path of the pull's own files.
    """
    parts = PurePosixPath(origin).parts
    plain = origin.isprintable() and "\\" not in origin and not origin.endswith("/")
    if not parts or origin.startswith("/") or ".." in parts or not plain or parts[0] in (RECORD, LOCK):
        raise PullError(f"'{origin}': the path of a raw file is below the raw folder, without '..'")


def check_not_synthetic(files: Sequence[RemoteFile], folder: Path) -> None:
    """Check that none of the files is synthetic: it would be taken for its publisher's.

    Raises:
        PullError: `mmec miniature` wrote one of the files.
    """
    synthetic = SyntheticFiles(folder).among(file.origin for file in files)
    if synthetic:
        raise PullError(
            f"{folder / synthetic[0]}: `mmec miniature` wrote this file, one of {len(synthetic)} synthetic files of "
            "this recipe; they would be taken for their publishers' files: give another --data, or remove them"
        )


def mirrored(files: Sequence[RemoteFile], mirror: str) -> list[RemoteFile]:
    """Return the files with their URLs on a mirror: MIRROR/<path below the raw folder>.

    Args:
        files: The files.
        mirror: The URL of the mirror.

    Raises:
        PullError: The mirror is no plain http or https URL.
    """
    try:
        parts = urlsplit(mirror)
        plain = parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment)
    except ValueError:
        plain = False
    if not plain or "@" in parts.netloc:
        raise PullError(f"--mirror {shown(mirror)}: give http:// or https://, a host and a folder only")
    base = mirror.rstrip("/")
    # The mirror may hold other files, such as a miniature, so the publisher's sizes are dropped. They are kept where a
    # SHA-256 is stated, as a file of another size cannot have it.
    return [
        replace(
            file,
            url=f"{base}/{quote(file.origin)}",
            hub=None,
            by_hand=None,
            size=file.size if file.sha256 is not None else None,
        )
        for file in files
    ]


def find_states(files: Sequence[RemoteFile], folder: Path, record: Record) -> list[PlannedFile]:
    """Return the state of each file without any request.

    Args:
        files: The files.
        folder: The raw folder.
        record: The record of the raw folder.

    Raises:
        PullError: A folder or something else has the path of a file.
    """
    planned = []
    for file in files:
        target = folder / file.origin
        entry = record.present(file.origin, file.sha256)
        state: State
        size, arrived, came_from = file.size, 0, ""
        if entry is not None:
            state, size = "present", entry.size
            came_from = entry.url if entry.url != address_of(file) else ""
        elif target.is_file():
            state, size = "found", target.stat().st_size
        elif target.exists():
            raise PullError(f"{target}: is no file; move it away")
        elif file.by_hand is not None and file.url is None and file.hub is None:
            state = "by_hand"
        else:
            state, partial = "fetch", Partial(target)
            version = partial.version()
            arrived = partial.size if version is not None else 0
            if size is None and version is not None:
                size = version.length
        planned.append(PlannedFile(file, target, state, size, arrived, came_from))
    return planned


def ask_size(planned: PlannedFile, transport: Transport) -> PlannedFile:
    """Return a planned file with its size from a HEAD request; unchanged where that fails."""
    location = find_location(planned.file)
    if isinstance(location, Failed):
        return planned
    if location.version is not None and location.version.length is not None:
        return replace(planned, size=location.version.length)
    answer = transport.open(location.url, method="HEAD", authorization=location.authorization)
    if isinstance(answer, Failed):
        return planned
    answer.close()
    return replace(planned, size=answer.length)


def free_space(path: Path) -> int:
    """Return the free bytes on the disk of a path, which need not exist."""
    return shutil.disk_usage(_existing(path)).free


def check_space(plan: PullPlan, settings: PullSettings) -> None:
    """Check that the missing files fit on their disks with the margin.

    A file of more than pull.max_bytes does not count: it fails on its own.

    Raises:
        PullError: A disk has too little space.
    """
    needed: dict[int, int] = defaultdict(int)
    folders: dict[int, Path] = {}
    for planned in plan.of("fetch"):
        if planned.size is not None and planned.size > settings.max_bytes:
            continue
        folder = _existing(planned.target.parent)
        # A folder of the raw folder may be a link to another disk.
        device = folder.stat().st_dev
        needed[device] += planned.missing
        folders[device] = folder
    for device, size in needed.items():
        free = free_space(folders[device])
        if size > free - settings.space_margin:
            raise PullError(
                f"{human(size)} are to be fetched to {folders[device]}; {human(free)} are free there and "
                f"{human(settings.space_margin)} have to stay free (pull.space_margin): free space, take another "
                "folder with --data, or fetch less with --only"
            )


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.is_dir():
        path = path.parent
    return path


_WORDS = {"present": "there", "found": "there, to be checked", "fetch": "to fetch", "by_hand": "by hand"}


def format_plan(plan: PullPlan) -> str:
    """Return the plan as a table with sums, and the steps that a person has to do."""
    rows = []
    for planned in plan.files:
        word = _WORDS[planned.state]
        if planned.came_from:
            word += f", from {planned.came_from}"
        if planned.arrived:
            word += f" ({human(planned.arrived)} of it there)"
        size = human(planned.size) if planned.size is not None else "?"
        rows.append((planned.file.origin, planned.file.publisher, size, word))
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    lines = [f"{o:<{widths[0]}}  {p:<{widths[1]}}  {s:>{widths[2]}}  {word}" for o, p, s, word in rows]
    wanted = plan.of("fetch")
    unknown = sum(planned.size is None for planned in wanted)
    there = len(plan.of("present")) + len(plan.of("found"))
    lines.append(
        f"{len(plan.files)} files: {there} there, {len(wanted)} to fetch "
        f"({human(sum(planned.missing for planned in wanted))}"
        + (f" and {unknown} of unknown size" if unknown else "")
        + f"), {len(plan.of('by_hand'))} by hand; {human(plan.free)} free"
    )
    return "\n".join([*lines, *hand_lines(plan.of("by_hand"))])


def hand_lines(files: Sequence[PlannedFile]) -> list[str]:
    """Return lines with the files that a person has to get, and where to put them."""
    lines = []
    for planned in files:
        lines += [
            f"By hand: {planned.file.origin}",
            f"  {planned.file.by_hand}",
            f"  Put it at {planned.target}",
        ]
    return lines
