from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from caslie_model.errors import ModelError
from caslie_model.runtime.device import Device
from caslie_model.runtime.model_cache import cache_folder
from caslie_model.vision import VisionEncoder, load_vision_encoder

Render = Callable[..., Image.Image]


@pytest.fixture
def own_copy(tiny: VisionEncoder, tmp_path: Path) -> Path:
    """The tiny encoder's checkpoint as a folder of the test's own."""
    import shutil

    return Path(shutil.copytree(cache_folder() / "random-tiny-vit-1", tmp_path / "encoder"))


def test_images_of_any_size_become_patches(tiny: VisionEncoder, render: Render) -> None:
    features = tiny.encode([render(0), render(1, (300, 20)), render(2, (56, 56))])
    assert features.shape == (3, tiny.patches, tiny.width) == (3, 49, 32)
    assert (features.dtype, features.device.type) == (torch.float32, "cpu")
    assert tiny.encode([]).shape == (0, 49, 32)


def test_features_depend_on_the_image_alone(tiny: VisionEncoder, render: Render) -> None:
    again = load_vision_encoder("random:tiny-vit")
    assert again.fingerprint == tiny.fingerprint
    both = again.encode([render(7), render(3)])
    torch.testing.assert_close(both[1], tiny.encode([render(3)])[0], atol=1e-5, rtol=1e-5)
    assert (both[0] - both[1]).abs().max() > 0.1


def test_patches_stand_row_by_row_from_the_top_left(tiny: VisionEncoder) -> None:
    plain, marked = Image.new("RGB", (56, 56), "white"), Image.new("RGB", (56, 56), "white")
    marked.paste("red", (8, 16, 16, 24))  # row 2, column 1 of the 7x7 grid
    plain_features, marked_features = tiny.encode([plain, marked])
    assert int((marked_features - plain_features).norm(dim=1).argmax()) == 2 * 7 + 1


def test_pooling_averages_the_grid(render: Render) -> None:
    whole = load_vision_encoder("random:tiny-vit", pool=0)
    one = load_vision_encoder("random:tiny-vit", pool=1)
    assert (whole.patches, one.patches) == (49, 1)
    assert load_vision_encoder("random:tiny-vit", pool=12).patches == 49  # a grid is never blown up
    torch.testing.assert_close(one.encode([render(0)])[0, 0], whole.encode([render(0)])[0].mean(0))


def test_features_can_be_the_input_of_a_trained_layer(tiny: VisionEncoder, render: Render) -> None:
    layer = torch.nn.Linear(tiny.width, 1)
    layer(tiny.encode([render(0)])).sum().backward()
    assert layer.weight.grad is not None


def test_the_fingerprint_is_known_before_the_weights_are_loaded(own_copy: Path) -> None:
    weights = (own_copy / "model.safetensors").read_bytes()
    encoder = load_vision_encoder(str(own_copy))
    (own_copy / "model.safetensors").write_bytes(b"")
    assert len(encoder.fingerprint) == 32
    with pytest.raises(ModelError, match="cannot be loaded"):
        encoder.width  # noqa: B018
    (own_copy / "model.safetensors").write_bytes(weights)
    assert encoder.width == 32


def test_whatever_changes_the_features_changes_the_fingerprint(tiny: VisionEncoder, own_copy: Path) -> None:
    fingerprints = [
        tiny.fingerprint,
        load_vision_encoder("random:tiny-vit", pool=0).fingerprint,
        load_vision_encoder("random:tiny-vit", Device("cpu", "bfloat16")).fingerprint,
        load_vision_encoder("random:tiny-vit", layer=1).fingerprint,
    ]
    processor = json.loads((own_copy / "preprocessor_config.json").read_text())
    for change in ({"image_mean": [0.4, 0.5, 0.5]}, {"size": {"height": 48, "width": 48}}, {"resample": 3}):
        (own_copy / "preprocessor_config.json").write_text(json.dumps({**processor, **change}))
        fingerprints.append(load_vision_encoder(str(own_copy)).fingerprint)
    (own_copy / "preprocessor_config.json").write_text(json.dumps(processor))
    weights = bytearray((own_copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (own_copy / "model.safetensors").write_bytes(weights)
    fingerprints.append(load_vision_encoder(str(own_copy)).fingerprint)
    assert len(set(fingerprints)) == len(fingerprints)


def test_the_same_checkpoint_elsewhere_is_the_same_encoder(tiny: VisionEncoder, own_copy: Path) -> None:
    assert load_vision_encoder(str(own_copy)).fingerprint == tiny.fingerprint


def test_bfloat16_gives_nearly_the_same(tiny: VisionEncoder, render: Render) -> None:
    expected = tiny.encode([render(0)])
    given = load_vision_encoder("random:tiny-vit", Device("cpu", "bfloat16")).encode([render(0)])
    assert given.dtype == torch.float32
    assert 0 < (given - expected).norm() / expected.norm() < 0.05


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no encoder", "no vision encoder 'no encoder'"),
        ("package:resnet", "the only packaged one is package:efficientnet_lite0"),
        ("random:tiny", "no vision encoder 'random:tiny'"),
    ],
)
def test_a_wrong_name_is_an_error_with_a_remedy(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_vision_encoder(name)


def test_a_negative_pool_is_an_error() -> None:
    with pytest.raises(ModelError, match="pool=-1"):
        load_vision_encoder("random:tiny-vit", pool=-1)
