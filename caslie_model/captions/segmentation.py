"""Which pixels of an image show the thing: what differs from the colours of the frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caslie_model.captions.colours import Pixels, colour_shares

_FRAME = 2
# Distance in Lab within which two colours are the same.
_SAME = 12.0
# Colours of a background at most, the share of the frame that each takes, the share that they take together, and the
# sides of the frame that each is at.
_MAX_COLOURS = 3
_LEAST = 0.06
_COVERED = 0.7
_MIN_SIDES = 2
# Side of the middle of the image, and the share of the frame from which a colour is taken for the background although
# the middle has more of it: a white thing before white.
_MIDDLE = 0.3
_ALL_AROUND = 0.95
# Share of the pixels from which an image is of one colour.
_ONE_COLOUR = 0.99
# Skin in CIE Lab: hue in degrees, chroma, lightness; and pixels of the frame that a person covers who is cut off by it.
_SKIN_HUE = (25, 75)
_SKIN_CHROMA = (10, 42)
_SKIN_LIGHTNESS = (18, 92)
_CUT_OFF = 8
_LEAST_SKIN = 0.05
_LEAST_REST = 0.25


@dataclass(frozen=True, slots=True)
class Segments:
    """The parts of an image.

    Attributes:
        thing: Whether a pixel shows the thing, [height, width].
        skin: Whether a pixel of the thing is likely to be a person's skin, [height, width].
        background: Names of the background's colours; None where no background is told from the thing.
    """

    thing: Pixels
    skin: Pixels
    background: tuple[str, ...] | None


def segment(lab: Pixels) -> Segments:
    """Tell the thing from its background.

    Background is what has a colour of the frame and is connected with the frame: white inside a thing belongs to the
    thing. A wall and a table are two colours. A colour that the middle has more of than the frame is that of a thing
    which reaches the frame.

    Args:
        lab: The image in CIE Lab, [height, width, 3].

    Returns:
        The parts; without a background, everything is the thing.
    """
    from scipy import ndimage

    shape = lab.shape[:2]
    frame = np.zeros(shape, dtype=bool)
    frame[:_FRAME], frame[-_FRAME:], frame[:, :_FRAME], frame[:, -_FRAME:] = True, True, True, True
    colours = _background_colours(lab, frame)
    everything = np.ones(shape, dtype=bool)
    if not colours:
        return Segments(everything, ~everything, None)
    same = np.min([_distances(lab, colour) for colour in colours], axis=0) < _SAME
    parts, _ = ndimage.label(same)
    outside = np.isin(parts, np.unique(parts[frame & same])) & same
    if outside.mean() > _ONE_COLOUR:
        return Segments(everything, ~everything, None)
    names = tuple(dict.fromkeys(colour_shares(colour[None])[0][0] for colour in colours))
    return Segments(~outside, _skin(lab, ~outside, frame), names)


def _background_colours(lab: Pixels, frame: Pixels) -> list[Pixels]:
    """Return the colours of the background, that of most of the frame first; none where they do not cover it."""
    rest, size, colours, covered = frame.copy(), int(frame.sum()), [], 0
    middle = lab[tuple(_middle(side) for side in lab.shape[:2])].reshape(-1, 3)
    for _ in range(_MAX_COLOURS):
        cells, counts = np.unique(
            np.round(lab[rest] / _SAME), axis=0, return_inverse=True, return_counts=True
        )[1:]
        colour = np.median(lab[rest][cells.ravel() == counts.argmax()], axis=0)
        near = rest & (_distances(lab, colour) < _SAME)
        if near.sum() < _LEAST * size:
            break
        colour = np.median(lab[near], axis=0)
        near = rest & (_distances(lab, colour) < _SAME)
        share = near.sum() / size
        is_around = (_distances(middle, colour) < _SAME).mean() <= share and _sides(near) >= _MIN_SIDES
        if share > _ALL_AROUND or is_around:
            colours.append(colour)
            covered += int(near.sum())
        rest &= ~near
        if rest.sum() < _LEAST * size:
            break
    return colours if covered >= _COVERED * size else []


def _sides(near: Pixels) -> int:
    """Return how many sides of the frame have a colour: a table has three, the trousers of a person one."""
    sides = (near[:_FRAME], near[-_FRAME:], near[:, :_FRAME], near[:, -_FRAME:])
    return sum(bool(side.mean() > _LEAST) for side in sides)


def _middle(side: int) -> slice:
    start = int(side * (1 - _MIDDLE) / 2)
    return slice(start, side - start)


def _skin(lab: Pixels, thing: Pixels, frame: Pixels) -> Pixels:
    """Return where a person's skin is likely: its colours, beside others, in what the frame cuts off.

    A thing alone is seldom cut off, and a thing that has no other colours is brown.
    """
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    hue = np.degrees(np.arctan2(lab[..., 2], lab[..., 1]))
    skin: Pixels = thing.copy()
    for values, (low, high) in (
        (hue, _SKIN_HUE),
        (chroma, _SKIN_CHROMA),
        (lab[..., 0], _SKIN_LIGHTNESS),
    ):
        skin &= (values > low) & (values < high)
    share = skin.sum() / thing.sum()
    is_person = (thing & frame).sum() >= _CUT_OFF and _LEAST_SKIN <= share <= 1 - _LEAST_REST
    return skin if is_person else np.zeros_like(skin)


def _distances(lab: Pixels, colour: Pixels) -> Pixels:
    distances: Pixels = np.linalg.norm(lab - colour, axis=-1)
    return distances
