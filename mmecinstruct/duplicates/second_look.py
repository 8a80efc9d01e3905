"""Find edited images: covered by a logo, cropped, with a border, and each of these mirrored.

Perceptual hashes do not find them, and comparing sketches of all images would take quadratic time. So images are
compared within blocks only: those of products that share a rare title word, the brand or the category. Within a block
each image is compared with its NEIGHBOURS most similar ones, by the correlation of their grey values: a block costs one
matrix product, and an image a bounded number of alignments (`alignment`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmecinstruct.duplicates.alignment import (
    ALTERED,
    INNER_BOX,
    NONE,
    edits_between,
    grey_of_sketch,
    pooled,
    sampled,
)
from mmecinstruct.duplicates.runs import Positions
from mmecinstruct.duplicates.titles import title_words
from mmecinstruct.images.measure import SKETCH_SIDE

# Images of a block at most: their similarities are computed pair by pair.
MAX_BLOCK = 2000
# Images that an image is aligned with in one block at most, the most similar ones.
NEIGHBOURS = 16
# Rarest words of a title that make blocks; more of them cost time and find little.
RARE_WORDS = 3

# Least correlation of grey values for an alignment, as a sum of products of integers: sums are exact in any order.
_SCALE = 1000
_LEAST = round(0.7 * _SCALE**2)
# A whole image is compared with these boxes of the others: the middle, and the corners.
_BOXES = (INNER_BOX, *((x, y, x + 0.9, y + 0.9) for x in (0.0, 0.1) for y in (0.0, 0.1)))
_ROWS_AT_ONCE = 512
_KEPT_AT_ONCE = 1 << 22

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sketches:
    """Sketches of distinct images with enough structure.

    Attributes:
        image_ids: [n].
        pixels: [n, 3, 32, 32] uint8.
    """

    image_ids: list[str]
    pixels: NDArray[np.uint8]

    @classmethod
    def of(cls, table: pa.Table) -> Sketches:
        """Return the sketches of a table with the columns image_id and sketch."""
        data = np.frombuffer(b"".join(table["sketch"].to_pylist()), np.uint8)
        pixels = data.reshape(-1, SKETCH_SIDE, SKETCH_SIDE, 3).transpose(0, 3, 1, 2)
        return cls(table["image_id"].to_pylist(), np.ascontiguousarray(pixels))


def read_sketches(files: Sequence[Path], image_ids: Sequence[str]) -> Sketches:
    """Return the sketches of some images, each once, in order of their ids.

    Args:
        files: Files of PIXELS.
        image_ids: The images; those without a sketch are left out.
    """
    wanted = pa.array(image_ids, pa.string())
    parts = [
        pq.read_table(path, columns=["image_id", "sketch"], filters=pc.field("image_id").isin(wanted))
        for path in files
    ]
    if not parts:
        return Sketches([], np.empty((0, 3, SKETCH_SIDE, SKETCH_SIDE), np.uint8))
    table = pa.concat_tables(parts)
    # The same image may have been measured in two work items, under two URLs.
    first = {image: row for row, image in reversed([*enumerate(table["image_id"].to_pylist())])}
    return Sketches.of(table.take(pa.array([first[image] for image in sorted(first)], pa.int64())))


def attributes(product: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return what makes a product's images worth comparing: the words of its title, brand and category."""
    named = {(name, product.get(name) or "") for name in ("brand", "category")}
    return {("word", word) for word in title_words(product["title"] or "")} | {one for one in named if one[1]}


def blocks_of(
    products: Sequence[Mapping[str, Any]], images_of: Mapping[str, Iterable[int]]
) -> tuple[list[Positions], int]:
    """Return the blocks of images that are compared with each other.

    Args:
        products: Rows with product_id, title, brand and category.
        images_of: The positions of each product's images.

    Returns:
        (Positions of each block, ascending; the number of blocks that are too large and left out).
    """
    found = {row["product_id"]: attributes(row) for row in products if row["product_id"] in images_of}
    counts = Counter(one for several in found.values() for one in several)
    members: dict[tuple[str, str], set[int]] = defaultdict(set)
    for product, several in found.items():
        shared = sorted((one for one in several if counts[one] > 1), key=lambda one: (counts[one], one))
        words = [one for one in shared if one[0] == "word"][:RARE_WORDS]
        for one in (*words, *(one for one in shared if one[0] != "word")):
            members[one].update(images_of[product])
    sizes = {one: len(positions) for one, positions in members.items()}
    blocks = [
        np.array(sorted(members[one]), np.int64) for one in sorted(members) if 1 < sizes[one] <= MAX_BLOCK
    ]
    return blocks, sum(size > MAX_BLOCK for size in sizes.values())


