"""Find near-duplicate titles and texts: MinHash finds candidates, the Jaccard similarity of word sets decides.

A text is compared as the set of its words (compatibility form, case-folded, no punctuation), since titles list
properties in any order. In scripts without blanks n-grams of characters stand for words (`text.words`).

Signatures of MinHash values (rensa, one seed) are cut into bands; texts that agree on a band are candidates (Broder,
1997; Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3). The number of bands is such that a pair
exactly at the required similarity is found with probability RECALL; more similar pairs are found with a higher one.
Every candidate is verified on the words, so no pair below the similarity is returned.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, log

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from mmecinstruct.duplicates.edges import thinned
from mmecinstruct.duplicates.runs import Positions, pairs_in_runs, ranges, run_starts
from mmecinstruct.text.words import tokens

# Seed of the MinHash permutations.
SEED = 20_170_337
# Probability of finding a pair that is exactly at the required similarity.
RECALL = 0.999
# MinHash values per band: more of them give fewer candidates but more values to compute.
ROWS = 4

# Near texts of a text of which all pairs are kept: at least MOST_NEAR, more where that makes at most MOST_PAIRS.
MOST_NEAR = 32
MOST_PAIRS = 1 << 18

_SIGNATURES_AT_ONCE = 1 << 14

Similarities = NDArray[np.float64]


def title_words(title: str) -> list[str]:
    """Return the distinct words by which a title is compared, sorted."""
    return sorted(set(tokens(title)))


def near_texts(texts: Sequence[str], similarity: float) -> tuple[Positions, Similarities]:
    """Return pairs of texts whose word sets have a Jaccard similarity of at least `similarity`.

    Of texts with equal words each is paired with the first of them, and only the first with others. So the pairs are
    edges whose connected components are the clusters, and a title of ten thousand products does not make fifty million
    pairs. Nor do ten thousand titles of one pattern: of a text with very many near ones a part of its pairs is left
    out, by hash, without parting a component (`edges.thinned`). A text without words is in no pair.

    Args:
        texts: The texts.
        similarity: Least Jaccard similarity, above 0.5 and at most 1.

    Returns:
        Pairs [m, 2] int64 of positions i < j, sorted, and their similarities [m].

    Raises:
        ValueError: The similarity is out of range.
    """
    sets = _WordSets.of(texts, similarity)
    kept, equal = sets.without_repeats()
    found = _verified(kept, kept, similarity, _candidates(kept, None, similarity))
    pairs, values = thinned(found, kept.contents(), max(MOST_NEAR, MOST_PAIRS // max(len(kept.rows), 1)))
    pairs = np.concatenate([equal, np.sort(kept.rows[pairs], axis=1)])
    return _sorted(pairs, np.concatenate([np.ones(len(equal)), values]))


def near_texts_between(
    left: Sequence[str], right: Sequence[str], similarity: float
) -> tuple[Positions, Similarities]:
    """Return all pairs of a left and a right text whose word sets have at least the Jaccard similarity.

    Args:
        left: Texts, each best given once, since every pair is returned.
        right: Texts, each best given once.
        similarity: Least Jaccard similarity, above 0.5 and at most 1.

    Returns:
        Pairs [m, 2] int64 (position in left, position in right), sorted, and their similarities [m].

    Raises:
        ValueError: The similarity is out of range.
    """
    vocabulary: dict[str, int] = {}
    sets = _WordSets.of(left, similarity, vocabulary)
    others = _WordSets.of(right, similarity, vocabulary)
    found = [*_verified(sets, others, similarity, _candidates(sets, others, similarity))]
    pairs = np.concatenate([np.empty((0, 2), np.int64), *(pairs for pairs, _ in found)])
    similarities = np.concatenate([np.empty(0), *(values for _, values in found)])
    return _sorted(np.stack([sets.rows[pairs[:, 0]], others.rows[pairs[:, 1]]], axis=1), similarities)


def word_similarity(one: str, other: str) -> float:
    """Return the Jaccard similarity of two texts' word sets, 0 to 1; 0 where both have no word."""
    a, b = set(title_words(one)), set(title_words(other))
    return len(a & b) / len(a | b) if a or b else 0.0


