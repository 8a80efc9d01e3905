"""The simulation of comparisons: equal models are rarely called different, and intervals hold the true difference."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "compared_models.py"


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compared_models", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["compared_models"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["macro F1", "accuracy"])
def test_equal_models_are_called_different_in_one_of_twenty_runs(simulation: ModuleType, metric: str) -> None:
    errors = simulation.simulate(simulation.Setting(metric, 200, 2, 0.7, 0.7), runs=400, resamples=600)
    # Three standard errors of a share of .05 in 400 runs are .033.
    assert errors.found < 0.083
    assert errors.held > 0.917


@pytest.mark.slow
def test_what_is_called_detectable_is_found_in_four_of_five_runs(simulation: ModuleType) -> None:
    errors = simulation.simulate(simulation.Setting("accuracy", 500, 1, 0.7, 0.76), runs=200, resamples=600)
    assert errors.detectable == pytest.approx(errors.true, abs=0.02)
    assert 0.65 < errors.found < 0.95
