"""Splits: no group crosses, crossing samples are rejected."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from mmecinstruct.recipe import SplitSettings
from mmecinstruct.splits.assign import Assignment, assign_products, assign_samples, query_words, split_by_hash
from mmecinstruct.splits.communities import label_propagation

SETTINGS = SplitSettings(train=0.6, validation=0.1, test=0.3, ood_categories=("Garden",))


def sample(
    *product_ids: str, query: str | None = None, user: str | None = None, category: str = "Home"
) -> dict:
    return {
        "id": "-".join(product_ids),
        "category": category,
        "product_ids": list(product_ids),
        "user_id": user,
        "query_id": None if query is None else f"id of {query}",
        "fields": json.dumps({"query": query}),
    }


def test_a_hash_split_keeps_the_shares() -> None:
    counts = Counter(split_by_hash(SETTINGS, 1, "p", str(n)) for n in range(3000))
    assert counts["train"] == pytest.approx(1800, abs=120)
    assert counts["validation"] == pytest.approx(300, abs=80)


def test_an_outside_unit_is_ood_as_a_whole() -> None:
    found = assign_products({"a": "a", "b": "a", "c": "c"}, {"a"}, SETTINGS, 1).units
    assert found["a"] == "test_ood"
    assert found["c"] != "test_ood"


def test_a_new_product_changes_no_other_split() -> None:
    unit_of = {f"p{n}": f"p{n}" for n in range(50)}
    before = assign_products(unit_of, (), SETTINGS, 1).units
    after = assign_products({"new": "new", **unit_of}, (), SETTINGS, 1).units
    assert before.items() <= after.items()


ASSIGNMENT = Assignment(
    cluster_of={name: name for name in ("train", "train2", "test", "ood")},
    split_of={"train": "train", "train2": "train", "test": "test", "ood": "test_ood"},
    ood_categories=frozenset({"Garden"}),
    split_of_query={"in train": "train", "in test": "test"},
)


def outcome(one: dict, task: str) -> str:
    other = sample("ood", user="gardener", category="Garden")
    splits, rejections = assign_samples([one, other], task, ASSIGNMENT, SETTINGS, 1)
    return splits[0] or rejections[0].reason


@pytest.mark.parametrize(
    ("one", "task", "expected"),
    [
        (sample("train"), "category_classification", "train"),
        (sample("train", "train2"), "product_relation_prediction", "train"),
        (sample("train", "test"), "product_relation_prediction", "crosses_splits"),
        (sample("ood", "test"), "product_relation_prediction", "crosses_splits"),
        (sample("ood", category="garden"), "answerability_prediction", "test_ood"),
        # A variant or near-duplicate that another category lists: train has that category.
        (sample("ood", category="Home"), "answerability_prediction", "ood_product"),
        (sample("test", query="in test"), "product_substitute_identification", "test"),
        (sample("test", query="in train"), "product_substitute_identification", "crosses_splits"),
        (sample("ood", query="in train"), "multiclass_product_classification", "ood_product"),
        (sample("train", "test", user="u", category="Garden"), "sequential_recommendation", "test_ood"),
        (sample("train", user="gardener"), "sequential_recommendation", "ood_user"),
        (sample("train", user="u", category="GARDEN"), "sequential_recommendation", "test_ood"),
    ],
)
def test_a_sample_takes_the_split_of_its_groups(one: dict, task: str, expected: str) -> None:
    assert outcome(one, task) == expected


def test_queries_of_equal_words_have_one_key() -> None:
    for query in ("Red mug", "blue mug, large", "20 % off"):
        rows = [
            {**sample("train", query=text), "query_id": str(number)}
            for number, text in enumerate([query, query.upper(), f" {query} !"])
        ]
        assert len({query_words(row) for row in rows}) == 1
    assert query_words({**sample("train", query="???"), "query_id": "q7"}) == "q7"


def test_a_sequence_is_assigned_by_its_user_alone() -> None:
    one = sample("train", "test", "ood", user="someone")
    assert outcome(one, "sequential_recommendation") == split_by_hash(SETTINGS, 1, "split:user", "someone")


# --- communities ---------------------------------------------------------------------------------------


def test_label_propagation_finds_the_cliques() -> None:
    nodes = [f"{group}{n}" for group in "abcdefghijkl" for n in range(4)]
    edges = [(x, y) for x in nodes for y in nodes if x < y and x[0] == y[0]]
    edges += [("a0", "b0"), ("c0", "d0")]
    found = label_propagation(nodes, edges, 1, 4)
    assert found == label_propagation(nodes, list(reversed(edges)), 1, 4)
    for group in "abcdefghijkl":
        assert len({found[f"{group}{n}"] for n in range(4)}) == 1
    assert len(set(found.values())) == 12


def test_the_size_of_a_community_is_bounded() -> None:
    nodes = [str(n) for n in range(100)]
    found = label_propagation(nodes, [(x, y) for x in nodes for y in nodes if x < y], 1, 10)
    assert max(Counter(found.values()).values()) <= 10


def test_communities_stay_together_and_meet_the_shares() -> None:
    names = [f"{group:02d}-{n}" for group in range(20) for n in range(5)]
    pairs = [(a, b) for a in names for b in names if a < b and a[:2] == b[:2]]
    settings = SETTINGS.model_copy(update={"scheme": "communities"})
    split_of = assign_products({name: name for name in names}, (), settings, 1, relations=pairs).units
    for group in range(20):
        assert len({split_of[f"{group:02d}-{n}"] for n in range(5)}) == 1
    assert Counter(split_of.values()) == {"train": 60, "validation": 10, "test": 30}
