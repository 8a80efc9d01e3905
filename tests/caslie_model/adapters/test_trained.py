"""Adapters whose files are damaged are refused by name: peft would leave their LoRA at random, or run a pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from caslie_model.adapters.loading import load_for_evaluation
from caslie_model.adapters.trained import load_trained
from caslie_model.backbones.language_model import load_base_model
from caslie_model.config.files import PEFT_CONFIG, PEFT_WEIGHTS, adapter_weights
from caslie_model.config.presets import evaluate_config
from caslie_model.errors import ModelError
from caslie_model.training.finetune import finetune
from tests.caslie_model.adapters.conftest import Settings

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def trained(image_dataset: Path, image_config: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an adapter for text, and one for text and images."""
    folder = tmp_path_factory.mktemp("trained")
    for fusion in ("text", "xattn"):
        finetune(image_config(image_dataset, folder / fusion, f"fusion={fusion}"))
    return folder


def load(folder: Path) -> Any:
    return load_trained(load_base_model("random:tiny"), folder.name, folder)


def change_weights(folder: Path, change: Change) -> None:
    file = adapter_weights(folder)
    assert file is not None
    weights = load_file(file)
    save_file(change(weights) or weights, file, metadata={"format": "pt"})


def delete(weights: dict[str, Any]) -> None:
    del weights[min(weights)]


def rename(weights: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("layers.0", "layers.7"): tensor for name, tensor in weights.items()}


def add(weights: dict[str, Any]) -> None:
    weights["extra"] = torch.ones(1)


@pytest.mark.parametrize("change", [delete, rename, add])
def test_tensors_that_do_not_fit_are_named(trained: Path, tmp_path: Path, change: Change) -> None:
    folder = shutil.copytree(trained / "text", tmp_path / "text")
    change_weights(folder, change)
    with pytest.raises(ModelError, match=rf"{folder}: {PEFT_WEIGHTS} does not fit {PEFT_CONFIG}: .*first "):
        load(folder)


def test_modules_that_the_config_leaves_out_are_named(trained: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trained / "text", tmp_path / "text")
    content = json.loads((folder / PEFT_CONFIG).read_text())
    (folder / PEFT_CONFIG).write_text(json.dumps({**content, "target_modules": ["q_proj"]}))
    with pytest.raises(ModelError, match=r"does not fit .*first base_model\.model\."):
        load(folder)


@pytest.mark.parametrize("fusion", ["text", "xattn"])
def test_weights_that_are_no_finite_numbers_are_named(trained: Path, tmp_path: Path, fusion: str) -> None:
    folder = shutil.copytree(trained / fusion, tmp_path / fusion)
    load(folder)

    def spoil(weights: dict[str, Any]) -> None:
        weights[max(weights)].view(-1)[0] = torch.inf

    change_weights(folder, spoil)
    with pytest.raises(ModelError, match=r"its .* has values that are no finite numbers; train it again"):
        load(folder)


@pytest.mark.parametrize("pickled", [False, True])
def test_without_safetensors_neither_a_pickle_nor_the_hub_is_read(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pickled: bool
) -> None:
    """The folder of an adapter that peft wrote without us."""
    folder = tmp_path / "text"
    folder.mkdir()
    shutil.copy(trained / "text" / PEFT_CONFIG, folder)
    if pickled:
        torch.save(load_file(trained / "text" / PEFT_WEIGHTS), folder / "adapter_model.bin")
    monkeypatch.setattr("torch.load", lambda *_, **__: pytest.fail("read a pickle"))
    reason = "; adapter_model.bin may run code and is not read" if pickled else "$"
    with pytest.raises(ModelError, match=f"{folder} holds no {PEFT_WEIGHTS}{reason}"):
        load_for_evaluation(evaluate_config(model=str(folder), data="d", out=tmp_path / "e", device="cpu"))
