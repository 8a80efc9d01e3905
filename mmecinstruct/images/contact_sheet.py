"""Render a contact sheet: one image that shows a person what each reason rejected.

Counts alone do not reveal a wrong threshold that rejects hundreds of good images.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.shown import shown_text

COLUMNS = 6
PER_GROUP = 12
_TILE = 180
_CARD_HEIGHT = 100
_GAP = 14
# Height of two lines of text.
_CAPTION = 34
_HEADING = 40
_MAX_GROUPS = 100
_INK, _FAINT, _PAPER, _CARD, _EDGE = "#1f2328", "#6b7280", "#ffffff", "#f1f2f4", "#dddddd"


@dataclass(frozen=True, slots=True)
class SheetImage:
    """One image of a sheet.

    Attributes:
        caption: The first line below the image.
        detail: The second line below the image.
        jpeg: The encoded image. None renders a card with the detail instead.
    """

    caption: str
    detail: str
    jpeg: bytes | None


def contact_sheet(
    groups: Mapping[str, Sequence[SheetImage]], path: Path, totals: Mapping[str, int] | None = None
) -> None:
    """Render each group under its name, at most PER_GROUP images of it, and write the sheet.

    Args:
        groups: Images by the name of their group.
        path: The file to write. Its suffix chooses JPEG (`.jpg`, `.jpeg`) or PNG (`.png`).
        totals: The size of each group, for groups that are given in part.

    Raises:
        DatasetError: The path has another suffix.
    """
    kinds = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
    if path.suffix.lower() not in kinds:
        raise DatasetError(f"{path}: a contact sheet is an image; give it a name that ends with .jpg or .png")
    shown = {name: list(images)[:PER_GROUP] for name, images in list(groups.items())[:_MAX_GROUPS]}
    heights = [_HEADING + -(-len(images) // COLUMNS) * _row_height(images) for images in shown.values()]
    width = COLUMNS * (_TILE + _GAP) + _GAP
    sheet = Image.new("RGB", (width, sum(heights) + _GAP or _HEADING), _PAPER)
    draw = ImageDraw.Draw(sheet)
    top = 0
    for (name, images), height in zip(shown.items(), heights, strict=True):
        total = (totals or {}).get(name, len(groups[name]))
        count = f"{total}" if total == len(images) else f"{len(images)} of {total}"
        draw.line((_GAP, top + 6, width - _GAP, top + 6), fill=_FAINT)
        heading = _printable(name)
        draw.text((_GAP, top + 13), heading, fill=_INK, font=_font(19))
        draw.text(
            (_GAP + 10 + draw.textlength(heading, font=_font(19)), top + 18),
            count,
            fill=_FAINT,
            font=_font(14),
        )
        for position, image in enumerate(images):
            left = _GAP + position % COLUMNS * (_TILE + _GAP)
            _render_image(
                sheet,
                draw,
                image,
                left,
                top + _HEADING + position // COLUMNS * _row_height(images),
                _tile(images),
            )
        top += height
    stream = io.BytesIO()
    sheet.save(
        stream, kinds[path.suffix.lower()], **({"quality": 85} if path.suffix.lower() != ".png" else {})
    )
    write_atomically(path, stream.getvalue())


def _tile(images: Sequence[SheetImage]) -> int:
    """Return the height of a group's tiles in pixels: cards without images are lower."""
    return _TILE if any(image.jpeg is not None for image in images) else _CARD_HEIGHT


def _row_height(images: Sequence[SheetImage]) -> int:
    return _tile(images) + _CAPTION + _GAP


def _render_image(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, image: SheetImage, left: int, top: int, height: int
) -> None:
    draw.rectangle((left, top, left + _TILE - 1, top + height - 1), fill=_CARD, outline=_EDGE)
    if image.jpeg is None:
        lines = textwrap.wrap(_printable(image.detail), 24, max_lines=(height - 20) // 18, placeholder=" …")
        draw.multiline_text((left + 10, top + 12), "\n".join(lines), fill=_INK, font=_font(13), spacing=5)
    else:
        with Image.open(io.BytesIO(image.jpeg)) as decoded:
            shown = _fitted(decoded.convert("RGB"))
        corner = (left + (_TILE - shown.width) // 2, top + (_TILE - shown.height) // 2)
        sheet.paste(shown, corner)
        # An edge makes a white image visible on white paper.
        box = (corner[0] - 1, corner[1] - 1, corner[0] + shown.width, corner[1] + shown.height)
        draw.rectangle(box, outline="#9aa0a6")
    # The end of a path distinguishes files. The start of a detail names its subject.
    text = _shortened(draw, _printable(image.caption), "end")
    draw.text((left, top + height + 3), text, fill=_INK, font=_font(12))
    if image.jpeg is not None:
        text = _shortened(draw, _printable(image.detail), "start")
        draw.text((left, top + height + 18), text, fill=_FAINT, font=_font(12))


def _fitted(image: Image.Image) -> Image.Image:
    """Resize an image to a tile. A small image is enlarged by a whole factor of at most 8, its pixels visible."""
    room = _TILE - 4
    scale = min(room / image.width, room / image.height)
    if scale > 1:
        whole = max(1, min(8, int(scale)))
        return image.resize((image.width * whole, image.height * whole), Image.Resampling.NEAREST)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _shortened(draw: ImageDraw.ImageDraw, text: str, keep: Literal["start", "end"]) -> str:
    """Shorten a text to the width of a tile; keep its start or its end."""
    shown = text
    for length in range(len(text), 0, -1):
        if draw.textlength(shown, font=_font(12)) <= _TILE:
            break
        shown = text[: length - 1] + "…" if keep == "start" else "…" + text[len(text) - length + 1 :]
    return shown


def _printable(text: str) -> str:
    """Return a text that is safe to render: names and URLs come from untrusted tables."""
    return "".join(character if character.isprintable() else "·" for character in shown_text(text)[:300])


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
