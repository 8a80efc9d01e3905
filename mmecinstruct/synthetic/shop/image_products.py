"""Functions that render the thirty kinds of products, in the coordinates of `image_canvas`."""

from __future__ import annotations

import math
from collections.abc import Callable

from mmecinstruct.synthetic.shop.image_canvas import (
    INK,
    STEEL,
    WHITE,
    WOOD,
    Canvas,
    Colour,
    Point,
    arc,
    rectangle,
    ring,
    rounded,
)

_LEAF: Colour = (86, 150, 72)
_PAPER: Colour = (246, 243, 232)
_SKY: Colour = (190, 220, 238)
_GROUND_DARK: Colour = (70, 62, 58)


def _cylinder(canvas: Canvas, x0: float, y0: float, x1: float, y1: float, taper: float = 0.0) -> None:
    """Draw an open vessel from above the rim: body with a round bottom, and the dark inside."""
    middle, half, lip = (x0 + x1) / 2, (x1 - x0) / 2, (x1 - x0) * 0.12
    canvas.body([(x0, y0), *reversed(arc(middle, y1 - lip, half - taper, lip, 0, 180)), (x1, y0)])
    canvas.plain(arc(middle, y0, half, lip), 0.8)
    canvas.flat(arc(middle, y0, half * 0.88, lip * 0.78), (84, 80, 78), outlined=False)


def mug(canvas: Canvas) -> None:
    """A mug: a short cylinder with a handle."""
    canvas.plain(ring(0.68, 0.52, 0.2, 0.2, 0.32, -95, 95))
    _cylinder(canvas, 0.18, 0.26, 0.7, 0.84)


def tumbler(canvas: Canvas) -> None:
    """A tumbler: tall, tapered, with lid and straw, without handle."""
    canvas.line([(0.56, 0.2), (0.64, 0.0)], (225, 225, 228), 0.035)
    canvas.line([(0.56, 0.2), (0.64, 0.0)], STEEL, 0.008)
    canvas.body([(0.28, 0.22), *reversed(arc(0.5, 0.93, 0.15, 0.04, 0, 180)), (0.72, 0.22)])
    canvas.flat(rounded(0.25, 0.14, 0.75, 0.23, 0.03), (92, 96, 102))
    canvas.flat(rounded(0.32, 0.1, 0.68, 0.15, 0.02), (112, 116, 122))


def bowl(canvas: Canvas) -> None:
    """A bowl from the side: half a ball with a foot."""
    canvas.plain([(0.36, 0.74), (0.64, 0.74), (0.68, 0.84), (0.32, 0.84)], 0.8)
    canvas.body(arc(0.5, 0.4, 0.43, 0.4, 0, 180))
    canvas.plain(arc(0.5, 0.4, 0.43, 0.1), 0.85)
    canvas.flat(arc(0.5, 0.405, 0.38, 0.075), (232, 226, 216))


def plate(canvas: Canvas) -> None:
    """A plate from above: a patterned disc with an inner rim."""
    canvas.body(arc(0.5, 0.5, 0.44, 0.44, steps=60))
    canvas.line(arc(0.5, 0.5, 0.42, 0.42, steps=60), WHITE, 0.012)
    canvas.line(arc(0.5, 0.5, 0.28, 0.28, steps=60), canvas.edge, 0.012)
    canvas.line(arc(0.5, 0.5, 0.27, 0.27, 150, 300), WHITE, 0.01)


def saucepan(canvas: Canvas) -> None:
    """A saucepan: low, with one long handle."""
    canvas.flat([(0.6, 0.44), (0.98, 0.34), (0.99, 0.4), (0.61, 0.54)], INK)
    canvas.flat(arc(0.95, 0.375, 0.014, 0.014), WHITE, outlined=False)
    _cylinder(canvas, 0.06, 0.42, 0.63, 0.78)