def edited_images(
    sketches: Sketches,
    blocks: Iterable[Positions],
    owners: NDArray[np.int64],
    max_colour_difference: float,
) -> list[dict[str, Any]]:
    """Return pairs of images of which one is an edit of the other.

    Args:
        sketches: The images.
        blocks: Positions of images that are compared with each other.
        owners: The only product of each image [n]; -1 where it has several. Images of one product are not compared.
        max_colour_difference: Largest difference of near images, in levels of 255.

    Returns:
        image_a, image_b (image_a < image_b), kind (altered, part, mirrored_altered or mirrored_part) and differing
        (share of cells), in order of the images.
    """
    count = len(sketches.image_ids)
    codes = _unique(_candidates(sketches, block, owners, count) for block in blocks)
    pairs, mirrored = codes // 2, codes % 2 == 1
    left, right = pairs // count, pairs % count
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for start in range(0, len(codes), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        others = sketches.pixels[right[part]]
        others = np.where(mirrored[part, None, None, None], others[..., ::-1], others)
        kinds, shares = edits_between(sketches.pixels[left[part]], others, max_colour_difference)
        for at in np.flatnonzero(kinds != NONE).tolist():
            a, b = sorted(sketches.image_ids[int(one[start + at])] for one in (left, right))
            kind = "altered" if kinds[at] == ALTERED else "part"
            name = f"mirrored_{kind}" if mirrored[start + at] else kind
            # A pair comes first as it is, then mirrored.
            rows.setdefault(
                (a, b), {"image_a": a, "image_b": b, "kind": name, "differing": float(shares[at])}
            )
    return [rows[key] for key in sorted(rows)]


def _unique(found: Iterator[Codes]) -> Codes:
    """Join codes without repeats, a bounded number of them at a time."""
    kept, waiting, size = np.empty(0, np.int64), list[Codes](), 0
    for codes in found:
        waiting.append(codes)
        size += len(codes)
        if size > _KEPT_AT_ONCE:
            kept, waiting, size = np.unique(np.concatenate([kept, *waiting])), [], 0
    return np.unique(np.concatenate([kept, *waiting]))


def _candidates(sketches: Sketches, block: Positions, owners: NDArray[np.int64], count: int) -> Codes:
    """Return the pairs of a block that are aligned: 2 * (left * count + right), plus 1 where the right is mirrored."""
    plain = _signatures(sketches.pixels[block])
    flipped = _signatures(sketches.pixels[block][..., ::-1])
    own = owners[block]
    found = [np.empty(0, np.int64)]
    for start in range(0, len(block), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        alone = (own[part, None] == own) & (own >= 0)
        alone |= block[part, None] == block
        for mirrored, others in enumerate((plain, flipped)):
            similar = plain[0][part] @ others[0].T
            for one, other in zip(plain[1:], others[1:], strict=True):
                np.maximum(similar, plain[0][part] @ other.T, out=similar)
                np.maximum(similar, one[part] @ others[0].T, out=similar)
            similar[alone] = 0
            rows, columns = _nearest(similar)
            a, b = block[part][rows], block[columns]
            found.append(2 * (np.minimum(a, b) * count + np.maximum(a, b)) + mirrored)
    return np.unique(np.concatenate(found))


def _signatures(pixels: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
    """Return the whole images and each of their boxes as vectors [n, cells] of integers with a length of _SCALE."""
    cells = pooled(grey_of_sketch(pixels.astype(np.float64)))
    boxes = (np.tile(np.array(box), (len(cells), 1)) for box in _BOXES)
    return [_vectors(cells), *(_vectors(sampled(cells[:, None], box)[0][:, 0]) for box in boxes)]


def _vectors(cells: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    flat = cells.reshape(len(cells), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return np.rint(flat / length * _SCALE)


def _nearest(similar: NDArray[np.float64]) -> tuple[Positions, Positions]:
    """Return row and column of at most NEIGHBOURS entries of each row, the largest that suffice."""
    rows, columns = np.nonzero(similar >= _LEAST)
    order = np.lexsort((columns, -similar[rows, columns], rows))
    rows, columns = rows[order], columns[order]
    first = np.searchsorted(rows, rows, side="left")
    kept = np.arange(len(rows)) - first < NEIGHBOURS
    return rows[kept], columns[kept]
