"""A base model and its adapter as one folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from caslie_model.adapters.merge import merge
from caslie_model.adapters.output_lock import output_lock
from caslie_model.adapters.trained import load_to_answer, load_trained
from caslie_model.backbones.language_model import load_base_model
from caslie_model.config.files import PEFT_WEIGHTS
from caslie_model.config.presets import finetune_config
from caslie_model.config.training import FinetuneConfig
from caslie_model.errors import ModelError, RunError
from caslie_model.training.finetune import finetune


def config(dataset: Path, out: Path, *overrides: str) -> FinetuneConfig:
    short = ("tasks=[sa]", "samples_per_task=12", "epochs=1", "device=cpu", "lr=0.05")
    return finetune_config("tiny", [*short, *overrides], data=str(dataset), out=out)


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finetune(config(dataset, tmp_path_factory.mktemp("run") / "adapter")).folder


def logits(model: Any) -> Any:
    with torch.inference_mode():
        return model(input_ids=torch.arange(1, 60).unsqueeze(0)).logits


def test_a_merged_model_gives_the_same_logits_in_transformers(
    trained: Path, dataset: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    result = merge(trained, tmp_path / "whole")
    assert result.deviation < 1e-3
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "whole", dtype=torch.float32).eval()
    assert type(whole).__name__ == "LlamaForCausalLM"
    adapted = load_trained(load_base_model("random:tiny"), "text", trained)
    torch.testing.assert_close(logits(whole), logits(adapted), atol=1e-3, rtol=1e-3)
    assert not torch.allclose(logits(whole), logits(load_base_model("random:tiny").model), atol=1e-2)
    assert AutoTokenizer.from_pretrained(tmp_path / "whole")("a")["input_ids"]
    assert (tmp_path / "whole" / "prompts" / "user.j2").is_file()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_merged_fusion_model_is_read_after_importing_fusion(image_dataset: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    adapter = finetune(
        config(
            image_dataset,
            tmp_path / "adapter",
            "fusion=xattn",
            "with_lora=true",
            "tasks=[cc]",
            "connector.gate_init=0.5",
        )
    ).folder
    merge(adapter, tmp_path / "whole")
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "whole").eval()
    assert type(whole).__name__ == "CaslieForCausalLM"
    assert json.loads((tmp_path / "whole" / "config.json").read_text())["lora"] is None
    loaded = load_to_answer(load_base_model("random:tiny"), "xattn", adapter)
    state = loaded.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in whole.state_dict().items())


def test_merging_needs_an_adapter_and_an_empty_folder(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a finished adapter folder"):
        merge(tmp_path, tmp_path / "whole")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    with pytest.raises(RunError, match="not empty"):
        merge(trained, tmp_path / "full")


def test_a_second_merge_of_the_same_adapter_is_finished_at_once(trained: Path, tmp_path: Path) -> None:
    first = merge(trained, tmp_path / "whole")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "whole").rglob("*")}
    assert merge(trained, tmp_path / "whole") == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "whole").rglob("*")} == times
    other = shutil.copytree(trained, tmp_path / "other")
    weights = load_file(other / PEFT_WEIGHTS)
    save_file({name: value * 2 for name, value in weights.items()}, other / PEFT_WEIGHTS)
    with pytest.raises(RunError, match="not empty"):
        merge(other, tmp_path / "whole")


@pytest.mark.parametrize("damage", ["shorter", "other", "gone"])
def test_a_damaged_earlier_merge_is_not_finished(trained: Path, tmp_path: Path, damage: str) -> None:
    weights = merge(trained, tmp_path / "whole").folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:1000] if damage == "shorter" else content[:-1] + b"\x00")
    if damage == "gone":
        weights.unlink()
    with pytest.raises(RunError, match=r"whose model.safetensors is missing or changed: delete the folder"):
        merge(trained, tmp_path / "whole")


def test_a_merge_with_another_base_is_not_finished(trained: Path, tmp_path: Path) -> None:
    from caslie_model.backbones.language_model import locate

    merge(trained, tmp_path / "whole")
    base = shutil.copytree(locate("random:tiny"), tmp_path / "base")
    assert merge(trained, tmp_path / "whole", place=str(base)).deviation < 1e-3
    (base / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    with pytest.raises(RunError, match="not empty"):
        merge(trained, tmp_path / "whole", place=str(base))


def test_a_second_merge_into_one_folder_is_refused(trained: Path, tmp_path: Path) -> None:
    with (
        output_lock(tmp_path / "whole"),
        pytest.raises(RunError, match=r"another run writes there \(process"),
    ):
        merge(trained, tmp_path / "whole")
    assert not list(tmp_path.iterdir())


def test_a_record_without_end_is_no_finished_merge(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "merge.json").write_text("[" * 100_000)
    with pytest.raises(RunError, match="not empty"):
        merge(trained, tmp_path / "whole")


def test_a_link_to_an_empty_folder_is_followed(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    merge(trained, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "empty" / "model.safetensors").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "link"}


def test_a_merge_with_loss_leaves_nothing_behind(trained: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(trained, tmp_path / "broken")
    weights = load_file(broken / PEFT_WEIGHTS)
    save_file({name: value * 1e6 for name, value in weights.items()}, broken / PEFT_WEIGHTS)
    with pytest.raises(ModelError, match="use the adapter folder itself"):
        merge(broken, tmp_path / "whole")
    assert {path.name for path in tmp_path.iterdir()} == {"broken"}


def test_an_adapter_of_an_earlier_version_is_merged_too(trained: Path, tmp_path: Path) -> None:
    """Its training.json has no costs of the training."""
    earlier = shutil.copytree(trained, tmp_path / "earlier")
    summary = json.loads((earlier / "training.json").read_text())
    for name in ("measured", "folders"):
        summary.pop(name, None)
    (earlier / "training.json").write_text(json.dumps(summary))
    merge(earlier, tmp_path / "whole")
    card = (tmp_path / "whole" / "README.md").read_text()
    assert "## Training" in card
    assert "GB at most" not in card


@pytest.mark.parametrize("content", ["{", "[1]", "{}", '{"log": [], "steps": 1}'])
def test_a_damaged_summary_fails_before_loading(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    damaged = shutil.copytree(trained, tmp_path / "damaged")
    (damaged / "training.json").write_text(content)
    monkeypatch.setattr(
        "caslie_model.adapters.merge.load_base_of", lambda *_, **__: pytest.fail("loaded a model")
    )
    with pytest.raises(ModelError, match=r"training.json is damaged.*train again"):
        merge(damaged, tmp_path / "whole")
