"""Which files of which publisher a recipe's source names, and where each is had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mmecinstruct.core.errors import SourceError
from mmecinstruct.sources.publishers.facts import Publisher, PublisherFile
from mmecinstruct.sources.readers.matching import matching_files, stays_below
from mmecinstruct.sources.remote_file import RemoteFile

if TYPE_CHECKING:
    from mmecinstruct.sources.settings import Source

_GLOB = frozenset("*?[")


def named_paths(source: Source, publishers: Sequence[Publisher]) -> dict[str, str]:
    """Return the paths or globs that a source names, by field: those for which a publisher has files."""
    fields = dict.fromkeys(file.field for one in publishers for file in one.files if file.kind == source.kind)
    values = {field: getattr(source, field, None) for field in fields}
    return {field: value for field, value in values.items() if isinstance(value, str)}


def publisher_of_path(kind: str, field: str, path: str, publishers: Sequence[Publisher]) -> Publisher | None:
    """Return whose file a path or glob is: by its folder, else by its name, else the first with files of the kind."""
    families = [
        (one, file) for one in publishers for file in one.files if (file.kind, file.field) == (kind, field)
    ]
    folder, name = PurePosixPath(path).parent, PurePosixPath(path).name
    for one, file in families:
        if PurePosixPath(file.path).parent == folder:
            return one
    for one, file in families:
        if file.values_of(name) is not None:
            return one
    return families[0][0] if families else None


def files_of_path(kind: str, field: str, path: str, publishers: Sequence[Publisher]) -> list[RemoteFile]:
    """Return the files that a path or glob of a source names.

    Raises SourceError for a glob that leaves open which categories are wanted, and for a name that is no publisher's.
    """
    place = f"source '{kind}', field {field}: '{path}'"
    publisher = publisher_of_path(kind, field, path, publishers)
    if publisher is None:
        raise SourceError(f"{place}: no publisher has files of this kind; put your own file there")
    families = [file for file in publisher.files if file.kind == kind and file.field == field]
    listed = ", ".join(dict.fromkeys(file.path for file in families)).replace("{category}", "CATEGORY")
    if not _GLOB & set(path):
        name = PurePosixPath(path).name
        for file in families:
            values = file.values_of(name)
            if values is not None:
                return [_remote_file(publisher, file, path, values)]
        raise SourceError(
            f"{place} is the name of no file that is published; there are: {listed.replace('{part}', '0 to f')}. "
            "Correct the name, or put your own file there"
        )
    pattern = PurePosixPath(path)
    if _GLOB & set(pattern.parent.as_posix()):
        raise SourceError(
            f"{place} leaves open which folder is meant; to have its files fetched, name the folder"
        )
    found = [
        _remote_file(publisher, file, (pattern.parent / name).as_posix(), file.values_of(name) or {})
        for file in families
        for name in file.names()
        if fnmatchcase(name, pattern.name)
    ]
    if found:
        return found
    if any(file.has_categories for file in families):
        example = next(file for file in families if file.has_categories).name
        shown = (pattern.parent / example.replace("{category}", "Electronics")).as_posix()
        raise SourceError(
            f"{place} names no category, so nothing says which files to fetch; name the files, one source for each, "
            f"as {shown}"
        )
    raise SourceError(f"{place} matches none of the files that are published: {listed}")


def own_files(
    kind: str, field: str, path: str, publishers: Sequence[Publisher], folder: Path
) -> list[RemoteFile]:
    """Return the files of a raw folder that a source's path or glob names, as ones that nobody is asked for."""
    publisher = publisher_of_path(kind, field, path, publishers)
    if publisher is None or not stays_below(path):
        return []
    return [
        RemoteFile(
            origin,
            publisher.name,
            by_hand=f"put {origin} back: it is a file of yours, which nobody publishes",
        )
        for origin in matching_files(folder, path)
    ]


def _remote_file(
    publisher: Publisher, file: PublisherFile, origin: str, values: Mapping[str, str]
) -> RemoteFile:
    hub = file.hub and replace(file.hub, filename=file.hub.filename.format(**values))
    return RemoteFile(
        origin=PurePosixPath(origin).as_posix(),
        publisher=publisher.name,
        url=file.url and file.url.format(**values),
        hub=hub,
        by_hand=file.by_hand and file.by_hand.format(origin=origin, **values),
        size=file.size,
        sha256=file.sha256,
    )
