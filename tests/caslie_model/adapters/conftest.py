"""Base models in folders, and short trainings on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from caslie_model.backbones.language_model import load_base_model
from caslie_model.config.presets import finetune_config
from caslie_model.config.training import FinetuneConfig

Settings = Callable[..., FinetuneConfig]


def settings(data: Path, out: Path, *overrides: str) -> FinetuneConfig:
    short = ("tasks=[sa]", "samples_per_task=12", "epochs=1", "device=cpu", "lr=0.05")
    return finetune_config("tiny", [*short, *overrides], data=str(data), out=out)


def image_settings(data: Path, out: Path, *overrides: str) -> FinetuneConfig:
    route = ("fusion=xattn", "with_lora=true", "tasks=[cc]", "connector.gate_init=0.5")
    return settings(data, out, *route, *overrides)


def write_base(folder: Path, tied: bool, seed: int = 0) -> Path:
    """Write the tiny model anew, with or without a head that is tied to its embeddings."""
    from transformers import AutoModelForCausalLM

    tiny = load_base_model("random:tiny")
    tiny.model.config.tie_word_embeddings = tied
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        AutoModelForCausalLM.from_config(tiny.model.config).save_pretrained(folder)
    tiny.tokenizer.save_pretrained(folder)
    return folder


def probe(model: Any) -> Any:
    with torch.inference_mode():
        return model(input_ids=torch.arange(1, 60).unsqueeze(0)).logits


@pytest.fixture(scope="session")
def config() -> Settings:
    return settings


@pytest.fixture(scope="session")
def image_config() -> Settings:
    return image_settings


@pytest.fixture(scope="session")
def make_base() -> Callable[..., Path]:
    return write_base


@pytest.fixture(scope="session")
def logits() -> Callable[[Any], Any]:
    return probe


@pytest.fixture(scope="session")
def tied_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("tied") / "base", tied=True)


@pytest.fixture(scope="session")
def untied_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("untied") / "base", tied=False)
