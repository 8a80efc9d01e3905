"""A raw file of a publisher, and where to download it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository on the Hugging Face Hub."""

    repo_id: str
    filename: str
    repo_type: str = "dataset"
    revision: str = "main"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file that a recipe needs. Exactly one of `url`, `hub` and `by_hand` is set.

    Attributes:
        origin: The path below the raw folder, with `/` between its parts.
        publisher: The publisher's short name in `mmec sources`.
        url: The URL that the file is downloaded from.
        hub: The file on the Hugging Face Hub.
        by_hand: What a person has to do to get the file (a form to fill in, a drive link to follow).
        size: Bytes, where known.
        sha256: Hexadecimal digest, where the publisher states it.
    """

    origin: str
    publisher: str
    url: str | None = None
    hub: HubFile | None = None
    by_hand: str | None = None
    size: int | None = None
    sha256: str | None = None
