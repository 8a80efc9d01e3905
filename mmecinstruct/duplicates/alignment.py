"""Decide whether one image is an edit of another: with something laid over it, cropped, or with a border.

Images are compared as sketches of 32x32 colours (`images.measure.sketch_of`). Of two images with the same framing most
cells must agree in colour. Where the framing differs, one image is part of the other: its box in the other is found by
least squares over the four sides of the box (Lucas and Kanade, 1981), with brightness and contrast free, and then
compared in the same way.

Cells that differ are tolerated up to a share, since a logo may cover them, but only where the two images have different
edges there. The same edges in another colour are a variant of the product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# How an image was edited: the same framing with something altered, or one is part of the other.
NONE, ALTERED, PART = 0, 1, 2

# Least correlation of the grey values where colours agree, and where cells differ elsewhere.
_CORRELATION, _CORRELATION_BESIDE = 0.93, 0.97
# Largest share of cells (2x2 pixels of a sketch) that differ in colour, where the framing is the same and where not.
_ALTERED_SHARE, _PART_SHARE = 0.10, 0.06
# Some cells may differ, so the others must agree better than those of near images.
_STRICTER = 0.85
# Fewer differing cells than this share are not examined.
_IGNORED_SHARE = 0.02
# From this correlation of edges on, differing cells show the same thing in another colour.
_RECOLOURED = 0.4
# Least share of an image that the other one covers, and least side of the box in the other.
_COVERED, _LEAST_SIDE = 0.9, 0.7
# Least correlation at the start, after the first steps and after later ones, for the search to go on.
_PLAUSIBLE, _PROMISING, _FOUND = 0.5, 0.7, 0.85
# Steps on cells, and the last ones on pixels of the sketches.
_FIRST_STEPS, _NEXT_STEPS, _LAST_STEPS = 2, 4, 2
# The search begins with a box of 90 % of each side, in the middle.
INNER_BOX = (0.05, 0.05, 0.95, 0.95)
# Differences above this many grey levels weigh less in the search.
_ROBUST = 40.0
# Largest movement of a side in one step.
_LARGEST_STEP = 0.06
_PAIRS_AT_ONCE = 256

Floats = NDArray[np.floating[Any]]
# Left, top, right and bottom of a box for each pair [n, 4], as shares of the other image's sides.
Boxes = NDArray[np.floating[Any]]


def edits_between(
    left: NDArray[np.uint8], right: NDArray[np.uint8], max_colour_difference: float
) -> tuple[NDArray[np.int8], Floats]:
    """Return how each right image is an edit of the left one.

    Args:
        left: Sketches [n, 3, side, side].
        right: Sketches [n, 3, side, side].
        max_colour_difference: Largest difference of near images, in levels of 255. A cell differs from 0.85 of it on.

    Returns:
        (NONE, ALTERED or PART for each pair [n], share of cells that differ [n]).
    """
    kinds, shares = np.zeros(len(left), np.int8), np.ones(len(left))
    tolerance = _STRICTER * max_colour_difference
    for start in range(0, len(left), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        kinds[part], shares[part] = _edits(
            left[part].astype(np.float64), right[part].astype(np.float64), tolerance
        )
    return kinds, shares


def _edits(left: Floats, right: Floats, tolerance: float) -> tuple[NDArray[np.int8], Floats]:
    same, shares = _agree(left, right, None, tolerance, _ALTERED_SHARE)
    kinds = np.where(same, ALTERED, NONE).astype(np.int8)
    grey_left, grey_right = grey_of_sketch(left), grey_of_sketch(right)
    cells = pooled(grey_left), pooled(grey_right)
    for inner, outer, fine, coarse in (
        (left, right, (grey_left, grey_right), cells),
        (right, left, (grey_right, grey_left), cells[::-1]),
    ):
        rows, boxes = _boxes_of(fine, coarse, np.flatnonzero(kinds == NONE))
        found, differing = _agree(inner[rows], outer[rows], boxes, tolerance, _PART_SHARE)
        kinds[rows[found]], shares[rows[found]] = PART, differing[found]
    return kinds, shares


def grey_of_sketch(sketches: Floats) -> Floats:
    """Return the luma [n, side, side] of sketches [n, 3, side, side]."""
    return np.tensordot(sketches, np.array([0.299, 0.587, 0.114]), (1, 0))


def pooled(values: Floats) -> Floats:
    """Return the means of 2x2 cells of the last two axes."""
    rows = values[..., ::2, :] + values[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]) / 4


def sampled(images: Floats, boxes: Boxes) -> tuple[Floats, NDArray[np.bool_]]:
    """Return what a box of each image shows, at the image's own size, and which pixels are within the image.

    Args:
        images: Square images [n, channels, side, side].
        boxes: Their boxes [n, 4]; a box may reach beyond the image.
    """
    side = images.shape[-1]
    across, inside_x = _weights(boxes[:, 0], boxes[:, 2], side)
    down, inside_y = _weights(boxes[:, 1], boxes[:, 3], side)
    shown = down[:, None] @ images @ across.transpose(0, 2, 1)[:, None]
    return shown, inside_y[:, :, None] & inside_x[:, None, :]


def _weights(low: Floats, high: Floats, side: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Return linear weights [n, side, side] of the pixels for each position of a range, and whether it is inside."""
    length = (high - low)[:, None]
    at = (low[:, None] + length * ((np.arange(side) + 0.5) / side)) * side - 0.5
    inside = (at >= -0.5) & (at <= side - 0.5)
    distance = np.abs(np.clip(at, 0, side - 1)[:, :, None] - np.arange(side))
    # A range larger than the image averages several pixels.
    weights = np.maximum(0.0, 1.0 - distance / np.maximum(length, 1.0)[:, :, None])
    return weights / weights.sum(axis=2, keepdims=True), inside


