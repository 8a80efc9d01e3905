"""PSI and MPC, which are built from the same judgements."""

from __future__ import annotations

from typing import Any

import pytest

PSI, MPC = "product_substitute_identification", "multiclass_product_classification"


@pytest.mark.parametrize(
    ("label", "substitute", "relevance"),
    [("E", "no", "A"), ("S", "yes", "B"), ("C", "no", "C"), ("I", "no", "D")],
)
def test_labels_become_answers(shop: Any, samples: Any, label: str, substitute: str, relevance: str) -> None:
    shop.product("esci:1", title="Blue mug", source="esci", category=None)
    shop.judgement("7", "esci:1", label, query='mug that\'s "red"')
    psi, mpc = samples(shop.build(PSI))[0], samples(shop.build(MPC))[0]
    assert (psi["output"], psi["label"]) == (substitute, substitute)
    assert (mpc["output"], mpc["label"]) == (relevance, relevance)
    assert psi["id"] != mpc["id"]
    for sample in (psi, mpc):
        assert sample["fields"] == {"query": 'mug that\'s "red"', "product title": "Blue mug"}
        assert sample["options"] == []
        assert (sample["query_id"], sample["product_ids"]) == ("7", ["esci:1"])
        assert (sample["category"], sample["source"], sample["user_id"]) == (None, "esci", None)
        assert sample["images"] == [{"role": "product", "product_id": "esci:1", "image_urls": ["esci:1.jpg"]}]


@pytest.mark.parametrize("task", [PSI, MPC])
def test_one_judgement_per_pair(shop: Any, samples: Any, reasons: Any, task: str) -> None:
    for product in ("a", "b", "c", "d"):
        shop.product(product)
    shop.judgement("1", "a", "E")
    shop.judgement("1", "a", "E")
    shop.judgement("1", "b", "E")
    shop.judgement("1", "b", "S")
    shop.judgement("1", "c", "X")
    shop.judgement("1", "gone", "E")
    shop.judgement("2", "a", "I", query="blue mug")
    shop.judgement("3", "d", "E", query=" ")
    output = shop.build(task)
    assert output.records_in == 6
    assert sorted((one["query_id"], *one["product_ids"]) for one in samples(output)) == [
        ("1", "a"),
        ("2", "a"),
    ]
    assert reasons(output) == {
        "1 b": "conflicting_labels",
        "1 c": "unknown_label",
        "1 gone": "unknown_product",
        "3 d": "no_query",
    }


@pytest.mark.parametrize("task", [PSI, MPC])
def test_row_order_and_new_rows_change_no_other_sample(shop: Any, samples: Any, task: str) -> None:
    for number in range(20):
        shop.product(f"p{number}")
        shop.judgement(str(number % 4), f"p{number}", "ESCI"[number % 4])
    before = shop.build(task)
    assert shop.build(task, reverse=True) == before
    shop.judgement("9", "p1", "S", query="another")
    after = samples(shop.build(task))
    assert len(after) == 21
    assert all(sample in after for sample in samples(before))
