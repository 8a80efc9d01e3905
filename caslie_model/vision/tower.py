"""What every source of a vision encoder provides: how to prepare images, and how to load the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caslie_model.runtime.device import Device

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

Network = Callable[["dict[str, Tensor]"], "Tensor"]


@dataclass(frozen=True)
class Tower:
    """A vision model before its weights are loaded."""

    weights: str  # changes when the weights do
    processor: str  # changes when the preparation of pixels does
    size: tuple[int, int]  # width and height that images are brought to
    resample: int  # Pillow's filter for that
    to_inputs: Callable[[list[Image]], dict[str, Tensor]]  # images of that size to what the network takes
    load: Callable[[Device], Network]  # gives the network: inputs to a grid [n, dv, rows, columns]