def stockpot(canvas: Canvas) -> None:
    """A stockpot: tall, two ears, lid with a knob."""
    for sign in (-1, 1):
        canvas.flat(ring(0.5 + sign * 0.36, 0.46, 0.1, 0.07, 0.45, 0, 360), INK)
    canvas.body([(0.16, 0.32), *reversed(arc(0.5, 0.86, 0.34, 0.06, 0, 180)), (0.84, 0.32)])
    canvas.flat(arc(0.5, 0.33, 0.37, 0.14, 180, 360), STEEL)
    canvas.flat(rectangle(0.12, 0.31, 0.88, 0.35), STEEL)
    canvas.flat(arc(0.5, 0.15, 0.06, 0.05), INK)


def football(canvas: Canvas) -> None:
    """An American football: pointed oval with laces and two rings."""
    upper = arc(0.5, 0.83, 0.6, 0.6, 221, 319)
    lower = arc(0.5, 0.17, 0.6, 0.6, 41, 139)
    canvas.body([*upper, *lower])
    for x in (0.22, 0.78):
        bend = 0.03 if x < 0.5 else -0.03
        canvas.line([(x, 0.355), (x + bend, 0.5), (x, 0.645)], WHITE, 0.035)
        canvas.line([(x - 0.022, 0.365), (x + bend - 0.022, 0.5), (x - 0.022, 0.635)], INK, 0.006)
    canvas.line([(0.36, 0.36), (0.64, 0.36)], WHITE, 0.03)
    for step in range(5):
        x = 0.38 + step * 0.06
        canvas.line([(x, 0.32), (x, 0.4)], WHITE, 0.022)


def basketball(canvas: Canvas) -> None:
    """A basketball: round, with the curved seams."""
    canvas.body(arc(0.5, 0.5, 0.42, 0.42, steps=60))
    for points in (
        [(0.5, 0.08), (0.5, 0.92)],
        [(0.08, 0.5), (0.92, 0.5)],
        arc(0.08, 0.5, 0.27, 0.34, -65, 65),
        arc(0.92, 0.5, 0.27, 0.34, 115, 245),
    ):
        canvas.line(points, INK, 0.02)


def backpack(canvas: Canvas) -> None:
    """A backpack: upright, top loop, straps, front pocket with zip."""
    canvas.plain(ring(0.5, 0.13, 0.11, 0.1, 0.35, 180, 360), 0.6)
    for x0, x1 in ((0.14, 0.26), (0.74, 0.86)):
        canvas.plain(rounded(x0, 0.3, x1, 0.82, 0.05), 0.6)
    canvas.body(rounded(0.22, 0.12, 0.78, 0.92, 0.16))
    canvas.body(rounded(0.29, 0.52, 0.71, 0.86, 0.06), darker=True)
    canvas.line([(0.33, 0.58), (0.67, 0.58)], INK, 0.014)
    canvas.line(arc(0.5, 0.46, 0.25, 0.24, 195, 345), INK, 0.012)
    canvas.flat(rectangle(0.65, 0.575, 0.68, 0.64), STEEL)


def duffel(canvas: Canvas) -> None:
    """A duffel: a long roll with two carrying handles."""
    canvas.flat(ring(0.5, 0.42, 0.22, 0.24, 0.15, 180, 360), INK)
    canvas.body(rounded(0.05, 0.38, 0.95, 0.8, 0.16))
    for x in (0.28, 0.72):
        canvas.flat(rectangle(x - 0.025, 0.38, x + 0.025, 0.8), INK)
    canvas.line([(0.12, 0.42), (0.88, 0.42)], INK, 0.012)
    canvas.plain(arc(0.12, 0.59, 0.05, 0.16), 0.7)
    canvas.plain(arc(0.88, 0.59, 0.05, 0.16), 0.7)


def cap(canvas: Canvas) -> None:
    """A baseball cap from the side, with visor and button."""
    canvas.body([*arc(0.42, 0.6, 0.32, 0.36, 180, 360), (0.74, 0.62), (0.1, 0.62)])
    canvas.plain(
        [(0.42, 0.58), (0.74, 0.54), *arc(0.74, 0.64, 0.23, 0.09, -80, 60), (0.5, 0.66), (0.42, 0.63)], 0.75
    )
    canvas.line(arc(0.42, 0.6, 0.1, 0.36, 180, 360), canvas.edge, 0.008)
    canvas.plain(arc(0.42, 0.235, 0.035, 0.022), 0.7)


