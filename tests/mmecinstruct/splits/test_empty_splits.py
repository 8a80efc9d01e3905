"""Empty splits are named with what to set."""

from __future__ import annotations

from typing import Any

import pytest

from mmecinstruct.recipe import Recipe
from mmecinstruct.splits.empty_splits import empty_splits

CC, PRP = "category_classification", "product_relation_prediction"


def recipe(**split: Any) -> Recipe:
    shares = {"train": 0.7, "validation": 0.1, "test": 0.2, **split}
    content = {"name": "small", "seed": 2, "sources": [{"kind": "mave", "path": "a.jsonl"}], "split": shares}
    return Recipe.model_validate(content)


def entry(
    chosen: int, wanted: int = 9, available: int | None = None, contaminated: int = 0
) -> dict[str, Any]:
    return {
        "wanted": wanted,
        "available": chosen if available is None else available,
        "contaminated": contaminated,
        "chosen": chosen,
        "note": "label B has 0 samples, which limits 9 to 0" if available else "",
    }


def sizes(**counts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {"train": entry(7), "validation": entry(1), "test": entry(2), **counts}


def test_a_split_without_any_sample_is_named_once() -> None:
    found = empty_splits(recipe(), {CC: sizes(test=entry(0)), PRP: sizes(test=entry(0))})
    assert found == [
        f"test is empty: {CC}, {PRP} have no sample of it; the hash assigns it no fitting record: set another seed "
        "(now 2) or a larger split.test (now 0.2), or add products"
    ]


def test_a_task_without_training_samples_is_named() -> None:
    (found,) = empty_splits(recipe(), {CC: sizes(train=entry(0)), PRP: sizes()})
    assert found.startswith(f"{CC}: no train sample, but 1 of validation, 2 of test; ")
    assert "split.train" in found


def test_a_task_without_test_samples_is_named() -> None:
    (found,) = empty_splits(recipe(), {CC: sizes(), PRP: sizes(test=entry(0), validation=entry(3))})
    assert found.startswith(f"{PRP}: no test sample, but 7 of train, 3 of validation; ")


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        (
            entry(0, contaminated=4),
            "all 4 candidates hold a text or an image of an earlier split: set a larger split.test",
        ),
        (entry(0, available=5), "label B has 0 samples, which limits 9 to 0: set other sizes"),
    ],
)
def test_the_remedy_fits_the_cause(lacking: dict[str, Any], words: str) -> None:
    (found,) = empty_splits(recipe(), {CC: sizes(test=lacking)})
    assert words in found


def test_splits_that_nobody_wants_are_no_concern() -> None:
    nobody = recipe(validation=0.0, train=0.8)
    wanted = sizes(validation=entry(0), test=entry(0, wanted=0), test_ood=entry(0))
    assert empty_splits(nobody, {CC: wanted}) == []


def test_an_out_of_domain_test_without_samples_is_named() -> None:
    (found,) = empty_splits(recipe(ood_categories=("Garden",)), {CC: sizes(test_ood=entry(0))})
    assert found.startswith("test_ood is empty")
    # These categories are out of domain whatever the hash says.
    assert (
        "no record of these categories fits, see its rejections: set other split.ood_categories, or" in found
    )
    assert "seed" not in found
