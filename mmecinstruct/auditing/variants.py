"""Find titles that differ in few words: variants of one article, where the source does not say which they are.

This is a ruler of its own: no word lists, as the build has them, and no brand. Two titles of equally many words are
those of variants where at most two places have different words, and at least MIN_COMMON the same. But such words
often name another article ("Hero Hoodie-XS", "Oslo Hoodie-XS") or kind of product ("Rain Jacket", "Garden Glove"). So
they count only where they recur over articles as sizes and colours do: in MORE_FREQUENT times as many titles as the
rarest of the other words. One word counts also where it is a number or the last one.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Mapping
from itertools import islice

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmecinstruct.auditing.keys import VARIANT
from mmecinstruct.auditing.near_duplicates import LINKS

MAX_DIFFERENT = 2
MIN_COMMON = 3
MORE_FREQUENT = 1.5
# Longer titles that differ in so few words are near titles (`title_near`).
MAX_WORDS = 24
# Earlier titles that are linked to a later one. More of them are one pattern of titles, and the finding is the same.
MAX_LINKS = 50


def word_frequency(titles: pa.Table) -> Counter[str]:
    """Return the number of titles with each word. titles: column words, normalised."""
    return Counter(word for text in set(titles["words"].to_pylist()) for word in set(text.split()))


def title_variants(
    earlier: pa.Table, later: pa.Table, similarity: float, frequency: Mapping[str, int]
) -> pa.Table:
    """Return LINKS of titles that differ in at most MAX_DIFFERENT words; equal and near ones are left out.

    Args:
        earlier: Columns key and words (normalised) of the earlier splits' titles, each once.
        later: The same of the later split.
        similarity: The Jaccard similarity from which titles are near: `title_near` has them.
        frequency: The number of titles with each word, over all splits.
    """
    earlier = earlier.sort_by("key")
    keys, words = earlier["key"].to_pylist(), earlier["words"].to_pylist()
    parts_of = [_parts(text, frequency) for text in words]
    positions = np.repeat(np.arange(len(words)), [len(parts) for parts in parts_of])
    parts = np.concatenate([np.empty(0, np.uint64), *parts_of])
    order = np.lexsort((positions, parts))
    positions, parts = positions[order], parts[order]
    rows = []
    for key, text in zip(later["key"].to_pylist(), later["words"].to_pylist(), strict=True):
        mine = _parts(text, frequency)
        starts, ends = np.searchsorted(parts, mine), np.searchsorted(parts, mine, side="right")
        found = [positions[a:b] for a, b in zip(starts, ends, strict=True) if a < b]
        candidates = np.unique(np.concatenate(found)).tolist() if found else []
        others = (keys[one] for one in candidates if are_variants(words[one], text, similarity, frequency))
        rows += [
            {"kind": VARIANT, "left": other, "right": key, "detail": ""}
            for other in islice(others, MAX_LINKS)
        ]
    return pa.Table.from_pylist(rows, schema=LINKS)


def are_variants(one: str, other: str, similarity: float, frequency: Mapping[str, int]) -> bool:
    """Return whether two different titles, of words with one blank between them, are those of variants.

    Args:
        one: A title.
        other: Another title.
        similarity: The Jaccard similarity from which titles are near, and no variants.
        frequency: The number of titles with each word.
    """
    a, b = one.split(), other.split()
    places = [place for place, (left, right) in enumerate(zip(a, b, strict=False)) if left != right]
    if len(a) != len(b) or not 1 <= len(places) <= MAX_DIFFERENT or len(a) - len(places) < MIN_COMMON:
        return False
    common, differing = set(a) & set(b), set(a) ^ set(b)
    if len(common) >= similarity * len(common | differing):
        return False
    if len(places) == 1 and (places[0] == len(a) - 1 or all(word[0].isdigit() for word in differing)):
        return True
    rarest = min(frequency[word] for word in common)
    return all(frequency[word] >= MORE_FREQUENT * rarest for word in differing)


def _parts(text: str, frequency: Mapping[str, int]) -> NDArray[np.uint64]:
    """Return a number for the set of a text's words, and for each part of it without one or two that may differ.

    The number of a set is the sum of its words' hashes. Parts of fewer than MIN_COMMON words are left out, as are those
    whose lacking words can be no difference of variants (see `are_variants`): in patterned titles ("Case for phone X200
    red") everything but the rare name of the model would meet in all titles.
    """
    ordered = text.split()
    words = sorted(set(ordered))
    if not MIN_COMMON <= len(words) <= MAX_WORDS:
        return np.empty(0, np.uint64)
    digests = (
        hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest() for word in words
    )
    hashes = np.frombuffer(b"".join(digests), "<u8")
    counts = np.array([frequency[word] for word in words])
    ranks = np.argsort(np.argsort(counts, kind="stable"))
    rarest = np.sort(counts)[:3]
    lacking = [np.zeros(1, np.uint64)]
    if len(words) - 1 >= MIN_COMMON:
        free = np.array([word == ordered[-1] or word[0].isdigit() for word in words])
        lacking.append(hashes[free | (counts >= MORE_FREQUENT * rarest[(ranks == 0).astype(np.int64)])])
    if len(words) - 2 >= MIN_COMMON:
        one, other = _pairs(len(words))
        first, second = np.minimum(ranks[one], ranks[other]), np.maximum(ranks[one], ranks[other])
        # The rank of the rarest of the words that are left.
        left = np.where(first > 0, 0, np.where(second > 1, 1, 2))
        differ = np.minimum(counts[one], counts[other]) >= MORE_FREQUENT * rarest[left]
        lacking.append(hashes[one[differ]] + hashes[other[differ]])
    return hashes.sum() - np.concatenate(lacking)


@functools.cache
def _pairs(size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.triu_indices(size, 1)