def beanie(canvas: Canvas) -> None:
    """A knit cap with a folded edge and a bobble."""
    canvas.body([*arc(0.5, 0.66, 0.32, 0.46, 180, 360), (0.82, 0.72), (0.18, 0.72)])
    canvas.plain(rounded(0.14, 0.66, 0.86, 0.86, 0.05), 0.8)
    for step in range(11):
        x = 0.2 + step * 0.06
        canvas.line([(x, 0.68), (x, 0.84)], canvas.edge, 0.008)
    tufts = [(0.12 + 0.025 * (step % 2), step * math.pi / 12) for step in range(24)]
    canvas.flat([(0.5 + r * math.cos(turn), 0.17 + r * math.sin(turn)) for r, turn in tufts], _PAPER)


def _slanted(points: list[Point], lean: float = -38) -> list[Point]:
    turn = math.radians(lean)
    return [
        (
            0.5 + (x - 0.5) * math.cos(turn) - (y - 0.5) * math.sin(turn),
            0.5 + (x - 0.5) * math.sin(turn) + (y - 0.5) * math.cos(turn),
        )
        for x, y in points
    ]


def ballpoint_pen(canvas: Canvas) -> None:
    """A ballpoint pen: metal tip, clip and push button."""
    canvas.flat(_slanted([(-0.04, 0.5), (0.08, 0.46), (0.08, 0.54)]), STEEL)
    canvas.flat(_slanted([(0.06, 0.445), (0.16, 0.41), (0.16, 0.59), (0.06, 0.555)]), (120, 126, 134))
    canvas.body(_slanted(rounded(0.15, 0.4, 0.9, 0.6, 0.03)))
    canvas.flat(_slanted(rectangle(0.55, 0.4, 0.58, 0.6)), STEEL)
    canvas.flat(_slanted(rounded(0.89, 0.455, 1.02, 0.545, 0.03)), STEEL)
    canvas.flat(_slanted([(0.6, 0.36), (0.92, 0.36), (0.92, 0.43), (0.87, 0.41), (0.6, 0.4)]), STEEL)


def pencil(canvas: Canvas) -> None:
    """A pencil: wooden point with lead, band and eraser."""
    canvas.flat(_slanted([(-0.02, 0.5), (0.2, 0.4), (0.2, 0.6)]), (228, 188, 132))
    canvas.flat(_slanted([(-0.02, 0.5), (0.06, 0.465), (0.06, 0.535)]), INK)
    scallops = [(0.17, 0.56), (0.2, 0.53), (0.17, 0.5), (0.2, 0.47), (0.17, 0.44)]
    canvas.body(_slanted([(0.2, 0.4), (0.84, 0.4), (0.84, 0.6), (0.2, 0.6), *scallops]))
    canvas.line(_slanted([(0.2, 0.465), (0.84, 0.465)]), canvas.edge, 0.006)
    canvas.line(_slanted([(0.2, 0.535), (0.84, 0.535)]), canvas.edge, 0.006)
    canvas.flat(_slanted(rectangle(0.83, 0.395, 0.92, 0.605)), STEEL)
    canvas.line(_slanted([(0.875, 0.4), (0.875, 0.6)]), (120, 126, 134), 0.008)
    canvas.flat(_slanted(rounded(0.91, 0.4, 1.03, 0.6, 0.05)), (232, 150, 152))


