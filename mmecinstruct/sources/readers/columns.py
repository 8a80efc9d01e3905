"""Clean values a column at a time.

Most texts are printable ASCII without markup, character references or superfluous blanks, and need no cleaning; most
ids, ratings and times have the usual type. Vectorised checks find the others, and only these are cleaned one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmecinstruct.sources.readers.times import FIRST, MILLISECONDS_FROM
from mmecinstruct.text.normalise import html_to_text, is_code, is_markup

Found = NDArray[np.bool_]

_STARS: dict[object, int] = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5}
# Intermediate arrays of larger slices do not fit into the CPU caches.
_SLICE_BYTES = 256 * 1024
_BLANK, _TILDE, _AMPERSAND, _LESS_THAN = b" ~&<"


def needs_cleaning(texts: pa.StringArray) -> Found:
    """Return for each text whether `normalise.html_to_text` could change it.

    It cannot change printable ASCII without `<` and `&`, without two blanks in a row and without blanks at the ends.

    Args:
        texts: Texts, without nulls.
    """
    found = np.zeros(len(texts), dtype=bool)
    bounds = _bounds(texts)
    if bounds[0] == bounds[-1]:
        return found
    data = np.frombuffer(texts.buffers()[2], np.uint8)[bounds[0] : bounds[-1]]
    starts, ends = bounds[:-1] - bounds[0], bounds[1:] - bounds[0]
    for begin in range(0, len(data), _SLICE_BYTES):
        # Include the last byte of the previous slice: two blanks in a row may be split by the cut.
        first = max(0, begin - 1)
        part = data[first : begin + _SLICE_BYTES]
        blank = part == _BLANK
        # Unsigned bytes wrap below zero, so this finds control characters and everything that is not ASCII.
        odd = part - _BLANK > _TILDE - _BLANK
        odd |= part == _AMPERSAND
        odd |= part == _LESS_THAN
        # A pair of blanks may span two texts; the second then begins with a blank and needs cleaning anyway.
        odd[1:] |= blank[1:] & blank[:-1]
        found[np.searchsorted(ends, np.flatnonzero(odd) + first, side="right")] = True
    filled = np.flatnonzero(starts < ends)
    found[filled] |= (data[starts[filled]] == _BLANK) | (data[ends[filled] - 1] == _BLANK)
    return found


def _bounds(texts: pa.StringArray) -> NDArray[np.int32]:
    """Return the byte offset of each text and, last, the end of the last one."""
    if not len(texts):
        return np.zeros(1, np.int32)
    return np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]


def cleaned_texts(texts: Sequence[str]) -> pa.Array:
    """Return `normalise.html_to_text` of each text. No text may hold a lone surrogate."""
    array = pa.array(texts, pa.string())
    found = needs_cleaning(array)
    indices = np.flatnonzero(found)
    if not len(indices):
        return array
    shown = pa.array([html_to_text(texts[index]) for index in indices.tolist()], pa.string())
    return pc.replace_with_mask(array, pa.array(found), shown)


def description_column(values: Sequence[object]) -> pa.Array:
    """Return `normalise.description_text` of each value."""
    return pc.binary_join(_kept_parts(values, (b"{", b"getTime"), is_code), " ")


def feature_column(values: Sequence[object]) -> pa.Array:
    """Return `normalise.feature_texts` of each value."""
    return _kept_parts(values, (b"<", b"{", b"/>", b"getTime"), is_markup)


def _kept_parts(
    values: Sequence[object], substrings: tuple[bytes, ...], unwanted: Callable[[str], bool]
) -> pa.Array:
    """Return the cleaned texts of each value, without empty and unwanted ones.

    Args:
        values: Texts or lists of texts.
        substrings: Every unwanted text contains one of these.
        unwanted: Returns whether a text is left out.
    """
    lists = [value if type(value) is list else [value] for value in values]
    parts = list(chain.from_iterable(lists))
    if not set(map(type, parts)) <= {str}:
        lists = [[part for part in parts if isinstance(part, str)] for parts in lists]
        parts = list(chain.from_iterable(lists))
    bounds = np.zeros(len(lists) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, lists), np.int64, len(lists)), out=bounds[1:])
    texts = cleaned_texts(parts)
    wanted = np.diff(_bounds(texts)) > 0
    for index in _indices_with(texts, substrings):
        wanted[index] &= not unwanted(texts[index].as_py())
    if not wanted.all():
        texts = texts.filter(pa.array(wanted))
        bounds = np.concatenate([[0], np.cumsum(wanted)])[bounds]
    return pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), texts)


def plain_ids(values: Sequence[object]) -> tuple[pa.Array, Found]:
    """Return (ids, a mask of the texts that `fields.text_value` leaves unchanged). The other ids are undefined."""
    if set(map(type, values)) != {str}:
        values = [value if type(value) is str else "" for value in values]
    array = pa.array(values, pa.string())
    return array, ~needs_cleaning(array) & (np.diff(_bounds(array)) > 0)


def usual_ratings(values: Sequence[object]) -> NDArray[np.int8]:
    """Return ratings of 1 to 5 stars that are numbers; 0 for every other value."""
    if not set(map(type, values)) <= {float, int}:
        values = [value if type(value) in (float, int) else 0 for value in values]
    return np.array([_STARS.get(value, 0) for value in values], np.int8)


def usual_seconds(values: Sequence[object]) -> NDArray[np.int64]:
    """Return times that are whole seconds since 1970; -1 for every other value."""
    return np.array(
        [value if type(value) is int and FIRST <= value < MILLISECONDS_FROM else -1 for value in values],
        np.int64,
    )


def _indices_with(texts: pa.StringArray, substrings: Sequence[bytes]) -> list[int]:
    """Return the indices of texts with one of the substrings; a match across two texts counts for one of them."""
    bounds = _bounds(texts)
    if bounds[0] == bounds[-1]:
        return []
    data = texts.buffers()[2][int(bounds[0]) : int(bounds[-1])].to_pybytes()
    found: list[int] = []
    for substring in substrings:
        index = data.find(substring)
        while index >= 0:
            found.append(index)
            index = data.find(substring, index + 1)
    return np.unique(np.searchsorted(bounds[1:] - bounds[0], found, side="right")).tolist()
