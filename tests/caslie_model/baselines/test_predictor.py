"""Baselines asked like any model: `evaluate` with `baseline:NAME`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import caslie_model
from caslie_model.baselines.baseline import Baseline, FitData, Scorer
from caslie_model.baselines.known import BASELINES
from caslie_model.baselines.trivial import fit_first_option
from caslie_model.data.samples import read_samples
from caslie_model.errors import ConfigError, ModelError
from mmecinstruct.core.errors import DatasetError, MmecError

SA, AP, MPC = "sentiment_analysis", "answerability_prediction", "multiclass_product_classification"


def answers(folder: Path) -> dict[str, dict[str, Any]]:
    lines = (folder / "predictions.jsonl").read_text().splitlines()
    return {record["id"]: record for record in map(json.loads, lines)}


def test_majority_gives_the_most_frequent_training_answer(dataset: Path, tmp_path: Path) -> None:
    caslie_model.evaluate("baseline:majority", dataset, tmp_path, tasks=["mpc"], splits=["test"])
    counts = Counter(sample.output for sample in read_samples(str(dataset), MPC, "train"))
    assert {record["prediction"] for record in answers(tmp_path).values()} == {counts.most_common(1)[0][0]}


def test_first_option_gives_a_or_yes(dataset: Path, tmp_path: Path) -> None:
    caslie_model.evaluate("baseline:first-option", dataset, tmp_path, tasks=["sa", "ap"], splits=["test"])
    given = {(record["task"], record["prediction"]) for record in answers(tmp_path).values()}
    assert given == {(SA, "A"), (AP, "yes")}


def test_random_depends_on_the_seed_alone(dataset: Path, tmp_path: Path) -> None:
    for name, seed, limit in (("a", 0, None), ("b", 0, 4), ("c", 1, None)):
        caslie_model.evaluate(
            "baseline:random", dataset, tmp_path / name, tasks=["sa"], splits=["test"], seed=seed, limit=limit
        )
    one, few, other = (
        {name: record["prediction"] for name, record in answers(tmp_path / each).items()} for each in "abc"
    )
    assert few.items() <= one.items()
    assert one != other
    assert len(set(one.values())) > 2


@pytest.mark.parametrize("name", list(BASELINES))
def test_a_baseline_gives_metrics_with_its_name_and_version(name: str, dataset: Path, tmp_path: Path) -> None:
    baseline = BASELINES[name]
    if baseline.reads_images or baseline.tasks:
        pytest.skip("needs a dataset of its own")
    result = caslie_model.evaluate(f"baseline:{name}", dataset, tmp_path, tasks=["sa"], splits=["test"])
    told = result.metrics["provenance"]
    assert (told["kind"], told["baseline"], told["version"]) == ("baseline", name, baseline.version)
    assert list(told["fitted_to"]) == [SA]
    for record in answers(tmp_path).values():
        assert record["prediction"] in "ABCDE"


def test_a_stopped_evaluation_goes_on_with_the_same_answers(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings: dict[str, Any] = {"tasks": ["sa", "ap"], "splits": ["test"]}
    caslie_model.evaluate("baseline:tfidf", dataset, tmp_path / "whole", **settings)
    whole = tmp_path / "whole" / "predictions.jsonl"
    caslie_model.evaluate("baseline:tfidf", dataset, tmp_path / "stopped", **settings)
    file = tmp_path / "stopped" / "predictions.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:7]))
    capsys.readouterr()
    caslie_model.evaluate("baseline:tfidf", dataset, tmp_path / "stopped", **settings)
    assert "24 samples, 7 answered already" in capsys.readouterr().err
    assert answers(tmp_path / "stopped") == answers(tmp_path / "whole")
    assert len(whole.read_text().splitlines()) == 24


def test_another_baseline_in_the_same_folder_is_refused(dataset: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"tasks": ["sa"], "splits": ["test"]}
    caslie_model.evaluate("baseline:majority", dataset, tmp_path, **settings)
    with pytest.raises(MmecError, match="baseline"):
        caslie_model.evaluate("baseline:first-option", dataset, tmp_path, **settings)


def test_an_unknown_name_is_answered_with_those_that_there_are(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no baseline 'tfdif'; there are majority, random, first-option"):
        caslie_model.evaluate("baseline:tfdif", dataset, tmp_path)


def test_shots_are_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="shots=2: a baseline takes no demonstrations"):
        caslie_model.evaluate("baseline:majority", dataset, tmp_path, tasks=["sa"], shots=2)


def test_a_task_without_training_samples_is_named(row: Any, write_rows: Any, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "data", [row(number, SA, "test") for number in range(4)])
    with pytest.raises(DatasetError, match="has no training samples of sentiment_analysis"):
        caslie_model.evaluate("baseline:tfidf", data, tmp_path / "out")


def test_tasks_that_a_baseline_cannot_answer_are_named(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BASELINES, "of-sr", Baseline("of-sr", "x", fit_first_option, tasks=("sr",)))
    with pytest.raises(ConfigError, match=r"baseline:of-sr answers sr alone, not .*sentiment_analysis"):
        caslie_model.evaluate("baseline:of-sr", dataset, tmp_path)
    # The command takes the tasks that it can answer.
    found = caslie_model.baseline("of-sr", dataset, tmp_path / "sr")
    assert {each["task"] for each in found["of-sr"].metrics["results"]} == {"sequential_recommendation"}


def test_images_of_training_and_of_what_is_asked_are_handed_over(
    image_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[FitData] = []

    def fit(data: FitData) -> Scorer:
        seen.append(data)
        return fit_first_option(data)

    monkeypatch.setitem(BASELINES, "looks", Baseline("looks", "x", fit, reads_images=True))
    task = "category_classification"
    caslie_model.evaluate("baseline:looks", image_dataset, tmp_path, tasks=["cc"], splits=["test"])
    (data,) = seen
    assert data.images is not None
    for split in ("train", "test"):
        samples = read_samples(str(image_dataset), task, split)
        assert any(data.images.images.get(sample.id) for sample in samples), split