def spiral_notebook(canvas: Canvas) -> None:
    """A notebook with a wire spiral along its edge."""
    canvas.flat(rectangle(0.26, 0.1, 0.86, 0.93), _PAPER)
    canvas.body(rectangle(0.22, 0.07, 0.83, 0.91))
    canvas.flat(rectangle(0.4, 0.2, 0.72, 0.36), WHITE)
    canvas.line([(0.44, 0.26), (0.68, 0.26)], STEEL, 0.008)
    canvas.line([(0.44, 0.31), (0.62, 0.31)], STEEL, 0.008)
    for step in range(13):
        y = 0.1 + step * 0.065
        canvas.line(arc(0.21, y, 0.055, 0.02, 20, 340, 16), INK, 0.014)


def journal(canvas: Canvas) -> None:
    """A small hardcover journal with thick pages, elastic band and ribbon."""
    canvas.flat([(0.42, 0.84), (0.47, 0.84), (0.47, 0.98), (0.445, 0.95), (0.42, 0.98)], (206, 178, 96))
    canvas.flat(rounded(0.28, 0.18, 0.84, 0.88, 0.04), _PAPER)
    for step in range(3):
        canvas.line([(0.79 + step * 0.015, 0.22), (0.79 + step * 0.015, 0.85)], STEEL, 0.004)
    canvas.body(rounded(0.22, 0.14, 0.77, 0.84, 0.06))
    canvas.line([(0.29, 0.145), (0.29, 0.835)], canvas.edge, 0.014)
    canvas.flat(rectangle(0.65, 0.135, 0.69, 0.845), INK if canvas.main[0] > 60 else STEEL)


def pen_holder(canvas: Canvas) -> None:
    """A desk cup with a pencil, a pen and a ruler in it."""
    canvas.flat([(0.3, 0.5), (0.24, 0.14), (0.27, 0.06), (0.31, 0.13), (0.37, 0.5)], WOOD)
    canvas.flat([(0.24, 0.14), (0.27, 0.06), (0.31, 0.13)], (228, 188, 132))
    canvas.flat([(0.46, 0.5), (0.46, 0.1), (0.49, 0.04), (0.52, 0.1), (0.52, 0.5)], (96, 118, 150))
    canvas.flat([(0.6, 0.5), (0.68, 0.08), (0.78, 0.1), (0.7, 0.5)], (236, 218, 160))
    for step in range(5):
        y = 0.14 + step * 0.06
        canvas.line([(0.672 - step * 0.0115, y), (0.7 - step * 0.0115, y + 0.006)], INK, 0.007)
    _cylinder(canvas, 0.22, 0.42, 0.78, 0.94)


def letter_tray(canvas: Canvas) -> None:
    """Two stacked trays with sheets of paper."""
    for x in (0.1, 0.86):
        canvas.flat(rectangle(x, 0.3, x + 0.04, 0.84), STEEL)
    for y in (0.56, 0.22):
        canvas.plain([(0.2, y), (0.8, y), (0.94, y + 0.16), (0.06, y + 0.16)], 0.7)
        canvas.flat([(0.26, y - 0.03), (0.74, y - 0.03), (0.84, y + 0.13), (0.16, y + 0.13)], _PAPER)
        canvas.line([(0.3, y + 0.02), (0.7, y + 0.02)], STEEL, 0.006)
        canvas.line([(0.27, y + 0.06), (0.73, y + 0.06)], STEEL, 0.006)
        canvas.body([(0.06, y + 0.12), (0.94, y + 0.12), (0.92, y + 0.29), (0.08, y + 0.29)])


def _face(canvas: Canvas, cy: float) -> None:
    for x in (0.43, 0.57):
        canvas.flat(arc(x, cy - 0.03, 0.024, 0.028), INK, outlined=False)
        canvas.flat(arc(x - 0.006, cy - 0.037, 0.008, 0.008), WHITE, outlined=False)


