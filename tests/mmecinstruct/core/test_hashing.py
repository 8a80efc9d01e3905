"""Hash draws depend on their arguments alone, in Python and in SQL."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mmecinstruct.core.duckdb import connect
from mmecinstruct.core.hashing import (
    canonical_json,
    fingerprint,
    hash_choice,
    hash_draw,
    hash_draw_sql,
    hash_fraction,
    hash_order,
    sha256_file,
)


def test_a_hash_draw_is_the_same_in_every_process() -> None:
    assert hash_draw(7, "split", "abc") == 4522518784076382168


@pytest.mark.parametrize("ids", [("abc",), ("é ü", "x"), ("", "a"), ("it's", "q")])
def test_sql_and_python_hash_draws_are_equal(ids: tuple[str, ...]) -> None:
    columns = [f"c{number}" for number in range(len(ids))]
    values = ", ".join(f"? AS {c}" for c in columns)
    sql = f"SELECT {hash_draw_sql(7, 'it’s a purpose', *columns)} FROM (SELECT {values})"
    assert connect().execute(sql, list(ids)).fetchall() == [(hash_draw(7, "it’s a purpose", *ids),)]


def test_ids_are_separated() -> None:
    assert hash_draw(1, "p", "ab", "c") != hash_draw(1, "p", "a", "bc")


def test_fractions_are_uniform() -> None:
    fractions = [hash_fraction(3, "p", str(i)) for i in range(4000)]
    assert all(0 <= value < 1 for value in fractions)
    assert max(Counter(int(value * 10) for value in fractions).values()) < 480


def test_an_order_is_a_permutation_that_keeps_repeats() -> None:
    items = ["a", "b", "b", "c"]
    order = hash_order(items, 1, "p", "x")
    assert sorted(order) == items
    assert order == hash_order(items, 1, "p", "x")
    assert any(hash_order(items, 1, "p", str(i)) != order for i in range(20))


def test_every_item_can_be_chosen() -> None:
    assert {hash_choice("abc", 1, "p", str(i)) for i in range(50)} == set("abc")


def test_canonical_json_ignores_the_order_of_keys() -> None:
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'
    assert fingerprint({"b": 1, "a": 2}) == fingerprint({"a": 2, "b": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": "1"})


def test_a_files_hash_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256_file(tmp_path / "f").startswith("ba7816bf8f01cfea414140de5dae2223")
