"""Who publishes the raw files: one module per publisher, with its terms, its files and how to cite it.

What is stated here was read in the publishers' own pages and repositories; where it was not, a note says so.

`PUBLISHERS` lists them, `remote_files` says where the files of a recipe's source are had, and `licences.py` which
sources a recipe may use and whose records a dataset's samples hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmecinstruct.errors import SourceError
from mmecinstruct.sources.publishers import (
    abo,
    amazon2014,
    amazon2018,
    amazon2023,
    amazonqa,
    esci,
    esci_s,
    mave,
    own_catalogue,
    sample_shop,
    sqid,
)
from mmecinstruct.sources.publishers.facts import Citation, Licence, Publisher, PublisherFile
from mmecinstruct.sources.publishers.remote import files_of_path, named_paths, own_files, publisher_of_path
from mmecinstruct.sources.remote_file import RemoteFile

if TYPE_CHECKING:
    from mmecinstruct.recipe.sources import Source

__all__ = [
    "CATALOGUE",
    "PUBLISHERS",
    "SAMPLE",
    "Citation",
    "Licence",
    "Publisher",
    "PublisherFile",
    "absent_files",
    "find_publisher",
    "publishers_of",
    "remote_files",
]

CATALOGUE = own_catalogue.PUBLISHER
SAMPLE = sample_shop.PUBLISHER
PUBLISHERS: tuple[Publisher, ...] = (
    amazon2018.PUBLISHER,
    amazon2014.PUBLISHER,
    amazon2023.PUBLISHER,
    amazonqa.PUBLISHER,
    esci.PUBLISHER,
    sqid.PUBLISHER,
    esci_s.PUBLISHER,
    mave.PUBLISHER,
    abo.PUBLISHER,
    CATALOGUE,
    SAMPLE,
)


def find_publisher(name: str) -> Publisher:
    """Return the publisher of a short name. Raises SourceError that lists the names there are."""
    for publisher in PUBLISHERS:
        if publisher.name == name:
            return publisher
    known = ", ".join(publisher.name for publisher in PUBLISHERS)
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
    for field, path in named_paths(source, PUBLISHERS).items():
        try:
            files += files_of_path(source.kind, field, path, PUBLISHERS)
        except SourceError:
            own = own_files(source.kind, field, path, PUBLISHERS, folder) if folder is not None else []
            if not own:
                raise
            files += own
    return files


def absent_files(source: Source, folder: Path) -> list[str]:
    """Return the published files of a source's globs that do not lie in the raw folder, where others of them do."""
    absent: list[str] = []
    for field, path in named_paths(source, PUBLISHERS).items():
        try:
            files = [file.origin for file in files_of_path(source.kind, field, path, PUBLISHERS)]
        except SourceError:  # a glob over categories, or a person's own files: nobody says how many
            continue
        lacking = [origin for origin in files if not (folder / origin).is_file()]
        if len(lacking) < len(files):
            absent += lacking
    return absent


def publishers_of(source: Source) -> tuple[Publisher, ...]:
    """Return whose records a source holds: mostly one; nobody's for a kind that no publisher is known for."""
    if source.kind in CATALOGUE.kinds:
        return (CATALOGUE,)
    found = (
        publisher_of_path(source.kind, field, path, PUBLISHERS)
        for field, path in named_paths(source, PUBLISHERS).items()
    )
    return tuple(dict.fromkeys(publisher for publisher in found if publisher is not None))
