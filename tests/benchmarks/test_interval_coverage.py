"""The simulation of the intervals' coverage, in small."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "interval_coverage.py"
REPETITIONS = 400
# Two standard errors of a coverage at the aim.
TOLERANCE = 0.025


@pytest.fixture(scope="module")
def coverage() -> Iterator[ModuleType]:
    """Return the script as a module, which its dataclasses must find by name."""
    spec = importlib.util.spec_from_file_location("interval_coverage", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize(
    ("classes", "skewed", "accuracy", "cluster", "rows"),
    [
        # Percentiles hold macro F1 here in about .80, .67, .88 and .93 of the repetitions.
        (20, False, 0.6, 1, 100),
        (20, False, 0.6, 5, 100),
        (2, True, 0.6, 5, 100),
        (5, True, 0.9, 5, 500),
    ],
)
def test_intervals_hold_the_true_value_nearly_as_often_as_they_say(
    coverage: ModuleType, classes: int, skewed: bool, accuracy: float, cluster: int, rows: int
) -> None:
    for row in coverage.simulate(coverage.Case(classes, skewed, accuracy, cluster, rows), REPETITIONS):
        assert row["coverage"] >= coverage.AIM - TOLERANCE, row
        assert not row["marked"]


def test_percentiles_hold_it_too_rarely(coverage: ModuleType) -> None:
    [_, macro] = coverage.simulate(coverage.Case(20, False, 0.6, 5, 100), 200, compared=200)
    assert macro["metric"] == "macro F1"
    assert macro["bootstrap_coverage"] < 0.85 < macro["coverage"]


def test_rare_classes_and_few_rows_are_marked(coverage: ModuleType) -> None:
    rows = coverage.simulate(coverage.Case(5, True, 0.9, 5, 50), 20, compared=20)
    assert [row["marked"] for row in rows] == ["17 units; 50 rows", "a class of 3.2 rows; 17 units; 50 rows"]
    more = coverage.simulate(coverage.Case(2, False, 0.9, 1, 100), 20, compared=20)
    result = {"repetitions": 20, "compared": 20, "processes": 1, "seconds": 60, "rows": [*rows, *more]}
    assert "Of 3 unmarked rows" in coverage.page(result)
