"""Build the texts of many records at once: every record is a row of fragments, and all rows are joined together.

A fragment is a piece of text that occurs many times (a word, a JSON key, three digits of a number). It is added once
and then referred to by its id. A record is a row of ids, which numpy chooses; the text of a thousand records is one
gather of bytes in Arrow.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Ids = NDArray[np.int32]

EMPTY = 0  # the fragment without text


def json_text(text: str) -> str:
    """Return a text as it is written between the quotes of a JSON string, in ASCII."""
    return json.dumps(text)[1:-1]


@dataclass(frozen=True, slots=True)
class Repeated:
    """A number of pieces per row.

    Attributes:
        counts: The number of pieces of each row [rows].
        ids: The fragments of the pieces [sum of counts, fragments of one piece].
    """

    counts: NDArray[np.int64]
    ids: Ids


# A fragment for all rows, one per row [rows], several per row [rows, k], or any number per row.
Piece = int | Ids | Repeated


@dataclass(frozen=True, slots=True)
class Texts:
    """The concatenated texts of rows: row r is data[offsets[r]:offsets[r + 1]]."""

    data: pa.Buffer
    offsets: NDArray[np.int64]

    def strings(self, present: NDArray[np.bool_] | None = None) -> pa.Array:
        """Return the rows as an Arrow array of strings, null where `present` is false."""
        offsets = pa.py_buffer(self.offsets.astype(np.int32))
        array = pa.Array.from_buffers(pa.string(), len(self.offsets) - 1, [None, offsets, self.data])
        return array if present is None else pc.if_else(pa.array(present), array, None)


class Fragments:
    """All fragments of a world. Fragments are added while the world is built and joined afterwards."""

    def __init__(self) -> None:
        """Create a collection with only the empty fragment."""
        self._texts: list[bytes] = [b""]
        self._known: dict[bytes, int] = {b"": EMPTY}
        self._pool: pa.Array | None = None
        self._lengths = np.zeros(1, np.int64)

    def add(self, text: str | bytes) -> int:
        """Return the id of a text; a new text is added."""
        raw = text.encode() if isinstance(text, str) else text
        number = self._known.setdefault(raw, len(self._texts))
        if number == len(self._texts):
            self._texts.append(raw)
            self._pool = None
        return number

    def add_all(self, texts: Iterable[str | bytes]) -> Ids:
        """Return the ids of texts; new texts are added."""
        return np.array([self.add(text) for text in texts], np.int32)

    def add_json(self, text: str) -> int:
        """Return the id of a text as it is written within a JSON string."""
        return self.add(json_text(text))

    def text(self, number: int) -> str:
        """Return a fragment's text."""
        return self._texts[number].decode()

    def lengths(self, ids: Ids) -> NDArray[np.int64]:
        """Return the bytes of fragments."""
        self._freeze()
        return self._lengths[ids]

    def _freeze(self) -> pa.Array:
        if self._pool is None:
            self._pool = pa.array(self._texts, pa.binary())
            self._lengths = np.array([len(text) for text in self._texts], np.int64)
        return self._pool

    def join(self, rows: int, pieces: Sequence[Piece]) -> Texts:
        """Return the texts of rows.

        Args:
            rows: The number of rows.
            pieces: The pieces of every row, in order.
        """
        pool = self._freeze()
        flat, starts = _flattened(rows, pieces)
        joined = pool.take(pa.array(flat))
        ends = np.frombuffer(joined.buffers()[1], np.int32, len(flat) + 1)
        return Texts(joined.buffers()[2], ends[starts].astype(np.int64))


def _flattened(rows: int, pieces: Sequence[Piece]) -> tuple[Ids, NDArray[np.int64]]:
    """Return (the fragments of all rows in order, the start of each row's fragments [rows + 1])."""
    groups: list[Ids | Repeated] = []
    fixed: list[Ids] = []

    def close() -> None:
        if fixed:
            groups.append(np.concatenate(fixed, axis=1))
            fixed.clear()

    for piece in pieces:
        if isinstance(piece, Repeated):
            close()
            groups.append(piece)
        elif isinstance(piece, int):
            fixed.append(np.full((rows, 1), piece, np.int32))
        else:
            fixed.append(piece.reshape(rows, -1).astype(np.int32, copy=False))
    close()
    if len(groups) == 1 and not isinstance(groups[0], Repeated):
        return groups[0].ravel(), np.arange(rows + 1) * groups[0].shape[1]
    lengths = np.zeros(rows, np.int64)
    for group in groups:
        lengths += group.counts * group.ids.shape[1] if isinstance(group, Repeated) else group.shape[1]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    flat = np.empty(starts[-1], np.int32)
    at = starts[:-1].copy()
    for group in groups:
        if isinstance(group, Repeated):
            width = group.ids.shape[1]
            first = np.repeat(at, group.counts) + within(group.counts) * width
            flat[first[:, None] + np.arange(width)] = group.ids
            at += group.counts * width
        else:
            flat[at[:, None] + np.arange(group.shape[1])] = group
            at += group.shape[1]
    return flat, starts


def owners(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the row of each repeated piece."""
    return np.repeat(np.arange(len(counts)), counts)


def within(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the position, from 0, of each repeated piece within its row."""
    return np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
