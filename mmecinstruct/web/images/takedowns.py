"""The takedown list: products, URLs and images that no later build may hold, as a CSV that a person can edit.

kind,value,note
product,amazon18:B00EXAMPLE,asked for by the seller
url,https://shop.example/a.jpg,
image,<SHA-256 of the received bytes>,
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from mmecinstruct.core.errors import WorkspaceError
from mmecinstruct.core.files import write_atomically
from mmecinstruct.images.urls import forms, one_form
from mmecinstruct.web.images.ledger import FILE, Ledger
from mmecinstruct.web.images.store import ImageStore

TAKEDOWNS_FILE = "takedowns.csv"
Kind = Literal["product", "url", "image"]
KINDS: tuple[str, ...] = get_args(Kind)
_COLUMNS = ["kind", "value", "note"]
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Takedown:
    """One line of the list.

    Attributes:
        kind: Whether the value is a product id, a URL or the SHA-256 of an image.
        value: The product id, URL or SHA-256.
        note: A comment of the person who added the line.
    """

    kind: Kind
    value: str
    note: str = ""


@dataclass(frozen=True)
class Takedowns:
    """The takedown list, with lookups by product, URL and image."""

    entries: tuple[Takedown, ...] = ()

    @cached_property
    def products(self) -> frozenset[str]:
        """The ids of products on the list."""
        return frozenset(entry.value for entry in self.entries if entry.kind == "product")

    @cached_property
    def urls(self) -> frozenset[str]:
        """The URLs on the list, in the form of `one_form`."""
        return frozenset(one_form(entry.value) for entry in self.entries if entry.kind == "url")

    @cached_property
    def images(self) -> frozenset[str]:
        """The SHA-256 of received bytes on the list."""
        return frozenset(entry.value for entry in self.entries if entry.kind == "image")

    def is_url(self, url: str) -> bool:
        """Return whether an image's URL is on the list, at any size."""
        return bool(self.urls) and not self.urls.isdisjoint(forms(url))

    def is_image(self, sha256: str | None) -> bool:
        """Return whether an image is on the list by the SHA-256 of its received bytes."""
        return sha256 in self.images

    def counts(self) -> dict[str, int]:
        """Return the number of entries of each kind."""
        found = Counter(entry.kind for entry in self.entries)
        return {kind: found[kind] for kind in get_args(Kind)}


def make_takedown(kind: str, value: str, note: str = "") -> Takedown:
    """Return a checked entry.

    Args:
        kind: `product`, `url` or `image`.
        value: The product id, URL or SHA-256.
        note: A comment.

    Raises:
        ValueError: The kind is unknown or the value is not valid.
    """
    value, note = value.strip(), " ".join(note.split())
    if kind not in KINDS:
        raise ValueError(f"no kind '{kind}'; there are {', '.join(KINDS)}")
    if not value or not value.isprintable():
        raise ValueError("the value is empty or has control characters")
    if kind == "image":
        value = value.lower()
        if not _SHA256.fullmatch(value):
            raise ValueError(
                "the value of an image is the SHA-256 of its received bytes, 64 hexadecimal digits"
            )
    return Takedown(kind, value, note)  # type: ignore[arg-type]


def load_takedowns(workspace: Path) -> Takedowns:
    """Return the takedown list of a workspace; empty where there is no file.

    Raises:
        WorkspaceError: The list cannot be read; the message names the file, the line and the remedy. No build may
            run without its list.
    """
    file = workspace / TAKEDOWNS_FILE
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return Takedowns()
    except (OSError, UnicodeDecodeError) as error:
        raise WorkspaceError(
            f"{file} cannot be read ({error}); repair it: no build may run without it"
        ) from error
    entries: dict[tuple[str, str], Takedown] = {}
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if reader.line_num == 1:
                if row != _COLUMNS:
                    raise ValueError(f"the first line is not '{','.join(_COLUMNS)}'")
            elif row:
                if len(row) != len(_COLUMNS):
                    raise ValueError(f"{len(row)} values, not {len(_COLUMNS)}")
                entry = make_takedown(*row)
                entries.setdefault((entry.kind, entry.value), entry)
    except (ValueError, csv.Error) as error:
        raise WorkspaceError(f"{file}:{reader.line_num}: {error}; correct the line") from error
    if not text:
        raise WorkspaceError(f"{file} is empty; write '{','.join(_COLUMNS)}' as its first line or delete it")
    return Takedowns(tuple(entries.values()))


