"""The judge of utility on a dataset whose answers only captions tell, with a small model that learned to read them."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from caslie_model.captions.judging import judge
from caslie_model.config.judging import JudgeConfig
from caslie_model.errors import ConfigError
from tests.caslie_model.captions.planted import (
    TASK,
    is_told,
    planted_caption,
    planted_row,
    write_captions,
)

COUNTS = {"train": 60, "validation": 20, "test": 30}
READS_CAPTIONS = (
    "captions=planted",
    "epochs=7",
    "batch_size=12",
    "lr=0.01",
    "max_train_tokens=null",
    "lora.modules_to_save=[embed_tokens, lm_head]",
    "device=cpu",
)
Rows = list[tuple[dict[str, Any], str]]


@pytest.fixture(scope="module")
def teacher(row: Callable[..., Any], write_rows: Callable[..., Path], tmp_path_factory: Any) -> str:
    """A small model that answers with the colour that a caption names; without captions it guesses."""
    from caslie_model.config.presets import finetune_config
    from caslie_model.training.finetune import finetune

    folder = tmp_path_factory.mktemp("teacher")
    rows = [planted_row(row, number, "train") for number in range(10_000, 10_240)]
    write_rows(folder / "data", rows)
    write_captions(
        folder / "data",
        [
            (each, planted_caption(each, number % 3 == 1, True) if number % 3 else None)
            for number, each in enumerate(rows)
        ],
    )
    config = finetune_config("tiny", READS_CAPTIONS, data=str(folder / "data"), out=folder / "adapter")
    return str(finetune(config).folder)


@pytest.fixture(scope="module")
def rows(row: Callable[..., Any]) -> Rows:
    """Rows and their captions: two of three name the right colour, the third, a longer one, a wrong colour."""
    made = [
        (number, planted_row(row, number, split))
        for split, count in COUNTS.items()
        for number in range(count)
    ]
    return [(each, planted_caption(each, not is_told(number), is_told(number))) for number, each in made]


@pytest.fixture(scope="module")
def decide(
    teacher: str, rows: Rows, write_rows: Callable[..., Path], tmp_path_factory: Any
) -> Callable[..., dict[str, dict[str, Any]]]:
    """Judge rows and captions, and return the decisions by sample; answers of the model are kept between the runs."""
    answered = tmp_path_factory.mktemp("answers") / "judges"

    def run(content: Rows = rows, keep_answers: bool = True, **settings: Any) -> dict[str, dict[str, Any]]:
        folder = tmp_path_factory.mktemp("data")
        write_rows(folder, [each for each, _ in content])
        write_captions(folder, content)
        judges = folder / "captions" / "planted" / "judges"
        if keep_answers and answered.is_dir():
            shutil.copytree(answered, judges)
        result = judge(
            JudgeConfig(
                **{
                    "data": str(folder),
                    "captions": "planted",
                    "judges": (teacher,),
                    "device": "cpu",
                    **settings,
                }
            )
        )
        if keep_answers and not answered.is_dir():
            shutil.copytree(judges, answered)
        return {each["sample_id"]: each for file in result.files for each in pq.read_table(file).to_pylist()}

    return run


def of_split(decisions: dict[str, dict[str, Any]], split: str) -> dict[str, dict[str, Any]]:
    return {name: each for name, each in decisions.items() if name.split("-")[1] == split}


def told(name: str) -> bool:
    return is_told(int(name.rsplit("-", 1)[1]))


def decided(decisions: dict[str, dict[str, Any]]) -> dict[str, tuple[bool, float]]:
    return {name: (each["kept"], each["score"]) for name, each in decisions.items()}


def answer_otherwise(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "output": {"A": "B", "B": "C", "C": "A"}[row["output"]]}


@pytest.mark.slow
def test_captions_that_tell_are_kept_and_those_that_mislead_are_not(
    decide: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    decisions = decide()
    for split, count in COUNTS.items():
        found = of_split(decisions, split)
        assert len(found) == count
        assert {name: each["kept"] for name, each in found.items()} == {name: told(name) for name in found}
    assert all(
        each["utility"] is None and each["effect"] is None for each in of_split(decisions, "test").values()
    )
    assert {each["effect"] for each in of_split(decisions, "train").values()} == {"helpful", "harmful"}
    assert all(0 < each["score"] < 1 for each in decisions.values())
    assert "captions that help are told from those that harm" in capsys.readouterr().err


@pytest.mark.slow
def test_the_answer_of_a_row_does_not_change_its_own_decision(decide: Callable[..., Any], rows: Rows) -> None:
    before = decided(decide())
    for changed in ("train-0000", "train-0017", "validation-0001"):
        name = f"{TASK}-{changed}"
        after = decided(
            decide([(answer_otherwise(row) if row["id"] == name else row, text) for row, text in rows])
        )
        assert after[name] == before[name]
        assert after != before


@pytest.mark.slow
def test_answers_of_test_rows_are_not_read(decide: Callable[..., Any], rows: Rows) -> None:
    changed = [(answer_otherwise(row) if row["split"] == "test" else row, text) for row, text in rows]
    assert decided(decide(changed)) == decided(decide())


@pytest.mark.slow
def test_order_and_batch_size_change_no_decision(decide: Callable[..., Any], rows: Rows) -> None:
    before = decided(decide())
    shuffled = random.Random(1).sample(rows, len(rows))
    assert decided(decide(shuffled)) == before
    other = decided(decide(shuffled, keep_answers=False, batch_size=5))
    assert {name: kept for name, (kept, _) in other.items()} == {
        name: kept for name, (kept, _) in before.items()
    }
    assert all(score == pytest.approx(before[name][1], abs=0.01) for name, (_, score) in other.items())


@pytest.mark.slow
def test_the_right_answer_decides_only_as_an_ablation(decide: Callable[..., Any], rows: Rows) -> None:
    decisions = decide(judge="gold")
    assert {name: each["kept"] for name, each in decisions.items()} == {
        name: each["utility"] > 0 for name, each in decisions.items()
    }
    test = of_split(decisions, "test")
    changed = [(answer_otherwise(row) if row["split"] == "test" else row, text) for row, text in rows]
    after = of_split(decide(changed, judge="gold"), "test")
    assert sum(after[name]["kept"] != test[name]["kept"] for name in test) > len(test) / 2


@pytest.mark.slow
def test_few_samples_are_measured_and_the_model_asked_about_these_alone(
    decide: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    decisions = decide(keep_answers=False, measured=50, likelihoods=False)
    assert sum(each["utility"] is not None for each in decisions.values()) == 50
    said = capsys.readouterr().err
    assert "100 questions" in said
    assert {name: each["kept"] for name, each in of_split(decisions, "test").items()} == {
        name: told(name) for name in of_split(decisions, "test")
    }


@pytest.mark.slow
def test_captions_that_all_help_are_all_kept(
    decide: Callable[..., Any], rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    decisions = decide([(row, text) for row, text in rows if told(row["id"])], keep_answers=False)
    assert all(each["kept"] for each in decisions.values())
    assert len({each["score"] for each in decisions.values()}) > 1
    assert "5 of 5 predictors keep all captions or none" in capsys.readouterr().err


def test_captions_of_test_alone_teach_nothing(
    row: Callable[..., Any], write_rows: Callable[..., Path], tmp_path: Path
) -> None:
    made = [planted_row(row, number, "test") for number in range(3)]
    write_rows(tmp_path, made)
    write_captions(tmp_path, [(each, planted_caption(each, False, True)) for each in made])
    with pytest.raises(ConfigError, match="learns from rows of train and validation"):
        judge(JudgeConfig(data=str(tmp_path), captions="planted", judges=("random:tiny",)))
