"""Towers of random weights from small configurations, each read as a checkpoint would be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

import caslie_model
from caslie_model.errors import ModelError
from caslie_model.vision import load_vision_encoder

SIDE, PATCH, WIDTH = 64, 16, 32
SMALL = {
    "hidden_size": WIDTH,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.2,
}
VISION = {**SMALL, "image_size": SIDE, "patch_size": PATCH}
TEXT = {**SMALL, "vocab_size": 64, "max_position_embeddings": 16, "bos_token_id": 1, "eos_token_id": 2}
SQUARE = {"height": SIDE, "width": SIDE}

Build = Callable[[], tuple[Any, Any]]


def _clip() -> Any:
    return CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=SQUARE)


def _cropping() -> Any:
    """Like DINOv2's: as it comes, an eighth of each side would be cut off."""
    return BitImageProcessorPil(size={"shortest_edge": SIDE + 16}, crop_size=SQUARE)


def _plain() -> Any:
    return ViTImageProcessorPil(size=SQUARE)


def _of_both(kind: str, text: dict[str, Any], vision: dict[str, Any]) -> Any:
    config = getattr(transformers, f"{kind}Config")(text_config=text, vision_config=vision)
    return getattr(transformers, f"{kind}Model")(config)


# name: (model, image processor, tokens in front of the patches)
TOWERS: dict[str, tuple[Callable[[], Any], Callable[[], Any], int]] = {
    "clip": (lambda: _of_both("CLIP", TEXT, VISION), _clip, 1),
    "clip-vision": (
        lambda: transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**VISION)),
        _clip,
        1,
    ),
    "siglip": (lambda: _of_both("Siglip", TEXT, VISION), _plain, 0),
    "siglip-vision": (
        lambda: transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**VISION)),
        _plain,
        0,
    ),
    "siglip2": (
        lambda: _of_both("Siglip2", TEXT, {**SMALL, "patch_size": PATCH, "num_patches": 16}),
        lambda: Siglip2ImageProcessorPil(patch_size=PATCH, max_num_patches=16),
        0,
    ),
    "dinov2": (
        lambda: transformers.Dinov2Model(transformers.Dinov2Config(**{**VISION, "image_size": 96})),
        _cropping,
        1,
    ),
    "dinov2-registers": (
        lambda: transformers.Dinov2WithRegistersModel(
            transformers.Dinov2WithRegistersConfig(**VISION, num_register_tokens=4)
        ),
        _cropping,
        5,
    ),
    "deit": (lambda: transformers.DeiTModel(transformers.DeiTConfig(**VISION)), _plain, 2),
    "vit-classifier": (
        lambda: transformers.ViTForImageClassification(transformers.ViTConfig(**VISION)),
        _plain,
        1,
    ),
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make a tower's checkpoint on first use."""
    root = tmp_path_factory.mktemp("towers")

    def checkpoint(name: str) -> Path:
        folder = root / name
        if not folder.exists():
            model, processor, _ = TOWERS[name]
            torch.manual_seed(1)
            model().save_pretrained(folder)
            processor().save_pretrained(folder)
        return folder

    return checkpoint


def patches_by_hand(folder: Path, prefix: int, image: Image.Image, layer: int | None = None) -> torch.Tensor:
    """Return the states of the checkpoint's vision model for each patch, loaded and run without our code."""
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    inputs = processor([image], return_tensors="pt", do_resize=False, do_center_crop=False)
    model = transformers.AutoModel.from_pretrained(folder)
    model = getattr(model, "vision_model", model).eval()
    with torch.no_grad():
        given = model(**inputs, output_hidden_states=True)
    hidden: torch.Tensor = given.last_hidden_state if layer is None else given.hidden_states[layer]
    return hidden[:, prefix:]


