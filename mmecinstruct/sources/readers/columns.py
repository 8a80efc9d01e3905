"""Clean values a column at a time: which of them need it is told from the whole column.

Most texts are printable ASCII without markup, references or superfluous blanks, and cleaning leaves them as they are;
most ids, ratings and times are of the usual type. Only the others are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmecinstruct.sources.readers.fields import MILLISECONDS_FROM
from mmecinstruct.text.normalise import html_to_text, is_code, is_markup

Found = NDArray[np.bool_]

_STARS: dict[object, int] = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5}
_SLICE_BYTES = 256 * 1024  # what is worked out of more does not stay in the caches of a core
_BLANK, _TILDE, _AMPERSAND, _LESS_THAN = b" ~&<"


def untidy(texts: pa.StringArray) -> Found:
    """Tell of each text, none of which is null, whether `text.html_to_text` could change it.

    It cannot where all is printable ASCII without `<` and `&`, no two blanks in a row and none at the ends.
    """
    found = np.zeros(len(texts), dtype=bool)
    bounds = _bounds(texts)
    if bounds[0] == bounds[-1]:
        return found
    data = np.frombuffer(texts.buffers()[2], np.uint8)[bounds[0] : bounds[-1]]
    starts, ends = bounds[:-1] - bounds[0], bounds[1:] - bounds[0]
    for begin in range(0, len(data), _SLICE_BYTES):
        # One byte of the slice before, as two blanks in a row may be cut apart.
        first = max(0, begin - 1)
        part = data[first : begin + _SLICE_BYTES]
        blank = part == _BLANK
        # Below zero bytes go on from 255 downwards, so this finds control characters and all that is not ASCII.
        odd = part - _BLANK > _TILDE - _BLANK
        odd |= part == _AMPERSAND
        odd |= part == _LESS_THAN
        odd[1:] |= blank[1:] & blank[:-1]  # also of two texts, the second of which then begins with one
        found[np.searchsorted(ends, np.flatnonzero(odd) + first, side="right")] = True
    filled = np.flatnonzero(starts < ends)
    found[filled] |= (data[starts[filled]] == _BLANK) | (data[ends[filled] - 1] == _BLANK)
    return found


def _bounds(texts: pa.StringArray) -> NDArray[np.int32]:
    """Return where each text begins and, last, where the last one ends."""
    if not len(texts):
        return np.zeros(1, np.int32)
    return np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]


def shown_texts(texts: Sequence[str]) -> pa.Array:
    """Return `text.html_to_text` of each text. None may hold a lone surrogate."""
    array = pa.array(texts, pa.string())
    found = untidy(array)
    places = np.flatnonzero(found)
    if not len(places):
        return array
    shown = pa.array([html_to_text(texts[place]) for place in places.tolist()], pa.string())
    return pc.replace_with_mask(array, pa.array(found), shown)


def descriptions(values: Sequence[object]) -> pa.Array:
    """Return `text.description_text` of each value."""
    return pc.binary_join(_kept_parts(values, (b"{", b"getTime"), is_code), " ")


def points(values: Sequence[object]) -> pa.Array:
    """Return `text.feature_texts` of each value."""
    return _kept_parts(values, (b"<", b"{", b"/>", b"getTime"), is_markup)


def _kept_parts(
    values: Sequence[object], marks: tuple[bytes, ...], unwanted: Callable[[str], bool]
) -> pa.Array:
    """Return the shown texts of each value, a text or a list of texts; without empty and unwanted ones.

    marks: one of these is in each unwanted text.
    """
    lists = [value if type(value) is list else [value] for value in values]
    parts = list(chain.from_iterable(lists))
    if not set(map(type, parts)) <= {str}:
        lists = [[part for part in parts if isinstance(part, str)] for parts in lists]
        parts = list(chain.from_iterable(lists))
    bounds = np.zeros(len(lists) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, lists), np.int64, len(lists)), out=bounds[1:])
    texts = shown_texts(parts)
    wanted = np.diff(_bounds(texts)) > 0
    for place in _places_with(texts, marks):
        wanted[place] &= not unwanted(texts[place].as_py())
    if not wanted.all():
        texts = texts.filter(pa.array(wanted))
        bounds = np.concatenate([[0], np.cumsum(wanted)])[bounds]
    return pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), texts)


def plain_ids(values: Sequence[object]) -> tuple[pa.Array, Found]:
    """Return ids, and which are a text that `fields.text_value` leaves as it is; in the place of others is any text."""
    if set(map(type, values)) != {str}:
        values = [value if type(value) is str else "" for value in values]
    array = pa.array(values, pa.string())
    return array, ~untidy(array) & (np.diff(_bounds(array)) > 0)


def usual_ratings(values: Sequence[object]) -> NDArray[np.int8]:
    """Return ratings of 1 to 5 stars that are numbers; 0 for all else."""
    if not set(map(type, values)) <= {float, int}:
        values = [value if type(value) in (float, int) else 0 for value in values]
    return np.array([_STARS.get(value, 0) for value in values], np.int8)


def usual_seconds(values: Sequence[object]) -> NDArray[np.int64]:
    """Return times that are whole seconds since 1970; -1 for all else."""
    return np.array(
        [value if type(value) is int and 0 <= value < MILLISECONDS_FROM else -1 for value in values], np.int64
    )


def _places_with(texts: pa.StringArray, marks: Sequence[bytes]) -> list[int]:
    """Return the places of texts with one of the marks, and maybe of some that end in the beginning of one."""
    bounds = _bounds(texts)
    if bounds[0] == bounds[-1]:
        return []
    data = texts.buffers()[2][int(bounds[0]) : int(bounds[-1])].to_pybytes()
    found: list[int] = []
    for mark in marks:
        place = data.find(mark)
        while place >= 0:
            found.append(place)
            place = data.find(mark, place + 1)
    return np.unique(np.searchsorted(bounds[1:] - bounds[0], found, side="right")).tolist()
