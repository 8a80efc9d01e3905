"""Find images with identical bytes or pixels, and images that are near.

Two images are near if their perceptual hashes differ in few bits and the colours of each of the 64 cells of their
thumbnails differ little. The hash alone is not enough: it ignores colour, so a red and a blue mug of one drawing have
nearly the same hash, and on a white ground so has a part of all unrelated pairs. Hashes of images with too little
structure are noise, so such images are near to no other. Mirrored images are found by the hash of the mirrored image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmecinstruct.duplicates.hash_index import iterate_matches_between, iterate_pairs_within
from mmecinstruct.duplicates.settings import DuplicateSettings
from mmecinstruct.images.perceptual_hash import parse_hash

# Cells of a thumbnail: 8x8, three bytes each.
_SIDE = 8
CELLS = _SIDE * _SIDE

IDENTICAL_PIXELS, NEAR, MIRRORED = "identical_pixels", "near", "mirrored"

IMAGE_PAIRS = pa.schema(
    [
        ("image_a", pa.string()),
        ("image_b", pa.string()),  # image_a < image_b
        ("kind", pa.string()),  # identical_pixels | near | mirrored
        ("distance", pa.int16()),  # bits
        ("colour_difference", pa.float32()),
    ]
)


@dataclass(frozen=True, slots=True)
class Images:
    """Distinct images to be matched.

    Attributes:
        image_ids: [n].
        hashes: [n] uint64.
        thumbnails: [n, 64, 3] uint8.
    """

    image_ids: list[str]
    hashes: NDArray[np.uint64]
    thumbnails: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.image_ids)


def colour_difference(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the colour difference of pairs of thumbnails.

    It is the mean difference of the three channels in the cell where it is greatest: a mean over all cells would miss
    a small object of another colour on a white ground.

    Args:
        left: Thumbnails [n, 64, 3] uint8.
        right: Thumbnails [n, 64, 3] uint8.

    Returns:
        Differences [n], 0 to 255.
    """
    return np.abs(left.astype(np.int16) - right.astype(np.int16)).mean(axis=2).max(axis=1)


def image_pairs(images: pa.Table, settings: DuplicateSettings) -> tuple[pa.Table, dict[str, int], pa.Table]:
    """Find the pairs of images with identical pixels, of near images, and of images of which one is mirrored.

    Of images with identical pixels each is paired with the one of the smallest id, and only that one is compared with
    others.

    Args:
        images: IMAGES. Rows of status ok are used, each image_id once (identical bytes have one id).
        settings: Thresholds of near images.

    Returns:
        IMAGE_PAIRS in order of their ids, the counts images, unhashed, too_little_structure, identical_pixels, near and
        mirrored, and the rows of the images that were compared.

    Raises:
        ValueError: The hashes are of several versions.
    """
    ok = images.filter(pc.equal(images["status"], "ok"))
    # Images that were not read equal only themselves, and there may be a million of them.
    read = _distinct(ok.filter(pc.or_(ok["pixel_id"].is_valid(), ok["phash"].is_valid())))
    different = pc.count_distinct(ok["image_id"]).as_py()
    first: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    alone: list[bool] = []
    for image_id, pixel_id in zip(read["image_id"].to_pylist(), read["pixel_id"].to_pylist(), strict=True):
        earlier = first.setdefault(pixel_id or image_id, image_id)
        alone.append(earlier == image_id)
        if earlier != image_id:
            rows.append(_pair(earlier, image_id, IDENTICAL_PIXELS, 0, 0.0))
    distinct = read.filter(pa.array(alone, pa.bool_()))
    hashed = distinct.filter(distinct["phash"].is_valid())
    structured = hashed.filter(pc.greater_equal(hashed["structure"], settings.min_structure))
    near = near_images(_to_match(structured), settings)
    mirrored = _mirrored_images(structured, near, settings)
    counts = {
        "images": different,
        "unhashed": different - read.num_rows + distinct.num_rows - hashed.num_rows,
        "too_little_structure": hashed.num_rows - structured.num_rows,
        IDENTICAL_PIXELS: len(rows),
        NEAR: len(near),
        MIRRORED: len(mirrored),
    }
    rows = sorted([*rows, *near, *mirrored], key=lambda row: (row["image_a"], row["image_b"]))
    return pa.Table.from_pylist(rows, schema=IMAGE_PAIRS), counts, structured