def teddy_bear(canvas: Canvas) -> None:
    """A sitting bear with round ears and a light muzzle."""
    for x in (0.33, 0.67):
        canvas.body(arc(x, 0.13, 0.1, 0.1))
        canvas.flat(arc(x, 0.135, 0.05, 0.05), (236, 208, 176), outlined=False)
    for x in (0.2, 0.8):
        canvas.body(arc(x, 0.6, 0.12, 0.16))
    for x in (0.27, 0.73):
        canvas.body(arc(x, 0.86, 0.15, 0.1))
        canvas.flat(arc(x, 0.87, 0.07, 0.055), (236, 208, 176), outlined=False)
    canvas.body(arc(0.5, 0.67, 0.26, 0.25))
    canvas.body(arc(0.5, 0.3, 0.24, 0.22))
    canvas.flat(arc(0.5, 0.37, 0.1, 0.08), (240, 216, 186))
    _face(canvas, 0.28)
    canvas.flat(arc(0.5, 0.34, 0.03, 0.022), INK, outlined=False)
    canvas.line(arc(0.5, 0.365, 0.04, 0.035, 20, 160), INK, 0.01)


def plush_rabbit(canvas: Canvas) -> None:
    """A sitting rabbit with long upright ears, whiskers and teeth."""
    for x, lean in ((0.4, -0.05), (0.6, 0.05)):
        canvas.body([(x - 0.065, 0.34), *arc(x + lean, 0.17, 0.075, 0.17, 180, 360), (x + 0.065, 0.34)])
        canvas.flat([(x - 0.028, 0.3), *arc(x + lean, 0.18, 0.035, 0.12, 180, 360), (x + 0.028, 0.3)],
                    (246, 206, 210), outlined=False)  # fmt: skip
    for x in (0.28, 0.72):
        canvas.body(arc(x, 0.92, 0.14, 0.07))
    canvas.body(arc(0.5, 0.76, 0.2, 0.19))
    canvas.flat(arc(0.5, 0.79, 0.1, 0.11), (246, 238, 226), outlined=False)
    canvas.body(arc(0.5, 0.45, 0.18, 0.16))
    _face(canvas, 0.45)
    canvas.flat([(0.48, 0.475), (0.52, 0.475), (0.5, 0.5)], (226, 110, 130), outlined=False)
    canvas.flat(rectangle(0.482, 0.52, 0.518, 0.565), WHITE)
    for sign in (-1, 1):
        for rise in (-0.03, 0.0, 0.03):
            canvas.line([(0.5 + sign * 0.06, 0.505), (0.5 + sign * 0.24, 0.505 + rise * 1.6)], INK, 0.005)


def _wheel(canvas: Canvas, x: float, y: float, r: float) -> None:
    canvas.flat(arc(x, y, r, r), INK)
    canvas.flat(arc(x, y, r * 0.5, r * 0.5), STEEL)


def toy_car(canvas: Canvas) -> None:
    """A car from the side with windows and two wheels."""
    canvas.body([(0.24, 0.5), (0.34, 0.28), (0.66, 0.28), (0.78, 0.5)])
    canvas.flat([(0.31, 0.48), (0.37, 0.33), (0.48, 0.33), (0.48, 0.48)], _SKY)
    canvas.flat([(0.53, 0.48), (0.53, 0.33), (0.64, 0.33), (0.7, 0.48)], _SKY)
    canvas.body(rounded(0.05, 0.48, 0.95, 0.7, 0.07))
    canvas.flat(arc(0.92, 0.57, 0.025, 0.03), (252, 236, 150))
    for x in (0.25, 0.75):
        _wheel(canvas, x, 0.71, 0.105)


def toy_train(canvas: Canvas) -> None:
    """A steam engine with boiler, chimney and cab."""
    canvas.flat([(0.74, 0.44), (0.76, 0.2), (0.71, 0.14), (0.89, 0.14), (0.84, 0.2), (0.86, 0.44)], INK)
    canvas.flat(arc(0.57, 0.4, 0.06, 0.06, 180, 360), (214, 176, 84))
    canvas.body(rounded(0.34, 0.38, 0.92, 0.68, 0.06))
    canvas.flat(rectangle(0.06, 0.12, 0.42, 0.18), INK)
    canvas.body(rectangle(0.1, 0.18, 0.38, 0.7))
    canvas.flat(rectangle(0.16, 0.25, 0.32, 0.4), _SKY)
    canvas.flat(rectangle(0.06, 0.68, 0.92, 0.74), INK)
    canvas.flat([(0.9, 0.68), (0.99, 0.86), (0.86, 0.86)], (120, 40, 40))
    for x, r in ((0.2, 0.1), (0.47, 0.075), (0.64, 0.075), (0.81, 0.075)):
        _wheel(canvas, x, 0.88 - r, r)


