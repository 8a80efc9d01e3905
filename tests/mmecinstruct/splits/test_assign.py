"""Splits: no group crosses, crossing samples are rejected."""

from __future__ import annotations

import json
from collections import Counter

import pyarrow as pa
import pytest

from mmecinstruct.recipe import SplitSettings
from mmecinstruct.splits.assign import Assignment, assign_products, assign_samples, query_words, split_by_hash
from mmecinstruct.splits.communities import label_propagation

SETTINGS = SplitSettings(train=0.6, validation=0.1, test=0.3, ood_categories=("Garden",))


def products(*rows: tuple[str, str, str]) -> pa.Table:
    names = ("product_id", "cluster_id", "category")
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows])


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


def test_a_cluster_with_an_ood_product_is_ood_as_a_whole() -> None:
    cluster_of, split_of = assign_products(
        products(("a", "a", "Home"), ("b", "a", "Garden"), ("c", "c", "Home")), [], SETTINGS, 1
    )
    assert split_of[cluster_of["a"]] == "test_ood"
    assert split_of["c"] != "test_ood"


def test_a_new_product_changes_no_other_split() -> None:
    rows = [(f"p{n}", f"p{n}", "Home") for n in range(50)]
    before = assign_products(products(*rows), [], SETTINGS, 1)[1]
    after = assign_products(products(("new", "new", "Home"), *rows), [], SETTINGS, 1)[1]
    assert before.items() <= after.items()


ASSIGNMENT = Assignment(
    cluster_of={name: name for name in ("train", "train2", "test", "ood")},
    split_of={"train": "train", "train2": "train", "test": "test", "ood": "test_ood"},
    ood_categories=frozenset({"Garden"}),
)


def outcome(one: dict, task: str) -> str:
    other = sample("ood", user="gardener", category="Garden")
    splits, rejections = assign_samples([one, other], task, ASSIGNMENT, SETTINGS, 1)
    return splits[0] or rejections[0].reason


def query_of(split: str) -> str:
    return next(q for q in map(str, range(999)) if split_by_hash(SETTINGS, 1, "split:query", q) == split)


@pytest.mark.parametrize(
    ("one", "task", "expected"),
    [
        (sample("train"), "category_classification", "train"),
        (sample("train", "train2"), "product_relation_prediction", "train"),
        (sample("train", "test"), "product_relation_prediction", "crosses_splits"),
        (sample("ood", "test"), "product_relation_prediction", "crosses_splits"),
        (sample("ood"), "answerability_prediction", "test_ood"),
        (sample("test", query=query_of("test")), "product_substitute_identification", "test"),
        (sample("test", query=query_of("train")), "product_substitute_identification", "crosses_splits"),
        (sample("ood", query=query_of("train")), "multiclass_product_classification", "ood_product"),
        (sample("train", "test", user="u", category="Garden"), "sequential_recommendation", "test_ood"),
        (sample("train", user="gardener"), "sequential_recommendation", "ood_user"),
    ],
)
def test_a_sample_takes_the_split_of_its_groups(one: dict, task: str, expected: str) -> None:
    assert outcome(one, task) == expected


def test_queries_of_equal_words_share_a_split() -> None:
    settings = SplitSettings(train=0.5, validation=0.1, test=0.4)
    for query in ("Red mug", "blue mug, large", "20 % off"):
        variants = [query, query.upper(), f" {query} !"]
        rows = [
            {**sample("train", query=text), "query_id": str(number)} for number, text in enumerate(variants)
        ]
        assert len({query_words(row) for row in rows}) == 1
        found, _ = assign_samples(rows, "product_substitute_identification", ASSIGNMENT, settings, 1)
        assert len(set(found)) == 1
    assert query_words({**sample("train", query="???"), "query_id": "q7"}) == "q7"


def test_a_sequence_is_assigned_by_its_user_alone() -> None:
    one = sample("train", "test", "ood", user="someone")
    assert outcome(one, "sequential_recommendation") == split_by_hash(SETTINGS, 1, "split:user", "someone")


# --- communities ---------------------------------------------------------------------------------------


def test_label_propagation_finds_the_cliques() -> None:
    nodes = [f"{group}{n}" for group in "abcdefghijkl" for n in range(4)]
    edges = [(x, y) for x in nodes for y in nodes if x < y and x[0] == y[0]]
    edges += [("a0", "b0"), ("c0", "d0")]
    found = label_propagation(nodes, edges, 1)
    assert found == label_propagation(nodes, list(reversed(edges)), 1)
    for group in "abcdefghijkl":
        assert len({found[f"{group}{n}"] for n in range(4)}) == 1
    assert len(set(found.values())) == 12


def test_the_size_of_a_community_is_bounded() -> None:
    nodes = [str(n) for n in range(100)]
    found = label_propagation(nodes, [(x, y) for x in nodes for y in nodes if x < y], 1)
    assert max(Counter(found.values()).values()) <= 10


def test_communities_stay_together_and_meet_the_shares() -> None:
    rows = [(f"{group:02d}-{n}", f"{group:02d}-{n}", "Home") for group in range(20) for n in range(5)]
    pairs = [(a[0], b[0]) for a in rows for b in rows if a[0] < b[0] and a[0][:2] == b[0][:2]]
    settings = SETTINGS.model_copy(update={"scheme": "communities"})
    _, split_of = assign_products(products(*rows), pairs, settings, 1)
    for group in range(20):
        assert len({split_of[f"{group:02d}-{n}"] for n in range(5)}) == 1
    assert Counter(split_of.values()) == {"train": 60, "validation": 10, "test": 30}
