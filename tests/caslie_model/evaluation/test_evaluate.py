from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from caslie_model.backbones.language_model import load_base_model
from caslie_model.config.evaluation import EvaluateConfig
from caslie_model.config.presets import evaluate_config
from caslie_model.data.samples import read_samples
from caslie_model.errors import ModelError, RunError
from caslie_model.evaluation.evaluate import evaluate
from caslie_model.evaluation.score import score
from caslie_model.inference.select_samples import select_samples
from mmecinstruct.core.errors import DatasetError


def config(dataset: Path, out: Path, **fields: Any) -> EvaluateConfig:
    defaults: dict[str, Any] = {
        "model": "tiny",
        "base_only": True,
        "limit": 4,
        "tasks": ["sa", "ap"],
        "device": "cpu",
    }
    return evaluate_config(data=str(dataset), out=out, **{**defaults, **fields})


def test_every_task_and_split_is_scored_in_parts(dataset: Path, tmp_path: Path) -> None:
    result = evaluate(config(dataset, tmp_path / "e", limit=None))
    parts = {(r["task"], r["split"], r["part"]): r for r in result.metrics["results"]}
    assert len(parts) == 2 * 2 * 3
    whole = parts["sentiment_analysis", "test", "all"]
    parts = [parts["sentiment_analysis", "test", part] for part in ("visual_critical", "not_visual_critical")]
    assert whole["samples"] == 12 == sum(part["samples"] for part in parts)
    assert [part["text_only_accuracy"] for part in parts] == [0.5, 1.0]
    assert whole["metric"] == "macro F1"
    assert whole["majority_from"] == "train"
    assert json.loads((tmp_path / "e" / "metrics.json").read_text()) == result.metrics
    assert "| sa | test | needs image |" in (tmp_path / "e" / "metrics.md").read_text()
    assert (tmp_path / "e" / "config.yaml").is_file()


