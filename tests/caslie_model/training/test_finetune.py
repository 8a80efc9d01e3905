from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from caslie_model.adapters.loading import load_for_evaluation
from caslie_model.backbones.language_model import load_base_model, locate
from caslie_model.batching.labels_and_padding import IGNORED, training_batch
from caslie_model.config.presets import evaluate_config, finetune_config
from caslie_model.config.training import FinetuneConfig
from caslie_model.data.samples import read_samples
from caslie_model.errors import RunError
from caslie_model.prompts.encoder import PromptFormat
from caslie_model.prompts.templates import packaged_templates
from caslie_model.training.finetune import finetune, select_samples
from caslie_model.training.run_folder import CHECKPOINTS, last_checkpoint
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.output_folder import MARK

SHORT = (
    "tasks=[sa, ap]",
    "samples_per_task=12",
    "epochs=1",
    "batch_size=4",
    "log_every=1",
    "checkpoint_every=2",
    "device=cpu",
)


def config(dataset: Path, out: Path, *overrides: str) -> FinetuneConfig:
    return finetune_config("tiny", [*SHORT, *overrides], data=str(dataset), out=out)


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finetune(config(dataset, tmp_path_factory.mktemp("run") / "adapter")).folder


def test_the_adapter_folder(trained: Path, dataset: Path) -> None:
    assert {path.name for path in trained.iterdir()} == {
        MARK,
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "config.yaml",
        "loss_curve.png",
        "prompts",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
    }
    weights = load_file(trained / "adapter_model.safetensors")
    assert all("lora_" in name for name in weights)
    assert yaml.safe_load((trained / "config.yaml").read_text())["data"] == str(dataset)
    said = json.loads((trained / "adapter_config.json").read_text())
    assert said["base_model_name_or_path"] == locate("random:tiny")
    log = json.loads((trained / "training.json").read_text())
    assert log["steps"] == len(log["log"]) == 6
    assert log["samples_per_task"] == {"answerability_prediction": 12, "sentiment_analysis": 12}
    assert log["trained_parameters"] == sum(weight.numel() for weight in weights.values())
    assert (trained / "loss_curve.png").read_bytes().startswith(b"\x89PNG")
    card = (trained / "README.md").read_text()
    assert "| sentiment_analysis | 12 |" in card
    assert yaml.safe_load(card.split("---")[1])["library_name"] == "peft"
    assert str(dataset.parent) not in card  # a card is published; this machine's paths are not


def test_the_adapter_on_a_fresh_base_gives_the_trained_model(trained: Path, dataset: Path) -> None:
    from peft import PeftModel

    def load(base_only: bool) -> Any:
        return load_for_evaluation(
            evaluate_config(model=str(trained), data=str(dataset), out="o", base_only=base_only, device="cpu")
        ).model

    ids = torch.arange(1, 60).unsqueeze(0)
    fresh = PeftModel.from_pretrained(load_base_model("random:tiny").model, trained).eval()
    with torch.inference_mode():
        expected, merged, bare = fresh(ids).logits, load(False)(ids).logits, load(True)(ids).logits
        torch.testing.assert_close(merged, expected, atol=1e-4, rtol=1e-4)  # merging rounds
        assert not torch.allclose(bare, expected, atol=1e-3)
        assert torch.equal(bare, load_base_model("random:tiny").model(ids).logits)