def _sorted(pairs: Positions, similarities: Similarities) -> tuple[Positions, Similarities]:
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return pairs[order], similarities[order]


@dataclass(frozen=True, slots=True)
class _WordSets:
    """Concatenated sets of word numbers: set s is words[starts[s]:starts[s] + sizes[s]], ascending.

    rows: the position of each set's text. sketches: one 64-bit number per set, with a bit for each word's hash.
    """

    words: Positions
    starts: Positions
    sizes: Positions
    rows: Positions
    sketches: NDArray[np.uint64]
    # Of the words, by number.
    hashes: NDArray[np.uint64]

    @classmethod
    def of(
        cls, texts: Sequence[str], similarity: float, vocabulary: dict[str, int] | None = None
    ) -> _WordSets:
        """Return the word sets of the texts that have words; new words are added to `vocabulary`."""
        if not 0.5 < similarity <= 1:
            raise ValueError(f"a similarity of {similarity} is not above 0.5 and at most 1")
        numbers = {} if vocabulary is None else vocabulary
        words, sizes = array("q"), array("q")
        for text in texts:
            found = {numbers.setdefault(word, len(numbers)) for word in tokens(text)}
            words.extend(sorted(found))
            sizes.append(len(found))
        counts = np.array(sizes, np.int64)
        rows = np.flatnonzero(counts)
        counts = counts[rows]
        # Hashes of the words, not of their numbers, so that other texts change nothing.
        hashes = np.frombuffer(
            b"".join(
                hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
                for word in numbers
            ),
            "<u8",
        )
        flat = np.array(words, np.int64)
        starts = np.cumsum(counts) - counts
        bits = np.uint64(1) << (hashes[flat] & np.uint64(63))
        sketches = np.bitwise_or.reduceat(bits, starts) if len(rows) else np.empty(0, np.uint64)
        return cls(flat, starts, counts, rows, sketches, hashes)

    def without_repeats(self) -> tuple[_WordSets, Positions]:
        """Return the sets without those equal to an earlier one, and pairs (first text, repeating text)."""
        first: dict[bytes, int] = {}
        kept, pairs = [], []
        for number, (start, size, row) in enumerate(
            zip(self.starts.tolist(), self.sizes.tolist(), self.rows.tolist(), strict=True)
        ):
            earlier = first.setdefault(self.words[start : start + size].tobytes(), row)
            if earlier == row:
                kept.append(number)
            else:
                pairs.append((earlier, row))
        return self.subset(np.array(kept, np.int64)), np.array(pairs, np.int64).reshape(-1, 2)

    def subset(self, kept: Positions) -> _WordSets:
        """Return some of the sets; they share the array of words."""
        return _WordSets(
            self.words, self.starts[kept], self.sizes[kept], self.rows[kept], self.sketches[kept], self.hashes
        )

    def contents(self) -> NDArray[np.uint64]:
        """Return a hash of each set's words [sets]."""
        sums = np.concatenate([[np.uint64(0)], np.cumsum(self.hashes[self.words])])
        return sums[self.starts + self.sizes] - sums[self.starts]

    def signatures(self, values: int) -> Iterator[NDArray[np.uint32]]:
        """Yield MinHash signatures [some sets, values], set by set."""
        for begin in range(0, len(self.rows), _SIGNATURES_AT_ONCE):
            sizes = self.sizes[begin : begin + _SIGNATURES_AT_ONCE]
            positions = np.concatenate(
                [position for _, position in ranges(self.starts[begin : begin + len(sizes)], sizes)]
            )
            matrix = RMinHash.digest_matrix_from_flat_token_hashes(
                self.hashes[self.words[positions]],
                np.concatenate([[0], np.cumsum(sizes)]).astype(np.uint64),
                values,
                SEED,
            )
            yield np.array(matrix.to_rows(), np.uint32)


def bands_for(similarity: float) -> int:
    """Return the number of bands of ROWS values that find a pair of this similarity with probability RECALL."""
    agree = similarity**ROWS
    return 1 if agree >= RECALL else ceil(log(1 - RECALL) / log(1 - agree))


