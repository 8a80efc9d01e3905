"""The table of an evaluation: every figure in full width, the main ones on a narrow terminal."""

from __future__ import annotations

from typing import Any

import pytest

from caslie_model.evaluation.tables import COLUMNS, metrics_markdown, metrics_table


@pytest.fixture
def metrics() -> dict[str, Any]:
    part = {
        "task": "sentiment_analysis",
        "split": "test_ood",
        "part": "not_visual_critical",
        "samples": 1234,
        "unit": "product group or cluster",
        "units": 987,
        "doubts": [],
        "detectable_difference": 0.051,
        "detectable_difference_range": [0.023, 0.072],
        "metric": "macro F1",
        "primary": 0.5,
        "primary_interval": [0.4, 0.6],
        "majority_primary": 0.1,
        "accuracy": 0.75,
        "accuracy_interval": [0.7, 0.8],
        "majority_accuracy": 0.2,
        "macro_precision": 0.31,
        "macro_recall": 0.32,
        "macro_f1": 0.33,
        "unparsable": 3,
        "missing": 4,
        "text_only_accuracy": None,
    }
    provenance = {"answers": "text", "instruction": "seen", "scoring": "generate"}
    return {
        "model": "m",
        "data": "d",
        "base_only": False,
        "provenance": provenance,
        "samples_shortened": 0,
        "results": [part, {**part, "task": "category_classification"}],
    }


def test_a_wide_table_has_every_column_and_figure(metrics: dict[str, Any]) -> None:
    text = metrics_table(metrics)
    assert all(name in text for name in COLUMNS)
    for figure in ("0.500", "0.750", "0.330", "text suffices", "7"):
        assert figure in text


@pytest.mark.parametrize("width", [80, 100, 150])
def test_a_narrow_table_fits_and_cuts_nothing(metrics: dict[str, Any], width: int) -> None:
    text = metrics_table(metrics, width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert "macro R" not in text
    assert "0.400–0.600" in text
    assert "metrics.md has accuracy" in text


@pytest.mark.parametrize("width", [80, 100, 200, None])
def test_the_released_scorers_column_cuts_no_figure(metrics: dict[str, Any], width: int | None) -> None:
    for result in metrics["results"]:
        result["lenient"] = {"released_score": 0.123, "skipped": 1234}
    text = metrics_table(metrics, width)
    assert "…" not in text
    assert "0.123 (1234 skipped)" in text
    assert "not comparable" in " ".join(text.split())


def test_no_smallest_difference_exceeds_one(metrics: dict[str, Any]) -> None:
    metrics["results"][0]["detectable_difference"] = 1.748
    text = metrics_table(metrics)
    assert "1.748" not in text
    assert "none" in next(line for line in text.splitlines() if " sa " in line)


def test_markdown_has_a_row_per_part(metrics: dict[str, Any]) -> None:
    rows = [line for line in metrics_markdown(metrics).splitlines() if line.startswith("| ")]
    assert len(rows) == 3
    assert len({row.count("|") for row in rows}) == 1
