"""Render a product on its background, with the damage that a review's image shows.

States of a review's product: 5 as new, 4 scratched, 3 stained, 2 cracked with a piece missing, 1 in pieces.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from mmecinstruct.core.hashing import hash_choice, hash_draw, hash_fraction
from mmecinstruct.synthetic.shop.image_canvas import Canvas, Colour
from mmecinstruct.synthetic.shop.image_products import RENDERERS
from mmecinstruct.synthetic.shop.image_spec import ImageSpec

_WALLS: tuple[Colour, ...] = ((206, 214, 218), (222, 214, 200), (210, 220, 208), (220, 210, 216))
_TABLES: tuple[Colour, ...] = ((176, 146, 112), (158, 132, 108), (190, 170, 146), (150, 140, 132))
_STRONGEST_GRAIN = 9  # of 255 levels
_STAIN: Colour = (112, 92, 30)
_STAIN_RIM: Colour = (52, 40, 16)


def render_scene(spec: ImageSpec, side: int) -> Image.Image:
    """Return the image of a specification, RGB, `side` by `side` pixels."""

    def vary(what: str, low: float, high: float) -> float:
        return low + (high - low) * hash_fraction(spec.variation, what)

    reviewed = spec.state > 0
    spread = 1.6 if reviewed else 1.0
    canvas = Canvas(
        side,
        spec.colour,
        spec.pattern,
        spec.shape,
        tilt=vary("tilt", -6, 6) * spread,
        scale=vary("scale", 0.7, 0.84),
        shift=(vary("x", -0.045, 0.045) * spread, vary("y", -0.04, 0.04) * spread),
        mirrored=hash_draw(spec.variation, "mirror") % 2 == 1,
    )
    RENDERERS[spec.fine_category](canvas)
    product, mask = canvas.finish()
    ground = _table(side, spec.variation) if reviewed else _light_ground(side, spec.variation)
    if spec.state == 4:
        _scratch(product, mask, spec.variation)
    elif spec.state == 3:
        product = _stain(product, mask, spec.variation)
    elif spec.state == 2:
        mask = _crack(product, mask, spec.variation)
    if spec.state == 1:
        _scatter_pieces(ground, product, mask, spec.variation)
    else:
        _shadow(ground, mask)
        ground.paste(product, (0, 0), mask)
    return _grain(ground, spec.variation)


def render_placeholder(side: int) -> Image.Image:
    """Return the placeholder image, the same for every product, RGB, `side` by `side` pixels."""
    image = Image.new("RGB", (side, side), (238, 238, 238))
    pen = ImageDraw.Draw(image)
    pen.rectangle((side * 0.3, side * 0.25, side * 0.7, side * 0.55), outline=(170, 170, 170), width=3)
    pen.ellipse((side * 0.44, side * 0.33, side * 0.56, side * 0.45), outline=(170, 170, 170), width=3)
    pen.text((side / 2, side * 0.7), "No image available", fill=(120, 120, 120), anchor="mm",
             font=ImageFont.load_default(size=side * 0.085))  # fmt: skip
    return image


def _light_ground(side: int, variation: int) -> Image.Image:
    """Return an almost white background with a slight tint, a little darker towards one edge."""
    tint = [250 - hash_draw(variation, "tint", str(channel)) % 16 for channel in range(3)]
    ramp = Image.linear_gradient("L").resize((side, side))
    if hash_draw(variation, "ramp") % 2:
        ramp = ramp.transpose(Image.Transpose.ROTATE_180)
    channels = [ramp.point([round(level - 14 * value / 255) for value in range(256)]) for level in tint]
    return Image.merge("RGB", channels)


def _table(side: int, variation: int) -> Image.Image:
    """Return a wall behind a table top."""
    image = Image.new("RGB", (side, side), hash_choice(_WALLS, variation, "wall"))
    pen = ImageDraw.Draw(image)
    edge = round(side * (0.52 + 0.12 * hash_fraction(variation, "edge")))
    red, green, blue = hash_choice(_TABLES, variation, "table")
    pen.rectangle((0, edge, side, side), fill=(red, green, blue))
    for number in range(7):
        y = edge + round(
            (side - edge) * (number + 0.5 + hash_fraction(variation, "grain", str(number))) / 7.5
        )
        pen.line(
            (0, y, side, y + side // 90), fill=(red - 14, green - 14, blue - 14), width=max(1, side // 180)
        )
    return image


def _grain(image: Image.Image, variation: int) -> Image.Image:
    """Return the image with the grain of a sensor, of a strength of its own.

    Without grain the length of the file tells the kind of product: a bench has more edges than a ball.
    """
    strength = 1 + hash_draw(variation, "strength of the grain") % _STRONGEST_GRAIN
    noise = np.random.Generator(np.random.PCG64(hash_draw(variation, "grain of the sensor")))
    grain = noise.integers(-strength, strength, (image.height, image.width, 1), np.int16, endpoint=True)
    return Image.fromarray(np.clip(np.asarray(image, np.int16) + grain, 0, 255).astype(np.uint8))


def _shadow(ground: Image.Image, mask: Image.Image) -> None:
    """Darken the background a little below and to the right of the product."""
    side = ground.width
    # Blurred at a quarter of the size, which looks the same and takes less time.
    small = mask.resize((side // 4, side // 4), Image.Resampling.BOX)
    soft = small.filter(ImageFilter.GaussianBlur(side / 130)).resize((side, side), Image.Resampling.BILINEAR)
    offset = ImageChops.offset(soft, side // 50, side // 40).point([round(v * 0.28) for v in range(256)])
    ground.paste((40, 36, 34), (0, 0), offset)


def _box(mask: Image.Image) -> tuple[int, int, int, int]:
    return mask.getbbox() or (0, 0, *mask.size)


def _spot(box: tuple[int, int, int, int], variation: int, what: str, number: int) -> tuple[float, float]:
    """Return a random point in the middle part of a box."""
    left, top, right, bottom = box
    x = 0.15 + 0.7 * hash_fraction(variation, what, "x", str(number))
    y = 0.15 + 0.7 * hash_fraction(variation, what, "y", str(number))
    return left + (right - left) * x, top + (bottom - top) * y


def _scratch(product: Image.Image, mask: Image.Image, variation: int) -> None:
    """Draw a handful of fine light scratches with dark edges, side by side."""
    pen = ImageDraw.Draw(product)
    side = product.width
    direction = math.radians(20 + 50 * hash_fraction(variation, "direction"))
    for number in range(9):
        x, y = _spot(_box(mask), variation, "scratch", number)
        length = side * (0.05 + 0.08 * hash_fraction(variation, "length", str(number)))
        bend = direction + 0.3 * (hash_fraction(variation, "bend", str(number)) - 0.5)
        dx, dy = length * math.cos(bend), length * math.sin(bend)
        width = max(1, side // 150)
        pen.line((x - dx, y - dy + width, x + dx, y + dy + width), fill=(70, 66, 64), width=width)
        pen.line((x - dx, y - dy, x + dx, y + dy), fill=(236, 234, 230), width=width)


def _stain(product: Image.Image, mask: Image.Image, variation: int) -> Image.Image:
    """Return the product with dark muddy blotches and drips."""
    side = product.width
    blotches = Image.new("L", product.size, 0)
    pen = ImageDraw.Draw(blotches)
    for number in range(6):
        x, y = _spot(_box(mask), variation, "stain", number)
        radius = side * (0.045 + 0.06 * hash_fraction(variation, "radius", str(number)))
        rim = []
        for step in range(16):
            reach = radius * (0.7 + 0.6 * hash_fraction(variation, "rim", str(number), str(step)))
            rim.append((x + reach * math.cos(step * math.pi / 8), y + reach * math.sin(step * math.pi / 8)))
        pen.polygon(rim, fill=225)
        drip = side * (0.06 + 0.1 * hash_fraction(variation, "drip", str(number)))
        pen.line((x, y, x, y + radius + drip), fill=225, width=max(2, side // 50))
    stained = product.copy()
    # A dark rim keeps the stain visible on a product of its colour.
    rims = blotches.filter(ImageFilter.MaxFilter(5))
    stained.paste(_STAIN_RIM, (0, 0), rims)
    stained.paste(_STAIN, (0, 0), blotches)
    return stained


def _zigzag(
    start: tuple[float, float], stop: tuple[float, float], variation: int, what: str, swing: float
) -> list[tuple[float, float]]:
    """Return a jagged line between two points."""
    (x0, y0), (x1, y1) = start, stop
    length = math.hypot(x1 - x0, y1 - y0) or 1.0
    across = (-(y1 - y0) / length, (x1 - x0) / length)
    points = [start]
    for step in range(1, 8):
        sway = (
            swing * (2 * hash_fraction(variation, what, str(step)) - 1)
            + (swing if step % 2 else -swing) * 0.5
        )
        share = step / 8
        points.append((x0 + (x1 - x0) * share + across[0] * sway, y0 + (y1 - y0) * share + across[1] * sway))
    return [*points, stop]


def _crack(product: Image.Image, mask: Image.Image, variation: int) -> Image.Image:
    """Draw a wide jagged crack with branches; return the mask without a piece broken off the edge."""
    side = product.width
    left, top, right, bottom = _box(mask)
    pen = ImageDraw.Draw(product)
    lean = (right - left) * (0.3 + 0.4 * hash_fraction(variation, "lean"))
    start, stop = (left + lean, float(top)), (right - lean, float(bottom))
    main = _zigzag(start, stop, variation, "crack", side * 0.04)
    branches = [
        _zigzag(main[3], (right, top + (bottom - top) * 0.4), variation, "branch 1", side * 0.02),
        _zigzag(main[5], (left, top + (bottom - top) * 0.7), variation, "branch 2", side * 0.02),
    ]
    for line, width in ((main, 0.024), *((branch, 0.013) for branch in branches)):
        pen.line(line, fill=(244, 240, 232), width=round(side * width * 1.9), joint="curve")
        pen.line(line, fill=(22, 20, 20), width=round(side * width), joint="curve")
    broken = mask.copy()
    bite = _zigzag((left - 2, top + (bottom - top) * 0.3), (left + (right - left) * 0.36, top - 2),
                   variation, "bite", side * 0.025)  # fmt: skip
    ImageDraw.Draw(broken).polygon([*bite, (left - 4, top - 4)], fill=0)
    return broken


def _scatter_pieces(ground: Image.Image, product: Image.Image, mask: Image.Image, variation: int) -> None:
    """Paste the product in pieces that drifted apart and turned, with splinters between them."""
    side = ground.width
    left, top, right, bottom = _box(mask)
    centre = ((left + right) / 2, (top + bottom) / 2)
    first = 360 * hash_fraction(variation, "break")
    pieces = 6
    reach = side * 1.5
    for number in range(pieces):
        span = 360 / pieces
        wedge = [centre]
        for step in range(4):
            angle = math.radians(first + span * (number + step / 3))
            wedge.append((centre[0] + reach * math.cos(angle), centre[1] + reach * math.sin(angle)))
        cut = Image.new("L", mask.size, 0)
        ImageDraw.Draw(cut).polygon(wedge, fill=255)
        shard = ImageChops.multiply(mask, cut)
        if shard.getbbox() is None:
            continue
        angle = math.radians(first + span * (number + 0.5))
        drift = side * (0.05 + 0.05 * hash_fraction(variation, "drift", str(number)))
        turn = 50 * (hash_fraction(variation, "turn", str(number)) - 0.5)
        move = (round(drift * math.cos(angle)), round(drift * math.sin(angle) + side * 0.02))
        middle = (centre[0] + side * 0.15 * math.cos(angle), centre[1] + side * 0.15 * math.sin(angle))
        turned = product.rotate(turn, Image.Resampling.BILINEAR, center=middle, translate=move)
        turned_mask = shard.rotate(turn, Image.Resampling.BILINEAR, center=middle, translate=move)
        ground.paste((58, 52, 48), (1, 2), turned_mask)
        ground.paste(turned, (0, 0), turned_mask)
    pen = ImageDraw.Draw(ground)
    paint = product.getpixel((round(centre[0]), round(centre[1])))
    for number in range(14):
        angle = 2 * math.pi * hash_fraction(variation, "splinter", str(number))
        away = side * (0.1 + 0.33 * hash_fraction(variation, "away", str(number)))
        x, y = centre[0] + away * math.cos(angle), centre[1] + away * math.sin(angle)
        size = side * 0.018
        pen.polygon([(x, y - size), (x + size, y + size * 0.6), (x - size * 0.8, y + size)], fill=paint,
                    outline=(58, 52, 48))  # fmt: skip