def test_a_run_cut_short_goes_on_and_ends_the_same(dataset: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    evaluate(config(dataset, whole))
    evaluate(config(dataset, broken))
    path = broken / "predictions.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 16
    path.write_bytes(b"".join(lines[:5]) + lines[5][:20])
    evaluate(config(dataset, broken))
    # The rest is asked in batches of its own, so the lines come in another order.
    assert sorted(path.read_bytes().splitlines()) == sorted(
        (whole / "predictions.jsonl").read_bytes().splitlines()
    )
    assert (broken / "metrics.json").read_bytes() == (whole / "metrics.json").read_bytes()


def test_a_larger_limit_keeps_answers(dataset: Path, tmp_path: Path) -> None:
    evaluate(config(dataset, tmp_path, limit=2))
    before = (tmp_path / "predictions.jsonl").read_text()
    evaluate(config(dataset, tmp_path, limit=3))
    after = (tmp_path / "predictions.jsonl").read_text()
    assert after.startswith(before)
    assert len(after.splitlines()) == 12


def test_other_settings_do_not_reuse_predictions(dataset: Path, tmp_path: Path) -> None:
    evaluate(config(dataset, tmp_path, limit=1))
    with pytest.raises(RunError, match="scoring differ"):
        evaluate(config(dataset, tmp_path, limit=1, scoring="likelihood"))
    evaluate(config(dataset, tmp_path, limit=1, scoring="likelihood"), overwrite=True)
    record = json.loads((tmp_path / "predictions.jsonl").read_text().splitlines()[0])
    assert record["prediction"] == max(record["scores"], key=lambda label: record["scores"][label])


def test_a_changed_dataset_does_not_reuse_predictions(
    row: Callable[..., dict[str, Any]], write_rows: Callable[..., Path], tmp_path: Path
) -> None:
    task, data, out = "sentiment_analysis", tmp_path / "data", tmp_path / "out"
    write_rows(data, [row(0, task, "test")])
    evaluate(config(data, out, tasks=["sa"], splits=("test",)))
    write_rows(data, [row(0, task, "test", instruction="Something else.")])
    with pytest.raises(RunError, match="the dataset changed"):
        evaluate(config(data, out, tasks=["sa"], splits=("test",)))


def test_the_subset_is_chosen_before_the_limit(dataset: Path, tmp_path: Path) -> None:
    critical = select_samples(config(dataset, tmp_path, subset="visual-critical", splits=("test",))).samples
    assert len(critical) == 8
    assert all(sample.visual_critical for sample in critical)
    assert not any(
        s.visual_critical for s in select_samples(config(dataset, tmp_path, subset="text")).samples
    )


def test_unparsable_and_missing_answers_are_wrong_and_counted(dataset: Path) -> None:
    samples = read_samples(str(dataset), "sequential_recommendation", "test")[:10]
    records = {(sample.id, ""): {"prediction": sample.output} for sample in samples[:4]}
    records |= {(sample.id, ""): {"prediction": None} for sample in samples[4:7]}
    [whole, *_] = score(samples, records, {("sequential_recommendation", "test"): ("A", "train")})["results"]
    assert whole["accuracy"] == whole["primary"] == 0.4
    assert (whole["unparsable"], whole["missing"]) == (3, 3)


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model one of whose weights is no number."""
    folder = tmp_path_factory.mktemp("spoiled")
    base = load_base_model("random:tiny")
    base.model.model.norm.weight.data[3] = math.nan
    base.model.save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
    return folder


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


@pytest.mark.parametrize("scoring", ["likelihood", "generate"])
def test_scores_that_are_no_numbers_are_no_answers(
    dataset: Path, tmp_path: Path, spoiled: Path, scoring: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = evaluate(config(dataset, tmp_path, model=str(spoiled), scoring=scoring))
    assert "16 of 16 samples have scores that are no finite numbers" in capsys.readouterr().err
    for line in (tmp_path / "predictions.jsonl").read_text().splitlines():
        record = json.loads(line, parse_constant=no_constant)
        assert record["prediction"] is None
        assert record["not_finite"] is True
        assert scoring == "generate" or set(record["scores"].values()) == {None}
        assert scoring == "generate" or record["tokens"].keys() == record["scores"].keys()
    json.loads((tmp_path / "metrics.json").read_text(), parse_constant=no_constant)
    for part in result.metrics["results"]:
        assert part["primary"] == part["accuracy"] == part["unparsable"] == part["missing"] == 0
        assert part["not_finite"] == part["samples"]
    row = (tmp_path / "metrics.md").read_text().partition("| ap | test | all |")[2].splitlines()[0]
    assert row.split(" | ")[-3:-1] == ["4", "4"]
    # Those of a file that an earlier version wrote, too.
    file = tmp_path / "predictions.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    if scoring == "likelihood":
        for record in lines:
            del record["not_finite"]
            record |= {"prediction": "yes", "scores": dict.fromkeys(record["scores"], math.nan)}
        file.write_text("".join(json.dumps(record) + "\n" for record in lines))
    again = evaluate(config(dataset, tmp_path, model=str(spoiled), scoring=scoring))
    assert again.metrics == result.metrics


def test_predictions_that_are_no_option_are_answered_again(dataset: Path, tmp_path: Path) -> None:
    result = evaluate(config(dataset, tmp_path))
    file = tmp_path / "predictions.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([json.dumps({**json.loads(lines[0]), "prediction": "Z"}), *lines[1:], ""]))
    assert evaluate(config(dataset, tmp_path)).metrics == result.metrics
    assert sorted(file.read_text().splitlines()) == sorted(lines)


def test_samples_of_unknown_visual_need_are_in_no_part(dataset: Path) -> None:
    samples = [
        replace(sample, visual_critical=None, text_only_accuracy=None)
        for sample in read_samples(str(dataset), "sentiment_analysis", "test")
    ]
    results = score(samples, {}, {("sentiment_analysis", "test"): ("A", "train")})["results"]
    assert [(result["part"], result["text_only_accuracy"]) for result in results] == [("all", None)]


def test_an_impossible_evaluation_is_an_error(dataset: Path, tmp_path: Path) -> None:
    for base_only in (True, False):
        with pytest.raises(ModelError, match="no model 'nothing-here'"):
            evaluate(config(dataset, tmp_path, model="nothing-here", base_only=base_only))
    with pytest.raises(DatasetError, match="no samples of these tasks"):
        evaluate(config(dataset, tmp_path, tasks=["psi"]))
