"""Who publishes the raw files: one YAML file per publisher, with its terms, its files and how to cite it.

What is stated here was read in the publishers' own pages and repositories; where it was not, a note says so.

`publishers` lists them, `remote_files` says where the files of a recipe's source are had, and `licences.py` which
sources a recipe may use and whose records a dataset's samples hold.
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

CATALOGUE, SAMPLE = "catalogue", "sample"  # publishers that publish nothing
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
    """Return the publisher of a short name. Raises SourceError that lists the names there are."""
    for publisher in publishers():
        if publisher.name == name:
            return publisher
    known = ", ".join(_NAMES)
    raise SourceError(f"no source '{name}'; there are {known}")


def remote_files(source: Source, folder: Path | None = None) -> list[RemoteFile]:
    """Return the published files that a recipe's source names, in the order of its fields; none for a catalogue.

    A path is matched by its file name and stays where the recipe has it; where two publishers name files alike, its
    folder decides (`amazon2014/meta_….json.gz`). A glob stands for those of a publisher's files that it matches.
    folder: the raw folder. Where a path or glob names no published file, those that a person has put there are meant.

    Raises SourceError for a glob over categories (`meta_*.json.gz`: nobody lists which are wanted), and for a name that
    no publisher has, where nothing of the kind lies in the folder.
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
    """Return the published files of a source's globs that do not lie in the raw folder, where others of them do."""
    absent: list[str] = []
    for field, path in named_paths(source, publishers()).items():
        try:
            files = [file.origin for file in files_of_path(source.kind, field, path, publishers())]
        except SourceError:  # a glob over categories, or a person's own files: nobody says how many
            continue
        lacking = [origin for origin in files if not (folder / origin).is_file()]
        if len(lacking) < len(files):
            absent += lacking
    return absent


def publishers_of(source: Source) -> tuple[Publisher, ...]:
    """Return whose records a source holds: mostly one; nobody's for a kind that no publisher is known for."""
    own = find_publisher(CATALOGUE)
    if source.kind in own.kinds:
        return (own,)
    found = (
        publisher_of_path(source.kind, field, path, publishers())
        for field, path in named_paths(source, publishers()).items()
    )
    return tuple(dict.fromkeys(publisher for publisher in found if publisher is not None))