def _correlation(left: Floats, right: Floats, mask: NDArray[np.bool_]) -> Floats:
    """Return the correlation [n] of images [n, side, side] where the mask holds; 0 where either is plain."""
    weight = mask.astype(np.float64)
    count = np.maximum(weight.sum((1, 2), keepdims=True), 1.0)
    one = (left - (left * weight).sum((1, 2), keepdims=True) / count) * weight
    other = (right - (right * weight).sum((1, 2), keepdims=True) / count) * weight
    scale = np.sqrt((one * one).sum((1, 2)) * (other * other).sum((1, 2)))
    # Rounded, so that the last bit of a sum decides nothing.
    return np.round((one * other).sum((1, 2)) / np.maximum(scale, 1e-6), 6)


def _boxes_of(
    fine: tuple[Floats, Floats], coarse: tuple[Floats, Floats], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Boxes]:
    """Return which rows have their inner image in the outer one, and the boxes.

    Args:
        fine: Grey inner and outer images [n, side, side].
        coarse: The same of half the side.
        rows: The rows that are searched.
    """
    boxes = np.tile(np.array(INNER_BOX), (len(rows), 1))
    for (one, other), steps, least in (
        (coarse, 0, _PLAUSIBLE),
        (coarse, _FIRST_STEPS, _PROMISING),
        (coarse, _NEXT_STEPS, _FOUND),
        (fine, _LAST_STEPS, _FOUND),
    ):
        boxes, scores = _refined(one[rows], other[rows], boxes, steps)
        kept = scores >= least
        rows, boxes = rows[kept], boxes[kept]
    return rows, boxes


def _refined(inner: Floats, outer: Floats, boxes: Boxes, steps: int) -> tuple[Boxes, Floats]:
    """Move the boxes so that the outer images show the inner ones there; return the best boxes and correlations."""
    count, side = len(inner), inner.shape[-1]
    right = (np.arange(side) + 0.5) / side
    left = 1 - right
    best, scores = boxes, np.full(count, -1.0)
    for step in range(steps + 1):
        shown, inside = sampled(outer[:, None], boxes)
        shown = shown[:, 0]
        score = np.where(inside.mean((1, 2)) > 0.8, _correlation(inner, shown, inside), -1.0)
        better = score > scores
        best, scores = np.where(better[:, None], boxes, best), np.where(better, score, scores)
        if step == steps or count == 0:
            break
        down, across = np.gradient(shown, axis=(1, 2))
        across = across * (side / (boxes[:, 2] - boxes[:, 0]))[:, None, None]
        down = down * (side / (boxes[:, 3] - boxes[:, 1]))[:, None, None]
        # How the shown pixels change with the sides of the box, brightness and contrast.
        changes = np.stack(
            [
                *(across * left, down * left[:, None], across * right, down * right[:, None]),
                *(np.ones_like(shown), shown / 255),
            ],
            axis=1,
        ).reshape(count, 6, -1)
        errors = inner - shown
        weighted = changes * (inside / (1 + (errors / _ROBUST) ** 2)).reshape(count, 1, -1)
        squares = weighted @ changes.transpose(0, 2, 1)
        ridge = 1e-3 * np.trace(squares, axis1=1, axis2=2) / 6 + 1e-3
        moves = np.linalg.solve(
            squares + ridge[:, None, None] * np.eye(6), weighted @ errors.reshape(count, -1, 1)
        )
        boxes = boxes + np.clip(moves[:, :4, 0], -_LARGEST_STEP, _LARGEST_STEP)
    return best, scores


def _agree(
    inner: Floats, outer: Floats, boxes: Boxes | None, tolerance: float, most: float
) -> tuple[NDArray[np.bool_], Floats]:
    """Return which inner images are what the boxes of the outer ones show, and the share of cells that differ.

    Without boxes the whole outer images are compared.
    """
    if boxes is None:
        shown, large = outer, np.ones(len(outer), np.bool_)
        cells = np.ones((len(outer), outer.shape[-2] // 2, outer.shape[-1] // 2), np.bool_)
    else:
        shown, inside = sampled(outer, boxes)
        large = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) >= _LEAST_SIDE
        cells = pooled(inside.astype(np.float64)) > 0.9
    differing = (np.abs(pooled(inner - shown)).mean(1) > tolerance) & cells
    shares = np.round(differing.sum((1, 2)) / np.maximum(cells.sum((1, 2)), 1), 6)
    found = (cells.mean((1, 2)) > _COVERED) & (shares <= most) & large
    rows = np.flatnonzero(found)
    greys = grey_of_sketch(inner[rows]), grey_of_sketch(shown[rows])
    alike = _correlation(*greys, _pixels(cells[rows] & ~differing[rows]))
    edges = _correlation(_edges(inner[rows]), _edges(shown[rows]), _pixels(differing[rows]))
    few = (shares[rows] <= _IGNORED_SHARE) & (alike >= _CORRELATION)
    found[rows] = few | ((alike >= _CORRELATION_BESIDE) & (edges < _RECOLOURED))
    return found, shares


def _pixels(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.repeat(np.repeat(cells, 2, axis=1), 2, axis=2)


def _edges(images: Floats) -> Floats:
    """Return the largest gradient of the three channels [n, side, side]."""
    down, across = np.gradient(images, axis=(2, 3))
    return np.sqrt(down * down + across * across).max(1)
