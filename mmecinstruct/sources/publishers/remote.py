"""Find the publisher's files that a recipe's source names, and where to download each."""

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
    """Return the paths or globs of a source's fields for which a publisher has files, by field."""
    fields = dict.fromkeys(file.field for one in publishers for file in one.files if file.kind == source.kind)
    values = {field: getattr(source, field, None) for field in fields}
    return {field: value for field, value in values.items() if isinstance(value, str)}


def publisher_of_path(kind: str, field: str, path: str, publishers: Sequence[Publisher]) -> Publisher | None:
    """Return the publisher of a path or glob: by its folder, else by its name, else the first with such files.

    Args:
        kind: The kind of the recipe's source.
        field: The field of the source that names the path.
        path: A path or glob below the raw folder.
        publishers: The publishers to search.
    """
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

    Args:
        kind: The kind of the recipe's source.
        field: The field of the source that names the path.
        path: A path or glob below the raw folder.
        publishers: The publishers to search.

    Raises:
        SourceError: A glob leaves the categories open, or no publisher has the name.
    """
    named = f"source '{kind}', field {field}: '{path}'"
    publisher = publisher_of_path(kind, field, path, publishers)
    if publisher is None:
        raise SourceError(f"{named}: no publisher has files of this kind; put your own file there")
    families = [file for file in publisher.files if file.kind == kind and file.field == field]
    listed = ", ".join(dict.fromkeys(file.path for file in families)).replace("{category}", "CATEGORY")
    if not _GLOB & set(path):
        name = PurePosixPath(path).name
        for file in families:
            values = file.values_of(name)
            if values is not None:
                return [_remote_file(publisher, file, path, values)]
        raise SourceError(
            f"{named} is the name of no file that is published; there are: {listed.replace('{part}', '0 to f')}. "
            "Correct the name, or put your own file there"
        )
    pattern = PurePosixPath(path)
    if _GLOB & set(pattern.parent.as_posix()):
        raise SourceError(
            f"{named} leaves open which folder is meant; to have its files fetched, name the folder"
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
            f"{named} names no category, so nothing says which files to fetch; name the files, one source for each, "
            f"as {shown}"
        )
    raise SourceError(f"{named} matches none of the files that are published: {listed}")


def own_files(
    kind: str, field: str, path: str, publishers: Sequence[Publisher], folder: Path
) -> list[RemoteFile]:
    """Return the files of a raw folder that a source's path or glob names, as files that cannot be downloaded.

    Args:
        kind: The kind of the recipe's source.
        field: The field of the source that names the path.
        path: A path or glob below the raw folder.
        publishers: The publishers to search.
        folder: The raw folder.
    """
    publisher = publisher_of_path(kind, field, path, publishers)
    if publisher is None or not stays_below(path):
        return []
    return [
        RemoteFile(
            origin,
            publisher.name,
            by_hand=f"put {origin} back: it is your own file, no publisher has it",
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
