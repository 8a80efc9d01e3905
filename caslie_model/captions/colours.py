"""Names of colours: the nearest of a palette of ours, by a distance in CIE Lab that counts lightness less."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeAlias

import numpy as np

# [..., 3].
Pixels: TypeAlias = "np.ndarray[Any, Any]"

# Several shades a name: of things in light and in shadow.
_PALETTE: dict[str, tuple[tuple[int, int, int], ...]] = {
    "black": ((0, 0, 0), (25, 25, 28), (42, 42, 45)),
    "grey": ((85, 85, 88), (125, 125, 128), (165, 165, 168)),
    "light grey": ((200, 200, 203),),
    "white": ((228, 228, 228), (255, 255, 255)),
    "red": ((205, 40, 40), (150, 25, 30), (235, 80, 70), (100, 15, 20)),
    "orange": ((240, 135, 35), (215, 105, 20), (250, 170, 90)),
    "yellow": ((245, 210, 50), (215, 180, 35), (250, 230, 130), (175, 145, 30)),
    "green": ((45, 150, 65), (25, 95, 45), (120, 190, 110), (110, 130, 50)),
    "turquoise": ((40, 165, 160), (130, 210, 205), (20, 105, 105)),
    "blue": ((45, 95, 200), (30, 55, 130), (110, 155, 225), (160, 195, 235)),
    "purple": ((125, 60, 165), (80, 35, 110), (165, 120, 205)),
    "pink": ((235, 120, 170), (245, 175, 200), (205, 85, 140), (225, 50, 130)),
    "brown": ((120, 75, 45), (85, 50, 30), (155, 105, 70)),
    "beige": ((220, 200, 165), (195, 170, 130)),
}
_LIGHTNESS = 0.4
# Chroma of a pixel that counts twice.
_VIVID = 40.0
# sRGB to XYZ over the white of D65.
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
) / np.array([[0.95047], [1.0], [1.08883]])


def to_lab(pixels: Pixels) -> Pixels:
    """Return sRGB values from 0 to 255, [..., 3], in CIE Lab: L from 0 to 100, a and b about -100 to 100."""
    linear = pixels / 255.0
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    lab: Pixels = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
    return lab


def colour_names(lab: Pixels) -> Pixels:
    """Return the name of each pixel's colour.

    Args:
        lab: Pixels in CIE Lab, [n, 3].

    Returns:
        Names, [n].
    """
    names, anchors = _anchors()
    weights = np.array([_LIGHTNESS, 1.0, 1.0])
    nearest: Pixels = (((lab[:, None] - anchors[None]) * weights) ** 2).sum(axis=-1).argmin(axis=1)
    return names[nearest]


def colour_shares(lab: Pixels) -> list[tuple[str, float]]:
    """Return the names of colours with their shares of the pixels, the largest first.

    A vivid pixel counts more than a grey one: shadows and edges are grey in things of every colour.

    Args:
        lab: Pixels in CIE Lab, [n, 3].
    """
    weights = 1 + np.hypot(lab[:, 1], lab[:, 2]) / _VIVID
    names, indices = np.unique(colour_names(lab), return_inverse=True)
    counts = np.bincount(indices, weights=weights) / weights.sum()
    shares = [(str(name), float(count)) for name, count in zip(names, counts, strict=True)]
    return sorted(shares, key=lambda share: (-share[1], share[0]))


@cache
def _anchors() -> tuple[Pixels, Pixels]:
    names = np.array([name for name, shades in _PALETTE.items() for _ in shades])
    return names, to_lab(np.array([shade for shades in _PALETTE.values() for shade in shades], dtype=float))