def kite(canvas: Canvas) -> None:
    """A kite: diamond with crossed sticks and a tail with bows."""
    tail = [(0.5, 0.68), (0.58, 0.76), (0.46, 0.84), (0.56, 0.92), (0.48, 1.0)]
    canvas.line(tail, INK, 0.01)
    for x, y in tail[1:4]:
        canvas.plain([(x - 0.06, y - 0.035), (x, y), (x - 0.06, y + 0.035)])
        canvas.plain([(x + 0.06, y - 0.035), (x, y), (x + 0.06, y + 0.035)])
    canvas.body([(0.5, 0.0), (0.84, 0.27), (0.5, 0.7), (0.16, 0.27)])
    canvas.line([(0.5, 0.0), (0.5, 0.7)], INK, 0.012)
    canvas.line([(0.16, 0.27), (0.84, 0.27)], INK, 0.012)


def pinwheel(canvas: Canvas) -> None:
    """A pinwheel: four folded blades on a stick."""
    canvas.flat(rectangle(0.485, 0.38, 0.515, 1.0), WOOD)
    for quarter in range(4):
        turn = quarter * math.pi / 2

        def at(x: float, y: float, turn: float = turn) -> Point:
            return (
                0.5 + x * math.cos(turn) - y * math.sin(turn),
                0.36 + x * math.sin(turn) + y * math.cos(turn),
            )

        canvas.body([at(0, 0), at(0.03, -0.2), at(0.12, -0.36), at(0.36, -0.3), at(0.2, -0.16)])
        canvas.plain([at(0, 0), at(0.2, -0.16), at(0.36, -0.3), at(0.28, -0.06)], 0.65)
    canvas.flat(arc(0.5, 0.36, 0.045, 0.045), (250, 214, 84))


def _plant(canvas: Canvas, x: float, y: float, height: float) -> None:
    canvas.line([(x, y), (x, y - height)], (62, 120, 58), 0.016)
    for sign in (-1, 1):
        canvas.flat(
            [(x, y - height * 0.3), *arc(x + sign * 0.08, y - height * 0.5, 0.07, 0.04, 0, 360, 14)], _LEAF
        )
    for petal in range(5):
        angle = petal * 2 * math.pi / 5
        centre = (x + 0.045 * math.cos(angle), y - height + 0.045 * math.sin(angle))
        canvas.flat(arc(*centre, 0.035, 0.035, steps=12), (252, 250, 246))
    canvas.flat(arc(x, y - height, 0.03, 0.03, steps=12), (250, 206, 70), outlined=False)


def flower_pot(canvas: Canvas) -> None:
    """A tapered pot with a thick rim and one flower."""
    _plant(canvas, 0.5, 0.46, 0.34)
    canvas.body([(0.25, 0.52), (0.75, 0.52), (0.66, 0.95), (0.34, 0.95)])
    canvas.plain(rounded(0.19, 0.43, 0.81, 0.55, 0.02), 0.85)


def window_box(canvas: Canvas) -> None:
    """A long low box with a row of flowers, hung on brackets."""
    for x in (0.14, 0.32, 0.5, 0.68, 0.86):
        _plant(canvas, x, 0.54, 0.24)
    for x in (0.2, 0.76):
        canvas.flat([(x, 0.8), (x + 0.04, 0.8), (x + 0.04, 0.93), (x, 0.88)], INK)
    canvas.body([(0.02, 0.52), (0.98, 0.52), (0.95, 0.82), (0.05, 0.82)])
    canvas.plain(rectangle(0.0, 0.49, 1.0, 0.56), 0.85)


