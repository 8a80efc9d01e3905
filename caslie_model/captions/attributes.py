"""The captioner `attributes`: what is measured in an image without a model, in a sentence.

It names colours, whether the surface is plain, striped or spotted, the form, and the background. It knows no things:
what the product is, and what the sample asks of it, is not in its captions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from caslie_model.captions.captioner import CaptionReply, CaptionRequest, Replies
from caslie_model.captions.colours import Pixels, colour_names, colour_shares, to_lab
from caslie_model.config.captions import ATTRIBUTES
from caslie_model.data.image_bytes import ImageBytes
from caslie_model.data.images import decode_image

if TYPE_CHECKING:
    from PIL.Image import Image

# Raised whenever an image may get another caption than before.
VERSION = 1
# Pixels of the longer side.
_SIDE = 128
_FRAME = 2
# Distance in Lab from the background's colour, and the share of the frame that must have it.
_SAME = 12.0
_PLAIN_FRAME = 0.7
# Share of the thing's pixels from which a colour is named.
_NAMED = 0.12
_MAX_COLOURS = 3
# Half the width in pixels of what may interrupt a colour, pixels of an interruption, how many make a pattern and what
# share of the area they take, and how much longer than wide stripes are.
_REACH = 5
_PART = 6
_PARTS = 3
_PART_SHARE = 0.1
_LONG = 2.2
_WIDE = 1.35
# Images between two yields.
_GROUP = 32


class AttributeCaptioner:
    """Measures each image once, whatever the samples that show it."""

    def __init__(self, images: ImageBytes, max_words: int) -> None:
        """Keep where images come from.

        Args:
            images: The bytes of images.
            max_words: Words of a caption at most; parts that do not fit are left out.
        """
        self._images = images
        self._max_words = max_words

    @property
    def provenance(self) -> Mapping[str, Any]:
        """All that its captions depend on beside the image."""
        return {"model": ATTRIBUTES, "version": VERSION}

    @property
    def control_texts(self) -> None:
        """It is asked nothing."""

    @property
    def unrecorded_cost(self) -> float:
        """Nothing: it costs no money."""
        return 0.0

    def resume(self, usages: Sequence[Mapping[str, Any]]) -> None:
        """Do nothing: it costs no money."""

    def captions(self, requests: Sequence[CaptionRequest]) -> Replies:
        """Yield captions in the order of the requests.

        Args:
            requests: The requests.
        """
        for start in range(0, len(requests), _GROUP):
            group = requests[start : start + _GROUP]
            yield [(request, CaptionReply(self._caption(request.image))) for request in group]

    def _caption(self, key: str) -> str:
        sentences: list[str] = []
        seen = measure(decode_image(self._images.content(key), f"image {key[:16]}"))
        for sentence in seen.sentences():
            if len(" ".join([*sentences, sentence]).split()) > self._max_words:
                break
            sentences.append(sentence)
        return " ".join(sentences)


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is measured in an image.

    Attributes:
        colours: Names and shares of the thing's colours, the largest first.
        surface: plain, striped or spotted.
        form: wide, tall, or about as wide as tall.
        share: Share of the image that the thing takes.
        background: Name of the background's colour; None where it is not of one colour.
    """

    colours: tuple[tuple[str, float], ...]
    surface: str
    form: str
    share: float
    background: str | None

    def sentences(self) -> Iterable[str]:
        """Yield sentences, the most telling first."""
        named = [name for name, share in self.colours if share >= _NAMED][:_MAX_COLOURS]
        first, others = named[0] if named else self.colours[0][0], named[1:]
        colours = first + (f", with {' and '.join(others)}" if others else "")
        if self.background is None:
            yield f"The whole image is mostly {colours}."
            yield "Its background is not of one colour, so no thing is told from it."
            return
        yield f"The thing is mostly {colours}."
        yield f"Its surface looks {self.surface}."
        share = max(1, round(self.share * 10)) * 10
        yield f"It is {self.form} and takes about {share}% of the image, before a plain {self.background} background."


def measure(image: Image) -> Attributes:
    """Measure an image.

    Args:
        image: In RGB.

    Returns:
        Its attributes.
    """
    from PIL import Image as Pillow

    scale = _SIDE / max(image.size)
    if scale < 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Pillow.Resampling.BOX)
    lab = to_lab(np.asarray(image, dtype=float))
    thing, background = _thing(lab)
    rows, columns = np.nonzero(thing)
    height, width = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
    form = "about as wide as tall"
    if width >= _WIDE * height:
        form = "wider than tall"
    elif height >= _WIDE * width:
        form = "taller than wide"
    colours = tuple(colour_shares(lab[thing]))
    return Attributes(colours, _surface(lab, thing, colours[0][0]), form, float(thing.mean()), background)


def _thing(lab: Pixels) -> tuple[Pixels, str | None]:
    """Return the mask of what is no background, and the name of the background's colour.

    Background is what has the colour of the frame and is connected with it: white inside a thing belongs to the thing.
    """
    from scipy import ndimage

    frame = np.zeros(lab.shape[:2], dtype=bool)
    frame[:_FRAME], frame[-_FRAME:], frame[:, :_FRAME], frame[:, -_FRAME:] = True, True, True, True
    colour = np.median(lab[frame], axis=0)
    same = np.linalg.norm(lab - colour, axis=-1) < _SAME
    if same[frame].mean() < _PLAIN_FRAME:
        return np.ones_like(same), None
    parts, _ = ndimage.label(same)
    outside = np.isin(parts, np.unique(parts[frame & same])) & same
    # An image of one colour is all thing.
    if outside.mean() > 0.99:
        return np.ones_like(same), None
    return ~outside, colour_shares(colour[None])[0][0]


def _surface(lab: Pixels, thing: Pixels, main: str) -> str:
    """Return whether the part that has the main colour is plain, striped or spotted, by the parts that interrupt it.

    Interruptions are of another colour, surrounded by the main one on two sides at least, and wider than an outline.
    Several long ones are stripes, several round ones spots.
    """
    from scipy import ndimage

    names = np.full(thing.shape, "", dtype="U16")
    names[thing] = colour_names(lab[thing])
    has_main = names == main
    # Closed with a margin, so that the border of the image is none of the thing.
    closed = ndimage.binary_closing(np.pad(has_main, _REACH), iterations=_REACH)[
        _REACH:-_REACH, _REACH:-_REACH
    ]
    others = ndimage.binary_opening(closed & ~has_main, structure=np.ones((2, 2)))
    parts, count = ndimage.label(others)
    lengths, taken = [], 0
    for part in range(1, count + 1):
        rows, columns = np.nonzero(parts == part)
        if len(rows) < _PART:
            continue
        taken += len(rows)
        spread = np.linalg.eigvalsh(np.cov(rows, columns))
        lengths.append(float(np.sqrt(spread[1] / max(spread[0], 0.1))))
    # Less is an outline, a strap or the eyes of a toy.
    if len(lengths) < _PARTS or taken < _PART_SHARE * closed.sum():
        return "plain"
    return "striped" if np.median(lengths) > _LONG else "spotted"