def near_images(images: Images, settings: DuplicateSettings) -> list[dict[str, Any]]:
    """Return rows of IMAGE_PAIRS for the near pairs among distinct images."""
    rows = []
    for pairs, distances in iterate_pairs_within(images.hashes, settings.image_radius):
        colours = colour_difference(images.thumbnails[pairs[:, 0]], images.thumbnails[pairs[:, 1]])
        for position in np.flatnonzero(colours <= settings.max_colour_difference).tolist():
            a, b = sorted(images.image_ids[one] for one in pairs[position].tolist())
            rows.append(_pair(a, b, NEAR, int(distances[position]), float(colours[position])))
    return rows


def _mirrored_images(
    images: pa.Table, near: list[dict[str, Any]], settings: DuplicateSettings
) -> list[dict[str, Any]]:
    """Return rows of IMAGE_PAIRS for the images that are near the mirrored form of another, and not the other."""
    plain = _to_match(images)
    cells = plain.thumbnails.reshape(-1, _SIDE, _SIDE, 3)[:, :, ::-1].reshape(-1, CELLS, 3)
    mirrored = Images(plain.image_ids, _hashes(images["mirrored_phash"]), cells)
    known = {(row["image_a"], row["image_b"]) for row in near}
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for i, j, bits, colours in near_images_between(plain, mirrored, settings):
        a, b = sorted((plain.image_ids[i], plain.image_ids[j]))
        if a != b and (a, b) not in known:
            rows.setdefault((a, b), _pair(a, b, MIRRORED, bits, colours))
    return list(rows.values())


def near_images_between(
    left: Images, right: Images, settings: DuplicateSettings
) -> list[tuple[int, int, int, float]]:
    """Return the near pairs of a left and a right image.

    Returns:
        (position in left, position in right, distance in bits, colour difference from 0 to 255), sorted.
    """
    found = []
    for pairs, distances in iterate_matches_between(left.hashes, right.hashes, settings.image_radius):
        colours = colour_difference(left.thumbnails[pairs[:, 0]], right.thumbnails[pairs[:, 1]])
        for position in np.flatnonzero(colours <= settings.max_colour_difference).tolist():
            a, b = pairs[position].tolist()
            found.append((a, b, int(distances[position]), float(colours[position])))
    return sorted(found)


def _distinct(images: pa.Table) -> pa.Table:
    """Return the first row of every image, in order of image_id. Raises ValueError for hashes of two versions."""
    positions: dict[str, int] = {}
    for position, image_id in enumerate(images["image_id"].to_pylist()):
        positions.setdefault(image_id, position)
    distinct = images.take(pa.array([positions[image_id] for image_id in sorted(positions)], pa.int64()))
    versions = pc.unique(distinct["phash_version"].filter(distinct["phash"].is_valid())).to_pylist()
    if len(versions) > 1:
        raise ValueError(
            f"hashes of several versions ({', '.join(sorted(map(str, versions)))}): measure all images again"
        )
    return distinct


def _to_match(images: pa.Table) -> Images:
    thumbnails = b"".join(images["thumbnail"].to_pylist())
    return Images(
        images["image_id"].to_pylist(),
        _hashes(images["phash"]),
        np.frombuffer(thumbnails, np.uint8).reshape(-1, CELLS, 3),
    )


def _hashes(column: pa.ChunkedArray) -> NDArray[np.uint64]:
    return np.array([parse_hash(text) for text in column.to_pylist()], np.uint64)


def _pair(a: str, b: str, kind: str, distance: int, colour: float) -> dict[str, Any]:
    return {"image_a": a, "image_b": b, "kind": kind, "distance": distance, "colour_difference": colour}
