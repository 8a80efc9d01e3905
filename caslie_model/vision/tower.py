"""The interface of a vision encoder's source: how it prepares images and loads its network."""

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
    """A vision model before its weights are loaded.

    Attributes:
        weights: Changes when the weights do.
        processor: Changes when the preparation of pixels does.
        size: Width and height in pixels that images are scaled to.
        resample: Pillow's filter for that.
        to_inputs: Images of that size to the network's inputs.
        load: Returns the network: inputs to a grid [n, dv, rows, columns].
    """

    weights: str
    processor: str
    size: tuple[int, int]
    resample: int
    to_inputs: Callable[[list[Image]], dict[str, Tensor]]
    load: Callable[[Device], Network]