@pytest.mark.parametrize("name", TOWERS)
def test_patches_are_those_of_the_vision_model(
    name: str, checkpoints: Callable[[str], Path], render: Callable[..., Image.Image]
) -> None:
    encoder = load_vision_encoder(str(checkpoints(name)), pool=0)
    image = render(3, (SIDE, SIDE))
    features = encoder.encode([image])
    assert features.shape == (1, (SIDE // PATCH) ** 2, WIDTH)
    expected = patches_by_hand(checkpoints(name), TOWERS[name][2], image)
    torch.testing.assert_close(features, expected, atol=1e-4, rtol=1e-4)
    pooled = load_vision_encoder(str(checkpoints(name)), pool=2).encode([image])
    torch.testing.assert_close(
        pooled[0, 3], features.view(4, 4, WIDTH)[2:, 2:].mean((0, 1)), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize(("name", "layer"), [("clip", -2), ("dinov2-registers", 1), ("siglip", 0)])
def test_an_earlier_layer_can_be_asked_for(
    name: str, layer: int, checkpoints: Callable[[str], Path], render: Callable[..., Image.Image]
) -> None:
    encoder = load_vision_encoder(str(checkpoints(name)), pool=0, layer=layer)
    image = render(3, (SIDE, SIDE))
    expected = patches_by_hand(checkpoints(name), TOWERS[name][2], image, layer)
    torch.testing.assert_close(encoder.encode([image]), expected, atol=1e-4, rtol=1e-4)
    with pytest.raises(ModelError, match="has no layer 3: it has 3"):
        load_vision_encoder(str(checkpoints(name)), layer=3).width  # noqa: B018


@pytest.mark.parametrize("name", ["dinov2", "clip"])
def test_the_edges_of_an_image_are_kept(
    name: str, checkpoints: Callable[[str], Path], render: Callable[..., Image.Image]
) -> None:
    image = render(0, (200, 200))
    framed = image.copy()
    framed.paste("black", (0, 0, 200, 6))  # within what DINOv2's own way cuts off
    encoder = load_vision_encoder(str(checkpoints(name)))
    plain, marked = encoder.encode([image, framed])
    assert (plain - marked).norm() > 0.05 * plain.norm()


def test_hierarchical_and_convolutional_models_have_coarser_grids(
    tmp_path: Path, render: Callable[..., Image.Image]
) -> None:
    swin = transformers.SwinConfig(
        image_size=SIDE, patch_size=4, embed_dim=8, depths=[1, 1, 1], num_heads=[2, 2, 2], window_size=4
    )
    resnet = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
    for model, shape in (
        (transformers.SwinModel(swin), (1, 16, 32)),
        (transformers.ResNetModel(resnet), (1, 64, 16)),
    ):
        folder = tmp_path / type(model).__name__
        model.save_pretrained(folder)
        _plain().save_pretrained(folder)
        assert load_vision_encoder(str(folder), pool=0).encode([render(0)]).shape == shape


def test_a_language_model_is_no_vision_encoder(tmp_path: Path) -> None:
    transformers.LlamaConfig(**SMALL).save_pretrained(tmp_path)
    _plain().save_pretrained(tmp_path)
    with pytest.raises(
        ModelError, match="is no vision encoder: a llama model does not turn pixels into patches"
    ):
        load_vision_encoder(str(tmp_path))


def test_weights_that_are_not_there_are_not_made_up(
    tmp_path: Path, checkpoints: Callable[[str], Path]
) -> None:
    """A model that keeps its vision tower under other names would be loaded with random weights."""
    llava = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**VISION),
        text_config=transformers.LlamaConfig(**SMALL, vocab_size=64),
        image_token_index=3,
    )
    transformers.LlavaForConditionalGeneration(llava).save_pretrained(tmp_path)
    _clip().save_pretrained(tmp_path)
    encoder = load_vision_encoder(str(tmp_path))
    with pytest.raises(ModelError, match="lacks weights of its vision model"):
        encoder.width  # noqa: B018


def test_patches_that_form_no_grid_are_an_error(tmp_path: Path) -> None:
    transformers.ViTMAEModel(transformers.ViTMAEConfig(**VISION)).save_pretrained(tmp_path)
    _plain().save_pretrained(tmp_path)
    encoder = load_vision_encoder(str(tmp_path))
    with pytest.raises(ModelError, match=r"is no grid of patches|fails on a plain image"):
        encoder.patches  # noqa: B018


def test_a_checkpoint_without_image_processor_is_an_error(tmp_path: Path) -> None:
    transformers.ViTModel(transformers.ViTConfig(**VISION)).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="brings no image processor"):
        load_vision_encoder(str(tmp_path))


def test_neither_code_nor_pickles_of_a_checkpoint_are_opened(
    tmp_path: Path, checkpoints: Callable[[str], Path]
) -> None:
    folder = Path(shutil.copytree(checkpoints("vit-classifier"), tmp_path / "pickled"))
    model = transformers.ViTModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_vision_encoder(str(folder)).width  # noqa: B018

    coded = Path(shutil.copytree(checkpoints("vit-classifier"), tmp_path / "coded"))
    config = {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}}
    (coded / "config.json").write_text(json.dumps(config))
    (coded / "own.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_vision_encoder(str(coded))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.slow
def test_a_checkpoint_on_the_hub_is_identified_by_its_commit(
    tmp_path: Path, checkpoints: Callable[[str], Path]
) -> None:
    """The Hub's cache on disk, as a download leaves it, read without a network."""
    commits = ["a" * 40, "b" * 40]
    repository = tmp_path / "hub" / "models--shop--encoder"
    for commit in commits:
        shutil.copytree(checkpoints("vit-classifier"), repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    script = """
from caslie_model.vision import load_vision_encoder
encoder = load_vision_encoder("shop/encoder")
print(encoder.settings["weights"], encoder.fingerprint, encoder.patches, encoder.width)
"""
    said = []
    for commit in commits:
        (repository / "refs" / "main").write_text(commit)
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={
                **os.environ,
                "PYTHONPATH": str(Path(caslie_model.__file__).parents[1]),
                "HF_HUB_CACHE": str(tmp_path / "hub"),
                "HF_HUB_OFFLINE": "1",
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.split())
    assert [line[0] for line in said] == [f"shop/encoder@{commit}" for commit in commits]
    assert said[0][1] != said[1][1]
    assert [line[2:] for line in said] == [["16", "32"]] * 2
