"""A canvas in unit coordinates: parts with the product's texture, flat parts, lines.

x grows to the right and y downwards; a product fills about 0.1 to 0.9 of both. Shape, tilt, size and position of the
whole product are one affine map, so the functions that render products do not depend on them. The canvas has twice the
final size and is reduced at the end, which smooths edges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageChops, ImageDraw

Point = tuple[float, float]
Colour = tuple[int, int, int]

OVERSAMPLING = 2
COLOURS: dict[str, Colour] = {
    "red": (206, 32, 38),
    "blue": (34, 88, 200),
    "green": (38, 148, 66),
    "yellow": (248, 206, 36),
    "purple": (124, 56, 166),
    "black": (42, 42, 46),
    "orange": (242, 122, 22),
    "pink": (244, 134, 182),
    "brown": (120, 74, 42),
    "gray": (142, 147, 153),
}
WHITE: Colour = (250, 250, 248)
INK: Colour = (38, 38, 42)
STEEL: Colour = (176, 182, 190)
WOOD: Colour = (196, 148, 92)
# Height and width of a shape, relative to the regular one.
SHAPES: dict[str, tuple[float, float]] = {"regular": (1.0, 1.0), "tall": (0.84, 1.12), "wide": (1.14, 0.86)}


def rectangle(x0: float, y0: float, x1: float, y1: float) -> list[Point]:
    """Return the corners of an upright rectangle."""
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def arc(
    cx: float, cy: float, rx: float, ry: float, start: float = 0, stop: float = 360, steps: int = 36
) -> list[Point]:
    """Return points of an elliptic arc.

    Args:
        cx: x of the centre.
        cy: y of the centre.
        rx: The horizontal radius.
        ry: The vertical radius.
        start: The first angle in degrees, clockwise from three o'clock.
        stop: The last angle in degrees.
        steps: The number of segments.
    """
    angles = [math.radians(start + (stop - start) * step / steps) for step in range(steps + 1)]
    return [(cx + rx * math.cos(angle), cy + ry * math.sin(angle)) for angle in angles]


def rounded(x0: float, y0: float, x1: float, y1: float, r: float) -> list[Point]:
    """Return an upright rectangle with rounded corners of radius `r`."""
    return [
        *arc(x1 - r, y0 + r, r, r, -90, 0, 8),
        *arc(x1 - r, y1 - r, r, r, 0, 90, 8),
        *arc(x0 + r, y1 - r, r, r, 90, 180, 8),
        *arc(x0 + r, y0 + r, r, r, 180, 270, 8),
    ]


def ring(cx: float, cy: float, rx: float, ry: float, width: float, start: float, stop: float) -> list[Point]:
    """Return a thick elliptic arc.

    Args:
        cx: x of the centre.
        cy: y of the centre.
        rx: The outer horizontal radius.
        ry: The outer vertical radius.
        width: The thickness as a share of the radii.
        start: The first angle in degrees, clockwise from three o'clock.
        stop: The last angle in degrees.
    """
    inner = 1 - width
    return [*arc(cx, cy, rx, ry, start, stop), *arc(cx, cy, rx * inner, ry * inner, stop, start)]


def shade(colour: Colour, factor: float) -> Colour:
    """Return a darker (factor below 1) or lighter colour."""
    red, green, blue = (
        round(min(255.0, part * factor if factor <= 1 else part + (255 - part) * (factor - 1)))
        for part in colour
    )
    return red, green, blue


class Canvas:
    """The image of one product, without a background."""

    def __init__(
        self,
        side: int,
        colour: str,
        pattern: str,
        shape: str = "regular",
        tilt: float = 0.0,
        scale: float = 0.9,
        shift: Point = (0.0, 0.0),
        mirrored: bool = False,
    ) -> None:
        """Create an empty canvas.

        Args:
            side: Width and height of the final image in pixels.
            colour: The product's colour.
            pattern: The product's pattern.
            shape: The product's shape.
            tilt: Degrees clockwise.
            scale: The product's size as a share of the side.
            shift: The product's offset from the centre as shares of the side.
            mirrored: Whether the product is mirrored.
        """
        self.side = side * OVERSAMPLING
        self.main = COLOURS[colour]
        self.pattern = pattern
        self.edge = shade(self.main, 0.55) if colour != "black" else (104, 104, 112)
        across, along = SHAPES[shape]
        turn = math.radians(tilt)
        # unit square, centred -> shape -> mirror -> tilt -> pixels
        x_scale = self.side * scale * across * (-1 if mirrored else 1)
        y_scale = self.side * scale * along
        self._xx, self._xy = x_scale * math.cos(turn), -y_scale * math.sin(turn)
        self._yx, self._yy = x_scale * math.sin(turn), y_scale * math.cos(turn)
        self._cx, self._cy = self.side * (0.5 + shift[0]), self.side * (0.5 + shift[1])
        # The area around the product has the outline's colour, which the reduction mixes into the edges.
        self.layer = Image.new("RGB", (self.side, self.side), self.edge)
        self.mask = Image.new("L", (self.side, self.side), 0)
        self.textured = Image.new("L", (self.side, self.side), 0)
        self._texture = self._make_texture()
        self._darker = self._texture.point([round(value * 0.82) for value in range(256)] * 3)

    def at(self, x: float, y: float) -> Point:
        """Return the pixel coordinates of unit coordinates."""
        x, y = x - 0.5, y - 0.5
        return (self._cx + self._xx * x + self._xy * y, self._cy + self._yx * x + self._yy * y)

    def _pixels(self, points: Sequence[Point]) -> list[Point]:
        return [self.at(x, y) for x, y in points]

    def body(self, points: Sequence[Point], darker: bool = False, outlined: bool = True) -> None:
        """Fill a polygon with the product's colour and pattern.

        Args:
            points: The corners in unit coordinates.
            darker: Whether the texture is darkened.
            outlined: Whether the polygon gets an outline.
        """
        pixels = self._pixels(points)
        left = max(0, math.floor(min(x for x, _ in pixels)))
        top = max(0, math.floor(min(y for _, y in pixels)))
        right = min(self.side, math.ceil(max(x for x, _ in pixels)) + 1)
        bottom = min(self.side, math.ceil(max(y for _, y in pixels)) + 1)
        if right <= left or bottom <= top:
            return
        part = Image.new("L", (right - left, bottom - top), 0)
        ImageDraw.Draw(part).polygon([(x - left, y - top) for x, y in pixels], fill=255)
        texture = self._darker if darker else self._texture
        self.layer.paste(texture.crop((left, top, right, bottom)), (left, top), part)
        self.textured.paste(255, (left, top), part)
        self.mask.paste(255, (left, top), part)
        if outlined:
            self.line([*points, points[0]], self.edge, 0.008)

    def flat(self, points: Sequence[Point], colour: Colour, outlined: bool = True) -> None:
        """Fill a polygon with one colour."""
        pixels = self._pixels(points)
        ImageDraw.Draw(self.layer).polygon(pixels, fill=colour)
        ImageDraw.Draw(self.textured).polygon(pixels, fill=0)
        ImageDraw.Draw(self.mask).polygon(pixels, fill=255)
        if outlined:
            self.line([*points, points[0]], shade(colour, 0.6), 0.006)

    def plain(self, points: Sequence[Point], factor: float = 1.0) -> None:
        """Fill a polygon with the product's colour, without its pattern."""
        self.flat(points, shade(self.main, factor))

    def line(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        """Draw a line; `width` is a share of the side."""
        pixels = self._pixels(points)
        thickness = max(1, round(width * self.side))
        ImageDraw.Draw(self.layer).line(pixels, fill=colour, width=thickness, joint="curve")
        ImageDraw.Draw(self.mask).line(pixels, fill=255, width=thickness, joint="curve")

    def finish(self) -> tuple[Image.Image, Image.Image]:
        """Return (image, mask) of the product at its final size, with textured parts lit from the left."""
        side = self.side // OVERSAMPLING
        layer, mask, textured = (
            image.reduce(OVERSAMPLING) for image in (self.layer, self.mask, self.textured)
        )
        layer.paste((0, 0, 0), (0, 0), ImageChops.multiply(_lighting(side), textured))
        return layer, mask

    def _make_texture(self) -> Image.Image:
        """Return the pattern over the product's area of the canvas, tilted with it."""
        texture = Image.new("RGB", (self.side, self.side), self.main)
        pen = ImageDraw.Draw(texture)
        second = WHITE
        if self.pattern == "striped":
            for number in range(-1, 11):
                x = number * 0.105
                pen.polygon(self._pixels(rectangle(x, -0.15, x + 0.05, 1.15)), fill=second)
        elif self.pattern == "dotted":
            for row in range(-1, 12):
                for column in range(-1, 11):
                    x = column * 0.115 + (0.0575 if row % 2 else 0.0)
                    pen.polygon(self._pixels(arc(x, row * 0.1, 0.031, 0.031, steps=12)), fill=second)
        elif self.pattern == "checked":
            for row in range(-1, 14):
                for column in range(-1, 14):
                    if (row + column) % 2:
                        x, y = column * 0.085, row * 0.085
                        pen.polygon(self._pixels(rectangle(x, y, x + 0.085, y + 0.085)), fill=second)
        return texture


_LIGHTING: dict[int, Image.Image] = {}


def _lighting(side: int) -> Image.Image:
    """Return the darkness of each pixel, which increases from left to right."""
    if side not in _LIGHTING:
        ramp = Image.new("L", (64, 1))
        ramp.putdata([round(10 + 75 * (x / 63) ** 2) for x in range(64)])
        _LIGHTING[side] = ramp.resize((side, side), Image.Resampling.BILINEAR)
    return _LIGHTING[side]
