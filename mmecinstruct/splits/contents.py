"""What samples hold that must not cross splits, as hashes of 64 bits in arrays.

Of a sample of products: the texts of its input (titles, questions, queries, reviews, snippets) and its images. Options
and instructions are left out: others may have the same. Of a sample of a user: its input as a whole and its user, since
the products of its history are in samples of all splits.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmecinstruct.images.perceptual_hash import parse_hash
from mmecinstruct.images.urls import one_form
from mmecinstruct.tasks import TASKS
from mmecinstruct.text.words import normalised_text, normalised_tokens

# Words of a gram. Shorter texts have none: they are compared as a whole.
GRAM = 8
# Kinds of keys: what two samples share that have an equal key of a kind.
TEXT, IMAGE, INPUT, USER = range(4)

Hashes = NDArray[np.uint64]
Rows = NDArray[np.int64]

_WORDS_AT_ONCE = 1 << 20
_ODD = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


@dataclass(frozen=True)
class Contents:
    """Contents of several samples, which are numbered from 0.

    Attributes:
        key_rows: The sample of each key.
        keys: Hashes of whole texts, of images, of inputs and of users.
        kinds: The kind of each key.
        text_rows: The sample of each text that has grams.
        gram_counts: The number of each text's grams.
        grams: Hashes of GRAM words in a row, distinct within a text, ascending; text by text.
        image_rows: The sample of each image that was read.
        dhashes: The difference hash of each.
        phashes: The perceptual hash of each.
    """

    key_rows: Rows
    keys: Hashes
    kinds: NDArray[np.uint8]
    text_rows: Rows
    gram_counts: Rows
    grams: Hashes
    image_rows: Rows
    dhashes: Hashes
    phashes: Hashes

    @classmethod
    def joined(cls, parts: Sequence[Contents], sizes: Sequence[int]) -> Contents:
        """Return the contents of several lists of samples as those of one list; sizes: the samples of each."""
        offsets = np.cumsum([0, *sizes])
        columns = {}
        for one in fields(cls):
            values = [getattr(part, one.name) for part in parts]
            if one.name.endswith("_rows"):
                values = [value + offset for value, offset in zip(values, offsets, strict=False)]
            columns[one.name] = np.concatenate(values)
        return cls(**columns)

    @property
    def owners(self) -> Rows:
        """The position of the text of each gram."""
        return np.repeat(np.arange(len(self.gram_counts)), self.gram_counts)


class ImageHashes:
    """The pixels and the hashes of images by URL; an image that was not read is known by its URL alone.

    Args:
        images: The columns `columns` of tables.IMAGES, of valid images.
        min_structure: Images with less structure, in grey levels, have no hashes: theirs are noise.
    """

    columns = ("image_url", "pixel_id", "dhash", "phash", "structure")

    def __init__(self, images: pa.Table, min_structure: float = 0.0) -> None:
        read = images.filter(images["pixel_id"].is_valid())
        columns = (read[name].to_pylist() for name in self.columns)
        self._found = {
            url: (pixels, (parse_hash(dhash), parse_hash(phash)) if structure >= min_structure else None)
            for url, pixels, dhash, phash, structure in zip(*columns, strict=True)
        }

    def key(self, url: str) -> str:
        """Return a text that is equal for images of equal pixels, or for one URL."""
        found = self._found.get(url)
        return found[0] if found else one_form(url)

    def hashes(self, url: str) -> tuple[int, int] | None:
        """Return dHash and pHash of an image; None where it was not read or has too little structure."""
        found = self._found.get(url)
        return found[1] if found else None


def input_texts(task: str, input_fields: str) -> Iterator[str]:
    """Yield the texts of a sample's input, field by field, as they are.

    Args:
        task: The task's name.
        input_fields: The sample's fields, JSON text (samples.UNRENDERED).
    """
    value: Any = json.loads(input_fields)
    names = TASKS[task].row.fields
    for entry in value if names is None else (value[name] for name in names if name in value):
        yield from entry if isinstance(entry, list) else [entry]


def contents_of(task: str, samples: pa.Table, images: ImageHashes) -> Contents:
    """Return the contents of a task's samples, numbered in their order.

    Args:
        task: The task's name.
        samples: Columns fields, user_id, image_urls.
        images: The images of all tasks.
    """
    columns = _Columns()
    by_user = TASKS[task].splits_by_user
    rows = zip(*(samples[name].to_pylist() for name in ("fields", "user_id", "image_urls")), strict=True)
    for row, (input_fields, user, urls) in enumerate(rows):
        texts = [normalised_text(text) for text in input_texts(task, input_fields)]
        if by_user:
            columns.add_key(row, INPUT, "\x1f".join([task, *texts]))
            columns.add_key(row, USER, f"{task}\x1f{user}")
            continue
        for text in dict.fromkeys(filter(None, texts)):
            columns.add_text(row, text)
        for url in dict.fromkeys(urls):
            columns.add_key(row, IMAGE, images.key(url))
            columns.add_hashes(row, images.hashes(url))
    return columns.contents()


def key_hash(kind: int, text: str) -> int:
    """Return the hash of a key."""
    return _hash(f"{kind}\x1f{text}")


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


class _Columns:
    """Growing columns of Contents."""

    def __init__(self) -> None:
        self._key_rows, self._keys, self._kinds = array("q"), array("Q"), array("B")
        self._text_rows, self._counts, self._words = array("q"), array("q"), array("Q")
        self._image_rows, self._dhashes, self._phashes = array("q"), array("Q"), array("Q")
        self._vocabulary: dict[str, int] = {}

    def add_key(self, row: int, kind: int, text: str) -> None:
        self._key_rows.append(row)
        self._keys.append(key_hash(kind, text))
        self._kinds.append(kind)

    def add_text(self, row: int, text: str) -> None:
        """Add a normalised text: as a whole, and its words."""
        self.add_key(row, TEXT, text)
        words = normalised_tokens(text)
        if len(words) < GRAM:
            return
        self._text_rows.append(row)
        self._counts.append(len(words))
        known = self._vocabulary
        for word in words:
            number = known.get(word)
            if number is None:
                number = known[word] = _hash(word)
            self._words.append(number)

    def add_hashes(self, row: int, hashes: tuple[int, int] | None) -> None:
        if hashes is not None:
            self._image_rows.append(row)
            self._dhashes.append(hashes[0])
            self._phashes.append(hashes[1])

    def contents(self) -> Contents:
        grams, counts = _grams(np.array(self._words, np.uint64), np.array(self._counts, np.int64))
        return Contents(
            np.array(self._key_rows, np.int64),
            np.array(self._keys, np.uint64),
            np.array(self._kinds, np.uint8),
            np.array(self._text_rows, np.int64),
            counts,
            grams,
            np.array(self._image_rows, np.int64),
            np.array(self._dhashes, np.uint64),
            np.array(self._phashes, np.uint64),
        )


def _grams(words: Hashes, counts: Rows) -> tuple[Hashes, Rows]:
    """Return the distinct grams of texts of GRAM words or more, and the number of each text's.

    Args:
        words: Hashes of words, text by text.
        counts: The number of each text's words.
    """
    ends = np.cumsum(counts)
    grams, numbers = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    begin = 0
    while begin < len(counts):
        first = int(ends[begin] - counts[begin])
        end = max(begin + 1, int(np.searchsorted(ends, first + _WORDS_AT_ONCE, side="right")))
        part = words[first : int(ends[end - 1])]
        owner = np.repeat(np.arange(end - begin), counts[begin:end])
        size = len(part) - GRAM + 1
        mixed = np.zeros(size, np.uint64)
        for place in range(GRAM):
            mixed = (mixed ^ part[place : place + size]) * _ODD
            mixed ^= mixed >> _SHIFT
        inside = owner[:size] == owner[GRAM - 1 :]
        mixed, owner = mixed[inside], owner[:size][inside]
        order = np.lexsort((mixed, owner))
        mixed, owner = mixed[order], owner[order]
        new = np.ones(len(mixed), np.bool_)
        new[1:] = (mixed[1:] != mixed[:-1]) | (owner[1:] != owner[:-1])
        grams.append(mixed[new])
        numbers.append(np.bincount(owner[new], minlength=end - begin))
        begin = end
    return np.concatenate(grams), np.concatenate(numbers)
