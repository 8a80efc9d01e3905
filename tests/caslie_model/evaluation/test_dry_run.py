"""A dry run counts what the run asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from caslie_model.config.presets import evaluate_config, predict_config
from caslie_model.errors import ConfigError
from caslie_model.evaluation.dry_run import estimate_evaluation, estimate_table
from caslie_model.inference.run import predict


def test_a_dry_run_counts_the_questions_of_all_variants(dataset: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {
        "model": "tiny",
        "data": str(dataset),
        "out": tmp_path / "answers",
        "limit": 4,
        "device": "cpu",
        "tasks": ["sa", "ap"],
        "permute_options": 2,
        "instruction": "both",
    }
    before = estimate_evaluation(predict_config(**asked))
    answers = predict(predict_config(**asked))
    assert (before["samples"], before["questions"], before["answered"]) == (16, answers.questions, 0)
    after = estimate_evaluation(predict_config(**{**asked, "permute_options": 3}))
    assert after["answered"] == answers.questions
    assert after["questions"] == answers.questions + 8
    parts = {(part["task"], part["split"]): part for part in after["parts"]}
    assert sum(part["questions"] for part in parts.values()) == after["questions"]
    assert parts["answerability_prediction", "test"]["questions"] == 8
    assert "questions" in estimate_table(after)


def test_a_dry_run_counts_questions_with_other_images(image_dataset: Path, tmp_path: Path) -> None:
    config = predict_config(
        model="m", data=str(image_dataset), out=tmp_path / "answers", tasks=["cc"], images_effect=True
    )
    estimate = estimate_evaluation(config)
    with_images = sum(1 for number in (*range(6), *range(3)) if number % 4 != 3)
    assert (estimate["samples"], estimate["questions"]) == (9, 9 + 2 * with_images)


def test_a_dry_run_of_saved_predictions_is_refused(dataset: Path, tmp_path: Path) -> None:
    config = evaluate_config(predictions=tmp_path / "a.jsonl", data=str(dataset), out=tmp_path / "out")
    with pytest.raises(ConfigError, match="--predictions asks none"):
        estimate_evaluation(config)