def _band_keys(sets: _WordSets, bands: int) -> NDArray[np.uint64]:
    """Return [bands, sets]: one number for the values of a band. Collisions are harmless: words are compared later."""
    keys = np.empty((bands, len(sets.rows)), np.uint64)
    begin = 0
    for signatures in sets.signatures(bands * ROWS):
        values = signatures.reshape(len(signatures), bands, ROWS).astype(np.uint64)
        mixed = np.zeros(values.shape[:2], np.uint64)
        for row in range(ROWS):
            mixed = (mixed ^ values[:, :, row]) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(29)
        keys[:, begin : begin + len(signatures)] = mixed.T
        begin += len(signatures)
    return keys


def _candidates(
    left: _WordSets, right: _WordSets | None, similarity: float
) -> Iterator[tuple[Positions, Positions]]:
    """Yield pairs of sets that agree on a band and may be similar enough, each once; `right` None: within `left`."""
    if len(left.rows) == 0 or (right is not None and len(right.rows) == 0):
        return
    others = left if right is None else right
    keys = _band_keys(left, bands_for(similarity))
    other_keys = keys if right is None else _band_keys(right, bands_for(similarity))
    for band in range(len(keys)):
        for a, b in _agreeing(keys[band], None if right is None else other_keys[band]):
            possible = _may_be_similar(left, others, a, b, similarity)
            a, b = a[possible], b[possible]
            # A pair that agrees on an earlier band was yielded there.
            for earlier in range(band):
                if len(a) == 0:
                    break
                new = keys[earlier, a] != other_keys[earlier, b]
                a, b = a[new], b[new]
            if len(a):
                yield a, b


def _agreeing(
    keys: NDArray[np.uint64], other_keys: NDArray[np.uint64] | None
) -> Iterator[tuple[Positions, Positions]]:
    """Yield all pairs of positions with equal keys, within one list or between two, in pieces."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = run_starts(ordered)
    if other_keys is None:
        for a, b in pairs_in_runs(starts, len(ordered)):
            yield order[a], order[b]
        return
    other_order = np.argsort(other_keys, kind="stable")
    other_ordered = other_keys[other_order]
    first = np.searchsorted(other_ordered, ordered, side="left")
    counts = np.searchsorted(other_ordered, ordered, side="right") - first
    for a, b in ranges(first, counts):
        yield order[a], other_order[b]


def _may_be_similar(
    left: _WordSets, right: _WordSets, a: Positions, b: Positions, similarity: float
) -> NDArray[np.bool_]:
    """Return which pairs can reach the similarity, by a cheap test that loses none.

    Sets of x and y words with Jaccard similarity of at least t differ in at most (x + y)(1 - t)/(1 + t) words, and
    every bit in which their sketches differ comes from a word that only one of them has.
    """
    differing = (left.sizes[a] + right.sizes[b]) * ((1 - similarity) / (1 + similarity)) + 1e-9
    return np.bitwise_count(left.sketches[a] ^ right.sketches[b]) <= differing


def _verified(
    left: _WordSets, right: _WordSets, similarity: float, candidates: Iterator[tuple[Positions, Positions]]
) -> Iterator[tuple[Positions, Similarities]]:
    """Yield the candidates whose word sets have at least the similarity, and the similarity."""
    vocabulary = max(len(left.hashes), len(right.hashes), 1)
    members = _memberships(right, vocabulary)
    for a, b in candidates:
        common = np.zeros(len(a), np.int64)
        for pair, position in ranges(left.starts[a], left.sizes[a]):
            wanted = b[pair] * vocabulary + left.words[position]
            at = np.minimum(np.searchsorted(members, wanted), len(members) - 1)
            common += np.bincount(pair[members[at] == wanted], minlength=len(a))
        values = common / (left.sizes[a] + right.sizes[b] - common)
        similar = values >= similarity - 1e-9
        if similar.any():
            yield np.stack([a[similar], b[similar]], axis=1), values[similar]


def _memberships(sets: _WordSets, vocabulary: int) -> Positions:
    """Return set * vocabulary + word for every word of every set, ascending."""
    pieces = [row * vocabulary + sets.words[position] for row, position in ranges(sets.starts, sets.sizes)]
    return np.concatenate([np.empty(0, np.int64), *pieces])
