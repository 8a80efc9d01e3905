"""Resamples of whole units."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caslie_model.evaluation import resampling
from caslie_model.evaluation.intervals import bootstrap_interval
from caslie_model.evaluation.metrics import confusion
from caslie_model.evaluation.resampling import Bootstrap, resampled_confusions, sample_weights

LABELS = ("A", "B", "C")


def test_units_are_drawn_as_a_whole_as_many_as_there_are() -> None:
    units = ["x", "y", "x", "z", "y", "x"]
    weights = sample_weights(units, Bootstrap(500, 3))
    assert weights.shape == (500, 6)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    drawn = weights[:, [0, 1, 3]].astype(int)
    assert (drawn.sum(axis=1) == 3).all()
    assert drawn.mean(axis=0) == pytest.approx([1, 1, 1], abs=0.15)


@settings(deadline=None, max_examples=30)
@given(st.permutations(range(12)))
def test_resamples_do_not_depend_on_the_order_of_samples(order: list[int]) -> None:
    units = [f"u{number % 5}" for number in range(12)]
    weights = sample_weights(units, Bootstrap(20, 1))
    assert (sample_weights([units[i] for i in order], Bootstrap(20, 1)) == weights[:, order]).all()


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(LABELS), st.sampled_from([*LABELS, "?", None])), min_size=1, max_size=30
    )
)
def test_a_resample_counts_as_its_samples_repeated(pairs: list[tuple[str, str | None]]) -> None:
    gold, answers = [right for right, _ in pairs], [answer for _, answer in pairs]
    weights = sample_weights([str(i % 4) for i in range(len(pairs))], Bootstrap(5, 2))
    for row, counts in zip(weights, resampled_confusions(weights, gold, answers, LABELS), strict=True):
        repeated = np.repeat(np.arange(len(pairs)), row)
        expected = confusion([gold[i] for i in repeated], [answers[i] for i in repeated], LABELS)
        assert (counts == expected).all()


def test_resamples_are_the_same_in_parts_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    gold, answers = list("AABBB") * 4, list("ABBBA") * 4
    units = [str(number // 2) for number in range(20)]
    found = []
    for size in (8_000_000, 37):
        monkeypatch.setattr(resampling, "_CHUNK", size)
        found.append(bootstrap_interval("macro F1", gold, answers, ("A", "B"), units, Bootstrap(100, 3)))
        found.append(sample_weights(units, Bootstrap(100, 3)).tolist())
    assert found[:2] == found[2:]
