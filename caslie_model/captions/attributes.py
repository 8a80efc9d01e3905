"""The captioner `attributes`: what is told of an image without a large model, in a few sentences.

It names colours, whether the surface is plain, striped or spotted, the form, and the background; the class that a small
classifier is sure of; and text that is read in the image. What the sample asks of the image is not in its captions.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from caslie_model.captions import image_classes, image_text
from caslie_model.captions.captioner import CaptionReply, CaptionRequest, Replies
from caslie_model.captions.colours import Pixels, colour_names, colour_shares, to_lab
from caslie_model.captions.image_classes import ImageClassifier
from caslie_model.captions.image_text import TextReader
from caslie_model.captions.segmentation import segment
from caslie_model.config.captions import ATTRIBUTE_PARTS, ATTRIBUTES, AttributePart
from caslie_model.data.image_bytes import ImageBytes
from caslie_model.data.images import decode_image
from caslie_model.errors import ModelError
from caslie_model.runtime.console import say

if TYPE_CHECKING:
    from PIL.Image import Image

# Raised whenever an image may get another caption than before.
VERSION = 2
# Pixels of the longer side.
_SIDE = 128
# Share of the thing's pixels from which a colour is named.
_NAMED = 0.12
_MAX_COLOURS = 3
# Half the width in pixels of what may interrupt a colour, pixels of an interruption, how many make a pattern and what
# share of the area they take; how far from the colour they are in Lab, which shadows are less; and how much longer than
# wide stripes are at least and spots at most, between which are folds and seams.
_REACH = 5
_PART = 6
_PARTS = 3
_PART_SHARE = 0.1
_OTHER = 20.0
_LONG = 2.2
_ROUND = 1.55
_WIDE = 1.35
# Images between two yields.
_GROUP = 32
_MEASURED = {"colours", "surface", "form"}
# What the other parts need, and the extra that installs it.
_PACKAGES = {"classes": image_classes.PACKAGES, "text": image_text.PACKAGES}
_EXTRAS = {"classes": "classes", "text": "ocr"}


class AttributeCaptioner:
    """Measures each image once, whatever the samples that show it."""

    def __init__(
        self, images: ImageBytes, max_words: int, parts: Collection[AttributePart] = ATTRIBUTE_PARTS
    ) -> None:
        """Load what the parts need; a part whose package is missing is left out, which is said.

        Args:
            images: The bytes of images.
            max_words: Words of a caption at most; parts that do not fit are left out.
            parts: What captions tell.

        Raises:
            ModelError: If a package does not carry what it should, or no part is left.
        """
        self._images = images
        self._max_words = max_words
        wanted = [
            part for part in ATTRIBUTE_PARTS if part in parts and _is_there(part, _PACKAGES.get(part, ()))
        ]
        if not wanted:
            raise ModelError("captioner=attributes: no part of attribute_parts is left")
        self._parts = wanted
        self._classifier = ImageClassifier() if "classes" in wanted else None
        self._reader = TextReader() if "text" in wanted else None

    @property
    def provenance(self) -> Mapping[str, Any]:
        """All that its captions depend on beside the image."""
        kinds = {"classes": self._classifier, "text": self._reader}
        models = {part: kind.provenance for part, kind in kinds.items() if kind is not None}
        return {"model": ATTRIBUTES, "version": VERSION, "parts": self._parts, **models}

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
            yield [(request, self._reply(request.image)) for request in group]

    def _reply(self, key: str) -> CaptionReply:
        image = decode_image(self._images.content(key), f"image {key[:16]}")
        try:
            sentences = list(self._sentences(image))
        except ModelError as error:
            return CaptionReply(None, reason=str(error))
        chosen: list[str] = []
        for sentence in sentences or [f"Nothing was found of: {', '.join(self._parts)}."]:
            if len(" ".join([*chosen, sentence]).split()) <= self._max_words:
                chosen.append(sentence)
        return CaptionReply(" ".join(chosen))

    def _sentences(self, image: Image) -> Iterable[str]:
        """Yield sentences, the most telling first."""
        seen = measure(image) if _MEASURED & set(self._parts) else None
        if seen and "colours" in self._parts:
            yield from seen.colour_sentences()
        if seen and "surface" in self._parts:
            yield from seen.surface_sentences()
        if self._classifier and (found := self._classifier.classify(image)):
            yield f'An image classifier takes it for "{found[0]}" ({found[1]:.0%}).'
        if self._reader and (text := self._reader.read(image)):
            yield f'Text in the image: "{text}".'
        if seen and "form" in self._parts:
            yield from seen.form_sentences()


def _is_there(part: str, packages: Sequence[str]) -> bool:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        say(
            f"attributes: {part} is left out, {' and '.join(missing)} is not installed: "
            f"pip install 'mmecinstruct[{_EXTRAS[part]}]'"
        )
    return not missing


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is measured in an image.

    Attributes:
        colours: Names and shares of the thing's colours, the largest first.
        surface: plain, striped or spotted.
        form: wide, tall, or about as wide as tall.
        share: Share of the image that the thing takes.
        background: Names of the background's colours; None where no background is told from the thing.
        has_skin: Whether colours of a person's skin are left out.
    """

    colours: tuple[tuple[str, float], ...]
    surface: str
    form: str
    share: float
    background: tuple[str, ...] | None
    has_skin: bool

    def colour_sentences(self) -> Iterable[str]:
        """Yield what is told of colours."""
        named = [name for name, share in self.colours if share >= _NAMED][:_MAX_COLOURS]
        first, others = named[0] if named else self.colours[0][0], named[1:]
        colours = first + (f", with {' and '.join(others)}" if others else "")
        yield f"The {'whole image' if self.background is None else 'thing'} is mostly {colours}."
        if self.has_skin:
            yield "Colours like skin are left out."
        if self.background is None:
            yield "Its background has many colours, so no thing is told from it."

    def surface_sentences(self) -> Iterable[str]:
        """Yield what is told of the surface, if a thing is told from its background."""
        if self.background is not None:
            yield f"Its surface looks {self.surface}."

    def form_sentences(self) -> Iterable[str]:
        """Yield what is told of form, size and background, if a thing is told from it."""
        if self.background is not None:
            share = max(1, round(self.share * 10)) * 10
            first, others = self.background[0], self.background[1:]
            ground = (
                f"background of {' and '.join(self.background)}" if others else f"plain {first} background"
            )
            yield f"It is {self.form} and takes about {share}% of the image, before a {ground}."


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
    parts = segment(lab)
    rows, columns = np.nonzero(parts.thing)
    height, width = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
    form = "about as wide as tall"
    if width >= _WIDE * height:
        form = "wider than tall"
    elif height >= _WIDE * width:
        form = "taller than wide"
    colours = tuple(colour_shares(lab[parts.thing & ~parts.skin]))
    return Attributes(
        colours,
        _surface(lab, parts.thing, colours[0][0]),
        form,
        float(parts.thing.mean()),
        parts.background,
        bool(parts.skin.any()),
    )


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
    lengths, taken = [], np.zeros_like(has_main)
    for part in range(1, count + 1):
        area = parts == part
        rows, columns = np.nonzero(area)
        if len(rows) < _PART:
            continue
        taken |= area
        spread = np.linalg.eigvalsh(np.cov(rows, columns))
        lengths.append(float(np.sqrt(spread[1] / max(spread[0], 0.1))))
    # Less is an outline, a strap or the eyes of a toy.
    if len(lengths) < _PARTS or taken.sum() < _PART_SHARE * closed.sum():
        return "plain"
    if np.linalg.norm(np.median(lab[taken], axis=0) - np.median(lab[has_main], axis=0)) < _OTHER:
        return "plain"
    length = np.median(lengths)
    return "striped" if length > _LONG else "spotted" if length < _ROUND else "plain"
