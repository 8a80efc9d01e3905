"""Figures by category, images, length of the text, visual need and instruction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.metrics import accuracy_score, f1_score

from caslie_model.data.samples import Groups, Sample
from caslie_model.evaluation.breakdowns import breakdowns
from caslie_model.evaluation.units import sample_units

TASK = "sentiment_analysis"
Make = Callable[..., Sample]


def rows_of(
    samples: list[Sample], records: dict[tuple[str, str], dict[str, Any]]
) -> dict[tuple[str, str], Any]:
    found = breakdowns(TASK, "test", samples, sample_units(TASK, samples), records)
    return {(row["by"], row["value"]): row for row in found}


def answer(label: str | None) -> dict[str, Any]:
    return {"prediction": label}


@pytest.fixture
def samples(sample: Make) -> list[Sample]:
    return [
        sample(
            number,
            "AE"[number % 2],
            category=("Home", "Toys")[number % 3 == 0],
            text="x" * (number * 20),
            image_roles=("review",) * (number % 7),
            visual_critical=(True, False, None)[number % 3],
            groups=Groups((f"p{number // 2}",)),
        )
        for number in range(60)
    ]


def test_the_groups_of_each_breakdown_hold_all_samples(samples: list[Sample]) -> None:
    rows = rows_of(samples, {})
    for name in ("category", "images", "characters of text", "visual need"):
        assert sum(row["samples"] for (by, _), row in rows.items() if by == name) == 60
    assert [value for by, value in rows if by == "images"] == ["0", "1", "2", "3", "4", "5 or more"]
    assert [value for by, value in rows if by == "characters of text"] == [
        "0 to 99",
        "100 to 299",
        "300 to 999",
        "1000 or more",
    ]
    assert [value for by, value in rows if by == "visual need"] == ["needs image", "text suffices", "unknown"]
    assert not any(by == "instruction" for by, _ in rows)


def test_a_group_has_the_figures_of_scikit_learn(samples: list[Sample]) -> None:
    records = {(s.id, ""): answer("ABE"[i % 3]) for i, s in enumerate(samples)}
    row = rows_of(samples, records)["category", "Home"]
    chosen = [s for s in samples if s.category == "Home"]
    gold, given = [s.output for s in chosen], [records[s.id, ""]["prediction"] for s in chosen]
    assert row["accuracy"] == pytest.approx(accuracy_score(gold, given))
    assert row["primary"] == pytest.approx(f1_score(gold, given, average="macro"))
    assert row["accuracy_interval"][0] < row["accuracy"] < row["accuracy_interval"][1]
    assert (row["samples"], row["units"], row["few"]) == (40, 30, False)


def test_groups_of_few_samples_are_marked(samples: list[Sample]) -> None:
    assert rows_of(samples, {})["category", "Toys"]["few"]


def test_held_out_instructions_stand_beside_the_same_samples(samples: list[Sample]) -> None:
    records = {(s.id, ""): answer(s.output) for s in samples}
    records |= {
        (s.id, "instruction unseen"): answer(s.output if i < 10 else None) for i, s in enumerate(samples[:20])
    }
    rows = rows_of(samples, records)
    seen, held_out = rows["instruction", "seen"], rows["instruction", "held out"]
    assert (seen["samples"], seen["accuracy"]) == (20, 1.0)
    assert (held_out["samples"], held_out["accuracy"]) == (20, 0.5)
