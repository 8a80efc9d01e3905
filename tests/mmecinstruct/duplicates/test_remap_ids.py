"""Tables after a merge of products."""

from __future__ import annotations

import pyarrow as pa
import pytest

from mmecinstruct.duplicates.remap_ids import repoint
from mmecinstruct.schemas.tables import RAW_TABLES

MERGED = {"shop:old": "shop:kept", "shop:older": "shop:kept"}


def table(name, *rows):
    schema = RAW_TABLES[name]
    return pa.Table.from_pylist([dict.fromkeys(schema.names) | row for row in rows], schema=schema)


def test_reviews_and_questions_follow_their_product() -> None:
    for name, key in (("reviews", "review_id"), ("questions", "question_id")):
        before = table(name, {key: "1", "product_id": "shop:old"}, {key: "2", "product_id": "shop:other"})
        after, rejections = repoint(name, before, MERGED)
        assert after["product_id"].to_pylist() == ["shop:kept", "shop:other"]
        assert after.schema == before.schema
        assert rejections == []


def test_self_relations_and_repeats_are_rejected() -> None:
    before = table(
        "relations",
        {"product_a": "shop:old", "product_b": "shop:kept", "relation": "similar"},
        {"product_a": "shop:old", "product_b": "shop:x", "relation": "similar"},
        {"product_a": "shop:kept", "product_b": "shop:x", "relation": "similar"},
        {"product_a": "shop:older", "product_b": "shop:x", "relation": "also_bought"},
        {"product_a": "shop:y", "product_b": "shop:y", "relation": "similar"},
    )
    after, rejections = repoint("relations", before, MERGED)
    assert after.drop_columns("origin").to_pylist() == [
        {"product_a": "shop:kept", "product_b": "shop:x", "relation": "similar"},
        {"product_a": "shop:kept", "product_b": "shop:x", "relation": "also_bought"},
        {"product_a": "shop:y", "product_b": "shop:y", "relation": "similar"},  # so before the merge
    ]
    assert [(one.reason, one.record_id) for one in rejections] == [
        ("self_relation", "shop:old shop:kept similar"),
        ("duplicate_row", "shop:old shop:x similar"),
    ]
    assert before.num_rows == after.num_rows + len(rejections)


def test_the_first_of_equal_judgements_stays() -> None:
    before = table(
        "judgements",
        {"query_id": "q", "product_id": "shop:old", "label": "E", "locale": "us"},
        {"query_id": "q", "product_id": "shop:older", "label": "E", "locale": "es"},
        {"query_id": "q", "product_id": "shop:older", "label": "S", "locale": "us"},
    )
    after, rejections = repoint("judgements", before, MERGED)
    assert [(row["label"], row["locale"]) for row in after.to_pylist()] == [("E", "us"), ("S", "us")]
    assert [one.record_id for one in rejections] == ["q shop:older E"]


@pytest.mark.parametrize("name", ["reviews", "relations", "judgements", "questions"])
def test_an_empty_table_stays_unchanged(name) -> None:
    assert repoint(name, table(name), MERGED) == (table(name), [])
