"""What is known of a publisher: its terms, its files, how to cite it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import yaml
from pydantic import BeforeValidator, ConfigDict, TypeAdapter

from mmecinstruct.sources.remote_file import HubFile

# Whether something may be passed on to others: for any purpose; for no commercial one; nobody says so; the person who
# builds has to know; there is nothing of the kind.
Redistribution = Literal["yes", "non-commercial", "not stated", "yours to say", "none"]
YES: Redistribution = "yes"
NON_COMMERCIAL: Redistribution = "non-commercial"
NOT_STATED: Redistribution = "not stated"
YOURS: Redistribution = "yours to say"
NOTHING: Redistribution = "none"

# The names of other families of files, of 2014 and of 2018, begin with what is no category.
_CATEGORY = r"(?P<category>(?!meta_|reviews_|ratings_)[A-Za-z0-9_]+?)"


@dataclass(frozen=True, slots=True)
class Licence:
    """A publisher's terms. words: as it states them. spdx: the identifier, where the licence has one.

    texts, images: whether they may be passed on. A publisher of image URLs has no say over the images.
    """

    words: str
    spdx: str | None
    texts: Redistribution
    images: Redistribution


@dataclass(frozen=True, slots=True)
class Citation:
    """A publication to cite. fields: BibTeX names and values, in the order in which they are printed."""

    key: str
    entry: str  # inproceedings | misc | …
    fields: Annotated[tuple[tuple[str, str], ...], BeforeValidator(lambda fields: tuple(fields.items()))]

    def bibtex(self) -> str:
        """Return the BibTeX entry."""
        width = max(len(name) for name, _ in self.fields)
        lines = [f"  {name:<{width}} = {{{value}}}" for name, value in self.fields]
        return f"@{self.entry}{{{self.key},\n" + ",\n".join(lines) + "\n}"


@dataclass(frozen=True, slots=True)
class PublisherFile:
    """A file of a publisher, or a family of files.

    kind, field: of the recipe's source that names it. path: below the raw folder; `{category}` stands for the
    publisher's irregular name of a category, `{part}` for one of `parts`. Of url, hub and by_hand one is set, with the
    same placeholders and, in by_hand, `{origin}`: where the recipe wants the file. size: bytes. sha256: where the
    publisher states it.
    """

    kind: str
    field: str
    path: str
    holds: str
    url: str | None = None
    hub: HubFile | None = None
    by_hand: str | None = None
    size: int | None = None
    sha256: str | None = None
    parts: tuple[str, ...] = ()
    note: str = ""

    @property
    def name(self) -> str:
        """The file's name, placeholders and all."""
        return PurePosixPath(self.path).name

    @property
    def has_categories(self) -> bool:
        """Whether there is one file for each category, so that only a recipe can say which are wanted."""
        return "{category}" in self.name

    def values_of(self, name: str) -> Mapping[str, str] | None:
        """Return what the placeholders stand for in a file's name; None for the name of another file."""
        pattern = re.escape(self.name).replace(r"\{category\}", _CATEGORY)
        match = re.fullmatch(pattern.replace(r"\{part\}", f"(?P<part>{'|'.join(self.parts)})"), name)
        return match.groupdict() if match else None

    def names(self) -> list[str]:
        """Return the names of all its files; of one with categories none, as nobody lists them."""
        if self.has_categories:
            return []
        return [self.name.replace("{part}", part) for part in self.parts] if self.parts else [self.name]


@dataclass(frozen=True, slots=True)
class Publisher:
    """Who publishes raw files, under which terms, and what they are good for.

    name: short, as `mmec sources` takes it. kinds: of the recipe's sources that read its files. tasks: full names, or
    all. notes: what to know before using it, a sentence each.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    title: str
    homepage: str
    licence: Licence
    kinds: tuple[str, ...]
    tasks: tuple[str, ...] | Literal["all"]
    files: tuple[PublisherFile, ...] = ()
    citations: tuple[Citation, ...] = ()
    notes: tuple[str, ...] = ()


def read_publishers(paths: Iterable[Path]) -> tuple[Publisher, ...]:
    """Return the publishers that YAML files state, one a file.

    Raises pydantic's ValidationError for a file that states them otherwise than `Publisher` does.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    contents = [yaml.load(path.read_bytes(), loader) for path in paths]
    return TypeAdapter(tuple[Publisher, ...]).validate_python(contents)
