"""Krippendorff's alpha, against the worked examples of "Computing Krippendorff's Alpha-Reliability" (2011)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from caslie_model.captions.agreement import Agreement, krippendorff_alpha

Column = Sequence[object]

# Observers by line, units by column; a point is a missing value.
BINARY = ("0100000010", "1110010000")
# Written out by hand from the coincidences: 4 of 20 values differ, 14 zeros and 6 ones.
BINARY_ALPHA = 1 - 8 / (2 * 14 * 6 / 19)
NOMINAL = ("aabbdcccedda", "babbbccceddd")
MISSING = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")


def units(observers: Sequence[str]) -> list[tuple[str | None, ...]]:
    return [tuple(None if value == "." else value for value in unit) for unit in zip(*observers, strict=True)]


@pytest.mark.parametrize(
    ("observers", "alpha"), [(BINARY, 0.095), (NOMINAL, 0.692), (MISSING, 0.743)], ids=["A", "B", "C"]
)
def test_alpha_is_that_of_the_published_examples(observers: Sequence[str], alpha: float) -> None:
    assert krippendorff_alpha(units(observers)).alpha == pytest.approx(alpha, abs=5e-4)


def test_alpha_follows_from_the_formula() -> None:
    assert krippendorff_alpha(units(BINARY)).alpha == pytest.approx(BINARY_ALPHA)


def test_agreement_is_1_and_opposition_below_0() -> None:
    assert krippendorff_alpha([("yes", "yes"), ("no", "no")]).alpha == 1
    assert (krippendorff_alpha([("yes", "no"), ("no", "yes")]).alpha or 0) < 0


@pytest.mark.parametrize(
    ("votes", "why"),
    [
        ([("yes",), ("no",)], "the votes of two judges"),
        ([("yes", None), (None, "no")], "the votes of two judges"),
        ([("yes", "yes"), ("yes", "yes")], "all votes are the same"),
        ([], "the votes of two judges"),
    ],
)
def test_without_pairs_or_variation_there_is_a_reason(votes: list[Column], why: str) -> None:
    found = krippendorff_alpha(votes)
    assert found.alpha is None
    assert why in (found.reason or "")


def test_units_with_one_vote_do_not_count() -> None:
    pairs = [("yes", "no"), ("yes", "yes")]
    assert krippendorff_alpha([*pairs, ("no", None), (None, None)]) == krippendorff_alpha(pairs)
    assert krippendorff_alpha(pairs) == Agreement(pytest.approx(0.0), 2)
