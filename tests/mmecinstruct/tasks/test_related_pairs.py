"""Pairs of related products, from relations that occur several times and in both directions."""

from __future__ import annotations

import random
from collections import defaultdict

import pyarrow as pa

from mmecinstruct.core.duckdb import connect
from mmecinstruct.schemas.tables import RELATIONS
from mmecinstruct.tasks.related_pairs import ALSO_BOUGHT, ALSO_VIEWED, OTHER, SIMILAR, create_related_pairs

BITS = {"also_bought": ALSO_BOUGHT, "also_viewed": ALSO_VIEWED, "similar": SIMILAR}


def pairs_of(
    relations: list[tuple[str, str, str | None]], products: list[str]
) -> dict[tuple[str, str], tuple[int, str | None, bool]]:
    with connect() as connection:
        rows = [dict(zip(RELATIONS.names, row, strict=False)) for row in relations]
        connection.register("relations", pa.Table.from_pylist(rows, schema=RELATIONS))
        connection.register("products", pa.table({"product_id": pa.array(products, pa.string())}))
        create_related_pairs(connection, "relations", "products", "pairs")
        found = connection.sql(
            "SELECT product_a, product_b, relation_bits, relation, several FROM pairs"
        ).fetchall()
        assert connection.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("pairs",)]
    assert len({row[:2] for row in found}) == len(found)
    return {(a, b): (bits, relation, several) for a, b, bits, relation, several in found}


def test_both_directions_and_repeats_are_one_pair() -> None:
    relations = [("b", "a", "similar"), ("a", "b", "similar"), ("a", "b", "similar")]
    assert pairs_of(relations, ["a", "b"]) == {("a", "b"): (SIMILAR, "similar", False)}


def test_a_pair_of_several_relations_is_marked_and_has_no_single_one() -> None:
    relations = [("b", "a", "also_bought"), ("a", "b", "also_viewed"), ("a", "c", "also_bought")]
    assert pairs_of(relations, ["a", "b", "c"]) == {
        ("a", "b"): (ALSO_BOUGHT | ALSO_VIEWED, None, True),
        ("a", "c"): (ALSO_BOUGHT, "also_bought", False),
    }


def test_a_name_that_is_none_of_the_three_is_no_answer() -> None:
    assert pairs_of([("a", "b", "bundle"), ("a", "c", None)], ["a", "b", "c"]) == {
        ("a", "b"): (OTHER, None, False),
        ("a", "c"): (OTHER, None, False),
    }


def test_unknown_products_and_self_relations_make_no_pair() -> None:
    relations = [("a", "gone", "similar"), ("gone", "a", "similar"), ("a", "a", "similar")]
    assert pairs_of(relations, ["a", "b"]) == {}


def test_it_equals_a_plain_implementation() -> None:
    generator = random.Random(5)
    names = [f"p{number:02}" for number in range(40)]
    relations = [
        (generator.choice(names), generator.choice(names), generator.choice(list(BITS))) for _ in range(900)
    ]
    known = names[:30]
    sets: dict[tuple[str, str], set[str]] = defaultdict(set)
    for a, b, relation in relations:
        if a != b and a in known and b in known:
            sets[min(a, b), max(a, b)].add(relation)
    expected = {
        pair: (sum(BITS[name] for name in found), min(found) if len(found) == 1 else None, len(found) > 1)
        for pair, found in sets.items()
    }
    assert pairs_of(relations, known) == expected
