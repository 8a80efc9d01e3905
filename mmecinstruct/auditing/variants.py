"""Find titles that differ in few words: variants of one article, where the source does not say which they are.

This is a ruler of its own: no word lists, as the build has them, and no brand. Two titles are those of variants where
each has at most two words that the other lacks, and they have at least MIN_COMMON words in common. But such words
often name another article ("Hero Hoodie-XS", "Oslo Hoodie-XS") or kind of product ("Rain Jacket", "Garden Glove"). So
two words count only where they recur over articles as sizes and colours do: in more titles than the rarest word that
both have. One word counts also where it is a number or the last one, or as rare as the others.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmecinstruct.auditing.keys import VARIANT
from mmecinstruct.auditing.near_duplicates import LINKS

MIN_COMMON = 3
# Sizes and colours recur in more titles than an article's own words, by this factor.
MORE_FREQUENT = 1.5
# Longer titles that differ in so few words are near titles (`title_near`).
MAX_WORDS = 24
# Earlier titles that are linked to a later one. More of them are one pattern of titles, and the finding is the same.
MAX_LINKS = 50


def title_variants(earlier: pa.Table, later: pa.Table, similarity: float) -> pa.Table:
    """Return LINKS of titles that differ in at most two words on either side; equal and near ones are left out.

    Args:
        earlier: Columns key and words (normalised) of the earlier splits' titles, each once.
        later: The same of the later split.
        similarity: The Jaccard similarity from which titles are near: `title_near` has them.
    """
    keys, words = earlier["key"].to_pylist(), earlier["words"].to_pylist()
    parts_of = [_parts(text) for text in words]
    positions = np.repeat(np.arange(len(words)), [len(parts) for parts in parts_of])
    parts = np.concatenate([np.empty(0, np.uint64), *parts_of])
    order = np.lexsort((positions, parts))
    positions, parts = positions[order], parts[order]
    frequency = Counter(word for text in {*words, *later["words"].to_pylist()} for word in set(text.split()))
    rows = []
    for key, text in zip(later["key"].to_pylist(), later["words"].to_pylist(), strict=True):
        mine = _parts(text)
        starts, ends = np.searchsorted(parts, mine), np.searchsorted(parts, mine, side="right")
        found = {one for a, b in zip(starts, ends, strict=True) if a < b for one in positions[a:b].tolist()}
        others = sorted(keys[one] for one in found if _are_variants(words[one], text, similarity, frequency))
        rows += [{"kind": VARIANT, "left": other, "right": key, "detail": ""} for other in others[:MAX_LINKS]]
    return pa.Table.from_pylist(rows, schema=LINKS)


def _are_variants(one: str, other: str, similarity: float, frequency: Mapping[str, int]) -> bool:
    """Return whether two titles that differ in at most two words on either side are those of variants."""
    a, b = set(one.split()), set(other.split())
    if len(a & b) >= similarity * len(a | b):
        return False
    frequencies = [frequency[word] for word in a ^ b]
    rarest = min(frequency[word] for word in a & b)
    if max(len(a - b), len(b - a)) > 1:
        return min(frequencies) >= MORE_FREQUENT * rarest
    if all(word[0].isdigit() for word in a ^ b) or one.split()[:-1] == other.split()[:-1]:
        return True
    # Both titles have the common words.
    return min(frequencies) >= rarest - 1


def _parts(text: str) -> NDArray[np.uint64]:
    """Return a number for the set of a text's words, and for each part of it without one or two of them.

    The number of a set is the sum of its words' hashes. Parts of fewer than MIN_COMMON words are left out.
    """
    words = sorted(set(text.split()))
    if not MIN_COMMON <= len(words) <= MAX_WORDS:
        return np.empty(0, np.uint64)
    digests = (
        hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest() for word in words
    )
    hashes = np.frombuffer(b"".join(digests), "<u8")
    lacking = [np.zeros(1, np.uint64)]
    if len(words) - 1 >= MIN_COMMON:
        lacking.append(hashes)
    if len(words) - 2 >= MIN_COMMON:
        one, other = _pairs(len(words))
        lacking.append(hashes[one] + hashes[other])
    return hashes.sum() - np.concatenate(lacking)


@functools.cache
def _pairs(size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.triu_indices(size, 1)
