"""The k-core over whole tables: the one fixed point, times of first interactions, bounded memory."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from mmecinstruct.core.duckdb import Budget, connect, working_connection
from mmecinstruct.core.errors import WorkspaceError
from mmecinstruct.tasks.k_core import create_k_core, drop_k_core, with_ids

Review = tuple[str | None, str | None, int | None]
SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("product_id", pa.string()),
        ("timestamp", pa.int64()),
    ]
)


def table(reviews: Iterable[Review]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in reviews], schema=SCHEMA)


def core_of(reviews: Iterable[Review], k: int) -> tuple[set[Review], int]:
    with connect() as connection:
        connection.register("reviews", table(reviews))
        rounds = create_k_core(connection, "reviews", "core", k)
        rows = connection.sql(with_ids("core")).fetchall()
        assert tables(connection) == {"core", "core_user", "core_product"}
        drop_k_core(connection, "core")
        assert tables(connection) == set()
    assert len(rows) == len(set(rows))
    return set(rows), rounds


def tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}


def plain_core(reviews: Iterable[Review], k: int) -> set[Review]:
    """What a reader would write: sets and dicts, one removal at a time."""
    first: dict[tuple[str, str], int | None] = {}
    for user, product, at in reviews:
        if not user or not product:
            continue
        old = first.get((user, product))
        first[user, product] = at if old is None else old if at is None else min(at, old)
    while True:
        users = Counter(user for user, _ in first)
        products = Counter(product for _, product in first)
        doomed = [pair for pair in first if users[pair[0]] < k or products[pair[1]] < k]
        if not doomed:
            return {(*pair, at) for pair, at in first.items()}
        del first[doomed[0]]


def drawn_reviews(seed: int, users: int, products: int, count: int) -> list[Review]:
    generator = random.Random(seed)
    return [
        (
            f"u{generator.randrange(users)}",
            f"p{min(generator.randrange(products), generator.randrange(products))}",
            generator.choice([None, *range(6)]),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_fixed_point_of_a_plain_implementation(seed: int, k: int) -> None:
    reviews = drawn_reviews(seed, 25, 20, 130)
    found, _ = core_of(reviews, k)
    assert found == plain_core(reviews, k)
    shuffled = random.Random(seed).sample(reviews, len(reviews))
    assert core_of(shuffled, k)[0] == found


def test_a_chain_is_taken_apart_to_its_end() -> None:
    # Each removal makes the next user or product scarce; two users and two products that hold each other stay.
    chain: list[Review] = [(f"u{n}", f"p{n + step}", 0) for n in range(9) for step in range(2)]
    held: list[Review] = [(user, product, 0) for user in "xy" for product in "ab"]
    found, rounds = core_of([*chain, *held], 2)
    assert found == set(held)
    assert rounds > 1
    assert core_of(held, 2)[1] == 0


def test_several_reviews_of_a_product_count_at_the_earliest_time() -> None:
    repeated: list[Review] = [("u", "p", at) for at in (None, 9, 3, 3, 1)]
    assert core_of(repeated, 2)[0] == set()
    assert core_of(repeated, 1)[0] == {("u", "p", 1)}
    assert core_of(repeated[:4], 1)[0] == {("u", "p", 3)}
    assert core_of(repeated[:1], 1)[0] == {("u", "p", None)}


def test_repeated_interactions_do_not_keep_a_user_in_the_core() -> None:
    # `u` has two rows and one product, which then has one user: what the first round's counts of rows do not tell.
    rows: list[Review] = [
        ("u", "p", 1),
        ("u", "p", 2),
        ("v", "p", 1),
        ("v", "q", 1),
        ("w", "q", 1),
        ("w", "r", 1),
    ]
    assert core_of(rows, 2)[0] == set()


def test_codes_and_rows_are_in_the_order_of_ids_and_times() -> None:
    rows: list[Review] = [
        (user, product, at) for user in "ba" for product, at in [("z", 5), ("y", 5), ("x", None)]
    ]
    with connect() as connection:
        connection.register("reviews", table(rows))
        create_k_core(connection, "reviews", "core", 2)
        assert connection.sql("SELECT * FROM core").fetchall() == [
            (user, product, at) for user in (1, 2) for product, at in [(2, 5), (3, 5), (1, None)]
        ]
        assert connection.sql("SELECT * FROM core_user ORDER BY 1").fetchall() == [("a", 1), ("b", 2)]
        assert connection.sql("SELECT * FROM core_product ORDER BY 1").fetchall() == [
            ("x", 1),
            ("y", 2),
            ("z", 3),
        ]


def test_rows_without_a_user_or_product_are_no_interactions() -> None:
    rows: list[Review] = [(None, "p", 1), ("", "p", 1), ("u", None, 1), ("u", "", 1)]
    assert core_of(rows, 1)[0] == set()
    assert core_of([], 3)[0] == set()


def test_k_is_at_least_one() -> None:
    with connect() as connection, pytest.raises(ValueError, match="at least 1"):
        create_k_core(connection, "reviews", "core", 0)


def test_spilling_to_disk_changes_nothing(tmp_path: Path) -> None:
    def run(budget: Budget) -> tuple[Any, int]:
        with working_connection(tmp_path / "work", budget) as connection:
            connection.execute(
                """
                CREATE VIEW reviews AS
                SELECT 'user-' || (hash(i) % 150000) AS user_id, 'product-' || (hash(-i) % 32000) AS product_id,
                       (hash(i * 7) % 1000)::BIGINT AS timestamp
                FROM range(1500000) t(i)
                """
            )
            create_k_core(connection, "reviews", "core", 5)
            spilled = sum(path.stat().st_size for path in (tmp_path / "work.spill").glob("*"))
            result = connection.execute(
                f"SELECT count(*), sum(hash(user_id, product_id, timestamp)) FROM ({with_ids('core')})"
            ).fetchall()
        assert not (tmp_path / "work.spill").exists()
        return result, spilled

    roomy, unspilled = run(Budget(1_000_000_000, 2))
    tight, spilled = run(Budget(60_000_000, 1))
    assert tight == roomy
    assert (unspilled, spilled > 0) == (0, True)


@pytest.mark.parametrize("spill", [0, 1_000_000])
def test_the_error_of_too_much_spilling_names_the_setting(tmp_path: Path, spill: int) -> None:
    most = 0

    def fill() -> None:
        nonlocal most
        with working_connection(tmp_path / "work", Budget(60_000_000, 1, spill)) as connection:
            try:
                connection.execute(
                    "CREATE TEMP TABLE wide AS SELECT i, hash(i) AS h FROM range(20000000) t(i) ORDER BY h"
                )
            finally:
                most = sum(path.stat().st_size for path in (tmp_path / "work.spill").glob("*"))

    with pytest.raises(WorkspaceError, match=rf"the {spill // 10**6} MB .*{tmp_path}.*resources\.spill"):
        fill()
    assert most <= spill
    assert not (tmp_path / "work.spill").exists()


def test_without_a_word_a_part_of_the_disk_stays_free(tmp_path: Path) -> None:
    with working_connection(tmp_path / "work") as connection:
        [(limit,)] = connection.execute("SELECT current_setting('max_temp_directory_size')").fetchall()
        free = shutil.disk_usage(tmp_path).free
    number, unit = limit.split()
    allowed = float(number) * 1024 ** ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"].index(unit)
    assert allowed == pytest.approx(0.8 * free, rel=0.1)


def test_a_connection_without_a_folder_of_its_own_spills_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with connect("50MB") as connection, pytest.raises(duckdb.OutOfMemoryException):
        connection.execute(
            "CREATE TEMP TABLE wide AS SELECT i, hash(i) AS h FROM range(20000000) t(i) ORDER BY h"
        )
    assert list(tmp_path.iterdir()) == []