def add_takedown(workspace: Path, fetched: Path, kind: str, value: str, note: str = "") -> Takedown:
    """Put an entry on the list and remove its images from the store; call it under the workspace's lock.

    Only a build knows a product's images: `forget_images` removes them in the next build. An entry that is on the list
    already is kept, and its images are removed again.

    Args:
        workspace: The folder of the list.
        fetched: The folder of the store.
        kind: `product`, `url` or `image`.
        value: The product id, URL or SHA-256.
        note: A comment.

    Raises:
        WorkspaceError: The entry is not valid.
    """
    try:
        entry = make_takedown(kind, value, note)
        if kind == "product" and ":" not in entry.value:
            raise ValueError(
                f"'{entry.value}' is no product's id, which begins with its source, as in amazon18:B00EXAMPLE "
                "(the column product_ids of a dataset)"
            )
    except ValueError as error:
        raise WorkspaceError(f"takedown: {error}") from error
    there = load_takedowns(workspace)
    if (entry.kind, entry.value) not in {(old.kind, old.value) for old in there.entries}:
        _write_list(workspace, (*there.entries, entry))
    _remove_images(fetched, entry)
    return entry


def remove_takedown(workspace: Path, fetched: Path, kind: str, value: str) -> Takedown:
    """Take an entry off the list; call it under the workspace's lock. The next build asks for its images again.

    Args:
        workspace: The folder of the list.
        fetched: The folder of the store.
        kind: `product`, `url` or `image`.
        value: The product id, URL or SHA-256.

    Raises:
        WorkspaceError: The list has no such entry.
    """
    try:
        wanted = make_takedown(kind, value)
    except ValueError as error:
        raise WorkspaceError(f"takedown: {error}") from error
    entries = load_takedowns(workspace).entries
    found = [entry for entry in entries if (entry.kind, entry.value) == (wanted.kind, wanted.value)]
    if not found:
        raise WorkspaceError(
            f"takedown: the list of {workspace} has no {wanted.kind} {wanted.value}; `mmec takedown list` prints it"
        )
    _write_list(workspace, [entry for entry in entries if entry not in found])
    if wanted.kind != "product" and (fetched / FILE).is_file():
        ledger = Ledger(fetched)
        try:
            ledger.forget_taken_down(_urls_of(ledger, wanted))
        finally:
            ledger.close()
    return found[0]


def _write_list(workspace: Path, entries: Iterable[Takedown]) -> None:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows((entry.kind, entry.value, entry.note) for entry in entries)
    workspace.mkdir(parents=True, exist_ok=True)
    write_atomically(workspace / TAKEDOWNS_FILE, stream.getvalue().encode())


def _urls_of(ledger: Ledger, entry: Takedown) -> list[str]:
    """Return the URLs that an entry for a URL or an image concerns."""
    return ledger.urls_of(entry.value) if entry.kind == "image" else ledger.urls_at(one_form(entry.value))


def _remove_images(fetched: Path, entry: Takedown) -> None:
    """Remove the objects of an entry, unless it is a product."""
    store = ImageStore(fetched)
    if entry.kind == "image":
        store.remove(entry.value)
    if entry.kind == "product" or not (fetched / FILE).is_file():
        return
    ledger = Ledger(fetched)
    try:
        urls = _urls_of(ledger, entry)
        if entry.kind == "url":
            _remove_objects(store, ledger, urls)
        ledger.take_down(urls, f"the {entry.kind} is on the takedown list")
    finally:
        ledger.close()


def forget_images(fetched: Path, urls: Collection[str]) -> int:
    """Remove the objects that came only from these URLs; return how many.

    The ledger keeps its rows. Where another product wants such a URL, it is requested again.

    Args:
        fetched: The folder of store and ledger.
        urls: The URLs.
    """
    if not urls or not (fetched / FILE).is_file():
        return 0
    ledger = Ledger(fetched)
    try:
        return _remove_objects(ImageStore(fetched), ledger, urls)
    finally:
        ledger.close()


def _remove_objects(store: ImageStore, ledger: Ledger, urls: Collection[str]) -> int:
    theirs = set(urls)
    hashes = {outcome.sha256 for outcome in ledger.known(sorted(theirs)).values() if outcome.sha256}
    # The same bytes may have come from other URLs, which are not on the list.
    return sum(store.remove(sha256) for sha256 in sorted(hashes) if set(ledger.urls_of(sha256)) <= theirs)
