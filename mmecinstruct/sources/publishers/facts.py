"""Facts about a publisher: its terms, its files and its citations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, TypeAdapter

from mmecinstruct.core.yaml_text import read_yaml
from mmecinstruct.sources.remote_file import HubFile

# Whether something may be redistributed: for any purpose; for non-commercial purposes; not stated; the user has to
# decide; there is nothing of the kind.
Redistribution = Literal["yes", "non-commercial", "not stated", "yours to say", "none"]
YES: Redistribution = "yes"
NON_COMMERCIAL: Redistribution = "non-commercial"
NOT_STATED: Redistribution = "not stated"
YOURS: Redistribution = "yours to say"
NOTHING: Redistribution = "none"

# Other families of files, of 2014 and of 2018, have names that begin with these words, which are no categories.
_CATEGORY = r"(?P<category>(?!meta_|reviews_|ratings_)[A-Za-z0-9_]+?)"


@dataclass(frozen=True, slots=True)
class Licence:
    """A publisher's terms.

    Attributes:
        words: The terms as the publisher states them.
        spdx: The SPDX identifier, where the licence has one.
        texts: Whether the texts may be redistributed.
        images: Whether the images may be redistributed. A publisher of image URLs has no rights to the images.
    """

    words: str
    spdx: str | None
    texts: Redistribution
    images: Redistribution


@dataclass(frozen=True, slots=True)
class Citation:
    """A publication to cite.

    Attributes:
        key: The BibTeX key.
        entry: The BibTeX entry type.
        fields: BibTeX names and values, in the order in which they are printed.
    """

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
    """A file of a publisher, or a family of files. Exactly one of `url`, `hub` and `by_hand` is set.

    Attributes:
        kind: The kind of the recipe's source that names the file.
        field: The field of that source.
        path: The path below the raw folder. `{category}` is the publisher's irregular name of a category,
            `{part}` for one of `parts`.
        holds: What the file contains, in words.
        url: The URL, with the same placeholders.
        hub: The file on the Hugging Face Hub, with the same placeholders.
        by_hand: What a person has to do to get the file, with the same placeholders and `{origin}`, the path in the
            recipe.
        size: Bytes, where known.
        sha256: Hexadecimal digest, where the publisher states it.
        parts: The values of `{part}`.
        note: A note about the file.
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
        """The file's name, with its placeholders."""
        return PurePosixPath(self.path).name

    @property
    def has_categories(self) -> bool:
        """Whether there is one file for each category, so that only a recipe can name the wanted ones."""
        return "{category}" in self.name

    def values_of(self, name: str) -> Mapping[str, str] | None:
        """Return the values of the placeholders in a file's name; None for the name of another file."""
        pattern = re.escape(self.name).replace(r"\{category\}", _CATEGORY)
        match = re.fullmatch(pattern.replace(r"\{part\}", f"(?P<part>{'|'.join(self.parts)})"), name)
        return match.groupdict() if match else None

    def names(self) -> list[str]:
        """Return the names of all files of the family; none where there is one for each category."""
        if self.has_categories:
            return []
        return [self.name.replace("{part}", part) for part in self.parts] if self.parts else [self.name]


@dataclass(frozen=True, slots=True)
class Publisher:
    """A publisher of raw files, its terms, and the tasks that its files serve.

    Attributes:
        name: The short name, as `mmec sources` takes it.
        title: The full name.
        homepage: The publisher's page.
        licence: The publisher's terms.
        kinds: The kinds of recipe sources that read its files.
        tasks: Full names of the tasks that its files serve, or `all`.
        files: The files, or families of files.
        citations: The publications to cite.
        notes: Notes for users of the files, a sentence each.
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
    """Return the publishers of YAML files, one a file.

    Raises:
        pydantic.ValidationError: A file does not match `Publisher`.
    """
    contents = [read_yaml(path) for path in paths]
    return TypeAdapter(tuple[Publisher, ...]).validate_python(contents)
