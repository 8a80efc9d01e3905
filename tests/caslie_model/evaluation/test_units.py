"""Units of resampling: what samples of each task share, and resamples of whole units."""

from __future__ import annotations

import pytest

from caslie_model.data.samples import Groups, Sample
from caslie_model.evaluation.units import Units, sample_units


def sample(number: int, groups: Groups) -> Sample:
    return Sample(f"s{number}", "t", "test", "c", "i", None, (), {}, "yes", None, None, groups=groups)


def units_of(task: str, *groups: Groups) -> Units:
    return sample_units(task, [sample(number, each) for number, each in enumerate(groups)])


def same(units: Units) -> list[int]:
    """Return the number of each sample's unit, by first appearance."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(units.names))}
    return [numbers[name] for name in units.names]


def test_histories_go_by_user() -> None:
    units = units_of(
        "sequential_recommendation",
        Groups(("a",), ("a",), user="1"),
        Groups(("a",), ("a",), user="2"),
        Groups(("b",), ("b",), user="1"),
    )
    assert same(units) == [0, 1, 0]
    assert (units.kind, units.count) == ("user", 2)


@pytest.mark.parametrize("task", ["multiclass_product_classification", "product_substitute_identification"])
def test_judged_pairs_go_by_query(task: str) -> None:
    units = units_of(task, Groups(("a",), query="x"), Groups(("b",), query="x"), Groups(("a",), query="y"))
    assert same(units) == [0, 0, 1]
    assert units.kind == "query"


@pytest.mark.parametrize(
    "task", ["answerability_prediction", "category_classification", "sentiment_analysis"]
)
def test_products_go_by_group_then_cluster_then_product(task: str) -> None:
    units = units_of(
        task,
        Groups(("a",), ("k1",), ("g",)),
        Groups(("b",), ("k2",), ("g",)),
        Groups(("c",), ("k2",)),
        Groups(("d",), ("k2",)),
        Groups(("k2",)),
    )
    assert same(units) == [0, 0, 1, 1, 2]
    assert units.kind == "product group or cluster"


def pairs(*ends: str) -> list[Groups]:
    return [Groups(tuple(each), tuple(each)) for each in ends]


def test_pairs_go_by_connected_component() -> None:
    units = units_of(
        "product_relation_prediction",
        *pairs("ab", "bc", *(f"{2 * i}{2 * i + 1}" for i in range(5)), "xy", "z", "uv"),
    )
    assert same(units)[:3] == [0, 0, 1]
    assert units.count == 9
    assert units.kind == "connected component of pairs"


def test_pairs_of_one_large_component_go_by_first_cluster() -> None:
    units = units_of("product_relation_prediction", *pairs("ab", "bc", "ac", "xy"))
    assert same(units) == [0, 1, 0, 2]
    assert units.kind.startswith("first product's cluster (one component holds over a fifth")


def test_foreign_rows_are_units_and_it_is_said() -> None:
    for task in ("sequential_recommendation", "sentiment_analysis", "product_relation_prediction"):
        units = units_of(task, Groups(), Groups(), Groups())
        assert (units.count, units.kind) == (3, "row (no ids)")


def test_rows_without_ids_among_others_are_counted() -> None:
    units = units_of("sequential_recommendation", Groups(user="1"), Groups(), Groups(user="1"))
    assert same(units) == [0, 1, 0]
    assert units.kind == "user; 1 without ids: row"