def test_resumed_training_equals_uninterrupted_training_bit_for_bit(
    trained: Path, dataset: Path, tmp_path: Path, train_until_killed: Callable[[FinetuneConfig], None]
) -> None:
    out = tmp_path / "adapter"
    train_until_killed(config(dataset, out))
    # A checkpoint that the kill tore is passed over.
    (out / CHECKPOINTS / "checkpoint-6").mkdir()
    with pytest.raises(RunError, match="--resume to go on"):
        finetune(config(dataset, out))
    result = finetune(config(dataset, out), resume=True)
    assert result.summary["resumed_at_step"] == 4
    before, after = (json.loads((p / "training.json").read_text())["log"] for p in (trained, out))
    assert [entry["loss"] for entry in after] == [entry["loss"] for entry in before]
    weights, again = (load_file(p / "adapter_model.safetensors") for p in (trained, out))
    assert weights.keys() == again.keys()
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_a_run_killed_between_its_last_step_and_its_end_is_finished(
    trained: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def power_cut(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("caslie_model.training.run.write_loss_curve", power_cut)
        with pytest.raises(KeyboardInterrupt):
            finetune(config(dataset, tmp_path / "a"))
    result = finetune(config(dataset, tmp_path / "a"), resume=True)
    assert result.summary["resumed_at_step"] == result.summary["steps"] == 6
    weights, again = (load_file(p / "adapter_model.safetensors") for p in (trained, result.folder))
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_changed_data_is_not_trained_on_halfway(
    row: Callable[..., dict[str, Any]],
    write_rows: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def power_cut(*_: Any) -> None:
        raise KeyboardInterrupt

    data, out = tmp_path / "data", tmp_path / "out"
    settings = ("tasks=[sa]", "max_train_tokens=100000")
    write_rows(data, [row(i, "sentiment_analysis", "train") for i in range(8)])
    with monkeypatch.context() as patch:
        patch.setattr("caslie_model.training.run.write_loss_curve", power_cut)
        with pytest.raises(KeyboardInterrupt):
            finetune(config(data, out, *settings))
    write_rows(data, [row(i, "sentiment_analysis", "train", instruction="New.") for i in range(8)])
    with pytest.raises(RunError, match="the prompts or the base model changed"):
        finetune(config(data, out, *settings), resume=True)


def test_another_seed_gives_another_adapter(trained: Path, dataset: Path, tmp_path: Path) -> None:
    other = finetune(config(dataset, tmp_path / "adapter", "seed=1")).folder
    weights, others = (load_file(p / "adapter_model.safetensors") for p in (trained, other))
    assert not all(torch.equal(weights[name], others[name]) for name in weights)


def test_gradient_accumulation_weighs_answer_tokens_alike(
    trained: Path, dataset: Path, tmp_path: Path
) -> None:
    """Two passes of two samples are one step of four: answers of different lengths must not shift weights."""
    straight = finetune(config(dataset, tmp_path / "a", "lora.dropout=0")).summary
    parts = finetune(
        config(dataset, tmp_path / "b", "lora.dropout=0", "batch_size=2", "gradient_accumulation=2")
    ).summary
    assert [e["loss"] for e in parts["log"]] == pytest.approx([e["loss"] for e in straight["log"]], rel=1e-3)


def test_the_loss_on_the_last_positions_is_the_loss_on_the_answers(dataset: Path) -> None:
    base = load_base_model("random:tiny")
    prompts = PromptFormat(base.tokenizer, *packaged_templates(), "text", 4096)
    samples = read_samples(str(dataset), "sentiment_analysis", "train")[:3]
    samples += read_samples(str(dataset), "answerability_prediction", "train")[:2]
    encoded = [prompts.encode(sample) for sample in samples]
    batch = training_batch(encoded, padding=0)
    with torch.inference_mode():
        ours = base.model(**batch, logits_to_keep=batch["labels"].shape[1]).loss
        total, count = 0.0, 0
        for each in encoded:
            ids = torch.tensor([[*each.prompt, *each.target]])
            labels = ids.clone()
            labels[:, : len(each.prompt)] = IGNORED
            total += float(base.model(ids, labels=labels).loss) * len(each.target)
            count += len(each.target)
    assert float(ours) == pytest.approx(total / count, rel=1e-5)
    assert int((batch["labels"] != IGNORED).sum()) == count
    assert bool((batch["labels"][:, 0] == IGNORED).all())


def test_a_finished_adapter_is_not_overwritten_unasked(trained: Path, dataset: Path) -> None:
    with pytest.raises(RunError, match="holds a finished adapter; give --overwrite"):
        finetune(config(dataset, trained))
    changed = (trained / "adapter_model.safetensors").stat().st_mtime_ns
    assert finetune(config(dataset, trained), resume=True).summary["steps"] == 6
    assert (trained / "adapter_model.safetensors").stat().st_mtime_ns == changed


def test_a_resume_with_another_config_names_the_difference(trained: Path, dataset: Path) -> None:
    with pytest.raises(RunError, match=r"another config \(lr differ\)"):
        finetune(config(dataset, trained, "lr=0.1"), resume=True)


def test_a_foreign_folder_is_never_touched(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(RunError, match="not of caslie_model"):
        finetune(config(dataset, tmp_path), overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_samples_are_limited_per_task_by_hash(dataset: Path, tmp_path: Path) -> None:
    some = select_samples(config(dataset, tmp_path, "samples_per_task=7", "task_limits={ap: 3}"))
    tasks = [sample.task for sample in some]
    assert tasks.count("answerability_prediction") == 3
    assert tasks.count("sentiment_analysis") == 7
    more = select_samples(config(dataset, tmp_path, "samples_per_task=9", "task_limits={ap: 3}"))
    assert {sample.id for sample in some} < {sample.id for sample in more}


def test_a_wanted_task_without_samples_is_an_error(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no train samples of category_classification"):
        select_samples(config(dataset, tmp_path, "tasks=[cc, sa]"))


def test_the_last_whole_checkpoint_is_taken(tmp_path: Path) -> None:
    for step, state in ((50, "{}"), (100, "{}"), (150, '{"torn')):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    found = last_checkpoint(tmp_path)
    assert found is not None
    assert found.name == "checkpoint-100"
    assert last_checkpoint(tmp_path / "none") is None


@pytest.mark.slow
def test_a_tiny_model_learns_from_text(dataset: Path, tmp_path: Path) -> None:
    log = finetune(
        config(dataset, tmp_path / "a", "tasks=[sa]", "samples_per_task=40", "epochs=12", "lr=0.01")
    ).summary["log"]
    assert log[-1]["loss"] < 0.5 * log[0]["loss"]


def test_a_task_of_weight_two_is_trained_on_twice(dataset: Path, tmp_path: Path) -> None:
    settings = ("tasks=[sa, ap]", "task_weights={sa: 2}", "samples_per_task=4", "batch_size=3")
    summary = finetune(config(dataset, tmp_path / "adapter", *settings)).summary
    assert summary["samples_per_task"] == {"answerability_prediction": 4, "sentiment_analysis": 8}
    assert summary["steps"] == 4
