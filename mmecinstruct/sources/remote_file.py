"""A raw file of a publisher, and where it is had."""

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
    """One file that a recipe needs.

    origin: its path below the raw folder, with `/` between its parts. publisher: its short name in `mmec sources`.
    Of url, hub and by_hand one is set: where it is fetched from, or what a person has to do to get it (a form to fill
    in, a drive link to follow). size: bytes, where known. sha256: hexadecimal, where the publisher states it.
    """

    origin: str
    publisher: str
    url: str | None = None
    hub: HubFile | None = None
    by_hand: str | None = None
    size: int | None = None
    sha256: str | None = None
