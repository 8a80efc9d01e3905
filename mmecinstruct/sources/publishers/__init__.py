"""Publishers of raw files: one YAML file per publisher, with its terms, its files and its citations.

The facts come from the publishers' own pages and repositories; a note marks each exception.

`publishers` lists the publishers and `remote_files` gives the URLs of the files that a recipe's source names.
`mmecinstruct.recipe.licences` decides which sources a recipe may use and whose records a dataset's samples hold.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mmecinstruct.core.errors import SourceError
from mmecinstruct.sources.publishers.facts import Citation, Licence, Publisher, PublisherFile, read_publishers
from mmecinstruct.sources.publishers.remote import files_of_path, named_paths, own_files, publisher_of_path
from mmecinstruct.sources.remote_file import RemoteFile

if TYPE_CHECKING:
    from mmecinstruct.sources.settings import Source

__all__ = [
    "CATALOGUE",
    "SAMPLE",
    "Citation",
    "Licence",
    "Publisher",
    "PublisherFile",
    "absent_files",
    "find_publisher",
    "publishers",
    "publishers_of",
    "remote_files",
]

# The user's own catalogue and the built-in sample shop, which have terms but no files to download.
CATALOGUE, SAMPLE = "catalogue", "sample"
_NAMES = (
    "amazon2018",
    "amazon2014",
    "amazon2023",
    "amazonqa",
    "esci",
    "sqid",
    "esci_s",
    "mave",
    "abo",
    CATALOGUE,
    SAMPLE,
)


@cache
def publishers() -> tuple[Publisher, ...]:
    """Return all publishers, in the order in which they are listed."""
    return read_publishers(Path(__file__).with_name(f"{name}.yaml") for name in _NAMES)


def find_publisher(name: str) -> Publisher:
    """Return the publisher with a short name.

    Raises:
        SourceError: No publisher has the name; the message lists the known names.
    """
    for publisher in publishers():
        if publisher.name == name or (publisher.name == CATALOGUE and name in publisher.kinds):
            return publisher
    known = ", ".join(_NAMES)
    raise SourceError(f"no source '{name}'; there are {known}")


def remote_files(source: Source, folder: Path | None = None) -> list[RemoteFile]:
    """Return the published files that a recipe's source names, in the order of its fields; none for a catalogue.

    A path is matched by its file name and stays where the recipe has it. Where two publishers use the same file name,
    the folder decides (`amazon2014/meta_….json.gz`). A glob means the publisher's files that it matches.

    Args:
        source: The recipe's source.
        folder: The raw folder. A path or glob that names no published file then means the files in the folder.

    Raises:
        SourceError: A glob leaves the categories open (`meta_*.json.gz`), or no publisher has the name, and the folder
            has no such file.
    """
    files: list[RemoteFile] = []
    for field, path in named_paths(source, publishers()).items():
        try:
            files += files_of_path(source.kind, field, path, publishers())
        except SourceError:
            own = own_files(source.kind, field, path, publishers(), folder) if folder is not None else []
            if not own:
                raise
            files += own
    return files


def absent_files(source: Source, folder: Path) -> list[str]:
    """Return the published files of a source's globs that are missing from the raw folder while others are there."""
    absent: list[str] = []
    for field, path in named_paths(source, publishers()).items():
        try:
            files = [file.origin for file in files_of_path(source.kind, field, path, publishers())]
        except SourceError:
            # A glob over categories, or a user's own files: their number is unknown.
            continue
        lacking = [origin for origin in files if not (folder / origin).is_file()]
        if len(lacking) < len(files):
            absent += lacking
    return absent


def publishers_of(source: Source) -> tuple[Publisher, ...]:
    """Return the publishers of a source's records: mostly one, none for a kind without a known publisher."""
    own = find_publisher(CATALOGUE)
    if source.kind in own.kinds:
        return (own,)
    found = (
        publisher_of_path(source.kind, field, path, publishers())
        for field, path in named_paths(source, publishers()).items()
    )
    return tuple(dict.fromkeys(publisher for publisher in found if publisher is not None))
