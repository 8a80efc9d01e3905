"""Find the samples of a later split that hold what selected samples of earlier splits hold.

A sample meets an earlier one, of any task, where they share a text of the same words, at least half of a text's grams
(8 words in a row; of shorter texts equality decides), an image of the same pixels, or an image whose dHash differs in
at most 4 of 64 bits, unless the pHash differs in more than 16: then it shows something else. Samples of users meet
where they have the same input or the same user.

Grams are compared exactly. A text that shares h of its n grams with another one shares at least one of any n - h + 1 of
them; so only texts with one of its n - h + 1 rarest grams are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmecinstruct.duplicates.hash_index import iterate_matches_between
from mmecinstruct.duplicates.runs import ranges
from mmecinstruct.splits.contents import GRAM, IMAGE, INPUT, TEXT, USER, Contents, Hashes, Rows

Numbers = NDArray[np.int64] | NDArray[np.uint64]

DHASH_BITS = 4
# On white ground dHashes of unrelated images are near too; their pHashes then differ in more bits than this.
PHASH_BITS = 16
# Beyond the kinds of equal keys. A sample has one reason, that of the smallest kind.
_GRAMS, _NEAR_IMAGE = USER + 1, USER + 2
_SHARED = {
    TEXT: "a text of the same words",
    IMAGE: "the same image",
    INPUT: "the same input",
    USER: "the same user",
    _GRAMS: f"half of the sequences of {GRAM} words of a text",
    _NEAR_IMAGE: f"an image whose dHash differs in at most {DHASH_BITS} bits",
}
# Holders of a gram that are compared before all of them.
_FIRST_HOLDERS = 64
_NONE = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Meeting:
    """What a sample shares with an earlier one.

    Attributes:
        shared: In words.
        other: The name of the earlier sample, as it was given.
    """

    shared: str
    other: str


class Held:
    """What the selected samples of the earlier splits hold."""

    def __init__(self) -> None:
        self._parts: list[Contents] = []
        self._sizes: list[int] = []
        self._names: list[str] = []

    def add(self, contents: Contents, names: Sequence[str]) -> None:
        """Add selected samples; names: what a person finds each of them by."""
        self._parts.append(contents)
        self._sizes.append(len(names))
        self._names += names

    def find(self, candidates: Contents, size: int) -> list[Meeting | None]:
        """Return what each candidate shares with an earlier sample; None where nothing.

        Args:
            candidates: The contents of the candidates.
            size: The number of candidates.
        """
        if not self._parts:
            return [None] * size
        held = Contents.joined(self._parts, self._sizes)
        kinds, others = np.full(size, _NEAR_IMAGE + 1), np.full(size, _NONE)
        _note(kinds, others, *_equal_keys(held, candidates))
        # Texts of candidates that meet an earlier sample anyway need no further look.
        texts, held_texts = _near_texts(held, candidates, kinds[candidates.text_rows] > _GRAMS)
        _note(kinds, others, _GRAMS, candidates.text_rows[texts], held.text_rows[held_texts])
        _note(kinds, others, _NEAR_IMAGE, *_near_images(held, candidates))
        return [
            Meeting(_SHARED[kind], self._names[other]) if other != _NONE else None
            for kind, other in zip(kinds.tolist(), others.tolist(), strict=True)
        ]


def _note(kinds: Rows, others: Rows, found: Rows | int, rows: Rows, held_rows: Rows) -> None:
    """Note meetings of candidates and earlier samples: of each candidate the smallest kind and, of it, sample."""
    found = np.broadcast_to(found, rows.shape)
    order = np.lexsort((held_rows, found, rows))
    rows, found, held_rows = rows[order], found[order], held_rows[order]
    first = np.ones(len(rows), np.bool_)
    first[1:] = rows[1:] != rows[:-1]
    rows, found, held_rows = rows[first], found[first], held_rows[first]
    better = found < kinds[rows]
    kinds[rows[better]], others[rows[better]] = found[better], held_rows[better]


def _equal_keys(held: Contents, mine: Contents) -> tuple[Rows, Rows, Rows]:
    """Return kind, candidate and earlier sample of equal keys; of equal keys the first earlier sample."""
    known, first = np.unique(held.keys, return_index=True)
    equal, at = _positions(known, mine.keys)
    return mine.kinds[equal].astype(np.int64), mine.key_rows[equal], held.key_rows[first[at]]


def _positions(known: Numbers, values: Numbers) -> tuple[Rows, Rows]:
    """Return which values are among the known ones (ascending, each once), and where."""
    if not len(known):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    found = np.flatnonzero(known[at] == values)
    return found, at[found]


def _near_texts(held: Contents, mine: Contents, wanted: NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """Return pairs of a candidate's text and an earlier one that has at least half of its grams, one a text.

    Args:
        held: The earlier samples.
        mine: The candidates.
        wanted: Which texts of the candidates are looked at.
    """
    vocabulary, numbers = np.unique(held.grams, return_inverse=True)
    # Of each gram the texts that have it, in their order.
    order = np.argsort(numbers, kind="stable")
    holders = held.owners[order]
    frequencies = np.bincount(numbers, minlength=len(vocabulary))
    begins = np.cumsum(frequencies) - frequencies

    known, gram = _positions(vocabulary, mine.grams)
    text = mine.owners[known]
    inside = wanted[text]
    text, gram = text[inside], gram[inside]
    needed = (mine.gram_counts + 1) // 2
    met = np.full(len(mine.text_rows), _NONE)
    # Most texts that meet another one share half of their grams with the first holders of these.
    _meet(met, needed, *_counted(text, holders[begins[gram]], len(held.text_rows)))

    unmet = met[text] == _NONE
    text, gram = text[unmet], gram[unmet]
    # Grams that no earlier text has are the rarest of all.
    sizes = np.bincount(text, minlength=len(met))
    rarest = np.lexsort((frequencies[gram], text))
    rank = np.arange(len(text)) - (np.cumsum(sizes) - sizes)[text] + (mine.gram_counts - sizes)[text]
    looked = rarest[rank <= (mine.gram_counts // 2)[text]]
    members = np.sort(held.owners * len(vocabulary) + numbers)
    starts, ends = np.searchsorted(text, np.arange(len(met))), np.cumsum(sizes)
    # Of grams that very many texts have, such as a seller's phrases, the first holders suffice for most texts.
    for most in (_FIRST_HOLDERS, len(holders)):
        looked = looked[met[text[looked]] == _NONE]
        counts = np.minimum(frequencies[gram[looked]], most)
        for row, holder in ranges(begins[gram[looked]], counts):
            left, right, _ = _counted(text[looked[row]], holders[holder], len(held.text_rows))
            # A text of fewer grams than are needed cannot share them.
            open_ = (met[left] == _NONE) & (held.gram_counts[right] >= needed[left])
            left, right = left[open_], right[open_]
            shared = np.zeros(len(left), np.int64)
            for pair, place in ranges(starts[left], ends[left] - starts[left]):
                hit, _ = _positions(members, right[pair] * len(vocabulary) + gram[place])
                shared += np.bincount(pair[hit], minlength=len(left))
            _meet(met, needed, left, right, shared)
    found = np.flatnonzero(met != _NONE)
    return found, met[found]


def _counted(left: Rows, right: Rows, size: int) -> tuple[Rows, Rows, Rows]:
    """Return distinct pairs, `right` below `size`, and how often each occurs."""
    pairs, counts = np.unique(left * size + right, return_counts=True)
    return pairs // max(size, 1), pairs % max(size, 1), counts


def _meet(met: Rows, needed: Rows, left: Rows, right: Rows, shared: Rows) -> None:
    """Note the first earlier text of each candidate's text with as many shared grams as needed."""
    enough = shared >= needed[left]
    np.minimum.at(met, left[enough], right[enough])


def _near_images(held: Contents, mine: Contents) -> tuple[Rows, Rows]:
    """Return candidates and the first earlier sample with an image that is near to one of theirs."""
    known, first, _ = _distinct(held)
    values, _, inverse = _distinct(mine)
    nearest = np.full(len(values), _NONE)
    for pairs, _ in iterate_matches_between(values[:, 0].copy(), known[:, 0].copy(), DHASH_BITS):
        left, right = pairs[:, 0], pairs[:, 1]
        near = np.bitwise_count(values[left, 1] ^ known[right, 1]) <= PHASH_BITS
        np.minimum.at(nearest, left[near], held.image_rows[first[right[near]]])
    other = nearest[inverse]
    found = np.flatnonzero(other != _NONE)
    return mine.image_rows[found], other[found]


def _distinct(contents: Contents) -> tuple[Hashes, Rows, Rows]:
    """Return the distinct pairs of dHash and pHash [n, 2], where each occurs first, and the pair of each image."""
    pairs = np.stack([contents.dhashes, contents.phashes], axis=1)
    distinct, first, inverse = np.unique(pairs, axis=0, return_index=True, return_inverse=True)
    return distinct, first, inverse.reshape(-1)