def watering_can(canvas: Canvas) -> None:
    """A can with a long spout and a large handle."""
    canvas.plain(ring(0.66, 0.47, 0.29, 0.3, 0.18, 190, 440), 0.75)
    canvas.plain([(0.38, 0.78), (0.38, 0.66), (0.1, 0.28), (0.04, 0.32)], 0.8)
    canvas.flat([(-0.02, 0.3), (0.13, 0.2), (0.16, 0.26), (0.01, 0.36)], STEEL)
    _cylinder(canvas, 0.34, 0.42, 0.8, 0.9)


def garden_sprayer(canvas: Canvas) -> None:
    """A spray bottle with trigger and nozzle."""
    canvas.body([(0.4, 0.4), *arc(0.66, 0.56, 0.14, 0.14, -90, 0, 8), (0.8, 0.95), (0.26, 0.95),
                 *arc(0.4, 0.56, 0.14, 0.14, 180, 270, 8), (0.6, 0.4)])  # fmt: skip
    canvas.flat(rectangle(0.44, 0.26, 0.62, 0.42), (92, 96, 102))
    canvas.flat([(0.16, 0.12), (0.66, 0.08), (0.76, 0.18), (0.7, 0.27), (0.4, 0.27), (0.16, 0.22)], INK)
    canvas.flat(rectangle(0.08, 0.125, 0.17, 0.215), (232, 180, 60))
    canvas.flat([(0.3, 0.25), (0.4, 0.25), (0.36, 0.34), (0.26, 0.44), (0.22, 0.42)], (232, 180, 60))


def _seat(canvas: Canvas, left: float, right: float, bays: int) -> None:
    width = 0.045
    for x in (left, right - width):
        canvas.flat(rectangle(x, 0.62, x + width, 0.97), WOOD)
    for x in (left + 0.08, right - 0.08 - width):
        canvas.flat(rectangle(x, 0.66, x + width * 0.8, 0.88), _GROUND_DARK)
    step = (right - left) / bays
    for bay in range(bays):
        x = left + bay * step
        canvas.body(rounded(x + 0.015, 0.12, x + step - 0.015, 0.58, 0.05))
    canvas.body(
        [(left + 0.03, 0.56), (right - 0.03, 0.56), (right + 0.02, 0.7), (left - 0.02, 0.7)], darker=True
    )
    for x in (left - 0.025, right - 0.035):
        canvas.flat(rounded(x, 0.4, x + 0.06, 0.46, 0.02), WOOD)
        canvas.flat(rectangle(x + 0.01, 0.45, x + 0.05, 0.66), WOOD)


def garden_chair(canvas: Canvas) -> None:
    """A chair for one: narrow, with one back rest."""
    _seat(canvas, 0.27, 0.73, 1)


def garden_bench(canvas: Canvas) -> None:
    """A bench for three: as wide as the image, with three back rests."""
    _seat(canvas, 0.04, 0.96, 3)


RENDERERS: dict[str, Callable[[Canvas], None]] = {
    "Mugs": mug,
    "Tumblers": tumbler,
    "Bowls": bowl,
    "Plates": plate,
    "Saucepans": saucepan,
    "Stockpots": stockpot,
    "Footballs": football,
    "Basketballs": basketball,
    "Backpacks": backpack,
    "Duffels": duffel,
    "Caps": cap,
    "Beanies": beanie,
    "Ballpoint Pens": ballpoint_pen,
    "Pencils": pencil,
    "Spiral Notebooks": spiral_notebook,
    "Journals": journal,
    "Pen Holders": pen_holder,
    "Letter Trays": letter_tray,
    "Teddy Bears": teddy_bear,
    "Plush Rabbits": plush_rabbit,
    "Toy Cars": toy_car,
    "Toy Trains": toy_train,
    "Kites": kite,
    "Pinwheels": pinwheel,
    "Flower Pots": flower_pot,
    "Window Boxes": window_box,
    "Watering Cans": watering_can,
    "Garden Sprayers": garden_sprayer,
    "Garden Chairs": garden_chair,
    "Garden Benches": garden_bench,
}
