"""The candidates of sequential recommendation beside the target.

They come from the products of the target's top-level category that the k-core holds: a product that nobody ever bought
is no trap, since any count of purchases tells it from the target. The setting `negatives` says in which order:

* popularity: the next one is each of those left with a probability in proportion to
  popularity^`negatives_exponent`, so that popularity says nothing about which candidate is the target.
* uniform: in any order.
* category: first the products of the target's fine category, then the others, each part by popularity.
* hard: first the products whose titles are nearest to the target's, then the others by popularity.
* metadata: all products of the category in any order, also those that nobody bought.

A negative is never a product that the user bought at any time in any category, nor one that shares its cluster, its
title or its text; and no two candidates have the same title or text.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from mmecinstruct.core.hashing import hash_draw_sql
from mmecinstruct.tasks.pools import Pool, hash_ordered_members, make_pool, make_pools

if TYPE_CHECKING:
    import duckdb
    from numpy.typing import NDArray

Way = Literal["popularity", "uniform", "category", "hard", "metadata"]

OF_TOP, OF_FINE = "sr:top", "sr:fine"

# What a negative may share with no product of the user: columns of `sr_items` that are equal for equal values.
_NOT_SHARED_WITH_OWN = ("cluster_code", "title_code", "text_code")
# What two candidates may not share.
_NOT_SHARED = ("title_code", "text_code")

# Negatives that sampling keeps for a sample beside the wanted ones.
_MORE_OFFERED = 5
# Words that more titles of a category have say little about a title, and most of the work would go to them.
_RARE_WORD = 500
# Nearest titles that are looked up beside the wanted ones, as some are the user's own.
_MORE_NEAREST = 30
# A word is a run of other letters, or one letter of a script without blanks.
_NO_BLANKS = "".join(
    rf"\p{{{script}}}" for script in ("Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar")
)
_WORD = f"[{_NO_BLANKS}]|[^ {_NO_BLANKS}]+"


@dataclass(frozen=True, slots=True)
class Negatives:
    """Which candidates a sample gets beside its target.

    Attributes:
        way: in which order products come.
        exponent: the power of a product's popularity that is its weight.
        wanted: how many.
    """

    way: Way
    exponent: float
    wanted: int

    def weights(self, interactions: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """Return the weight of each product; None where all are equal.

        Args:
            interactions: int64 [N], the popularity of each product.
        """
        if self.way in ("uniform", "metadata") or self.exponent == 0:
            return None
        return interactions.astype(np.float64) ** self.exponent


def choose_candidates(connection: duckdb.DuckDBPyConnection, negatives: Negatives, seed: int) -> pa.Table:
    """Return id, position, is_target of each sample's candidates, also where they are too few.

    Reads `sr_items`, `sr_first`, `sr_ordered` and `sr_popularity` (see sequential_recommendation.py).
    """
    _create_pool(connection, negatives, seed)
    items = _Items.read(connection)
    nearest = _nearest_titles(connection, negatives, seed) if negatives.way == "hard" else {}
    askers = connection.sql(
        """
        WITH bought AS (
            SELECT user_id, list(position) AS positions FROM sr_first JOIN sr_items USING (product_id)
            WHERE user_id IN (SELECT user_id FROM sr_ordered) GROUP BY user_id
        )
        SELECT o.id, i.position, i.category, i.fine_code, bought.positions AS bought
        FROM sr_ordered o JOIN sr_items i USING (product_id) JOIN bought ON bought.user_id = o.user_id
        WHERE o.is_target ORDER BY i.category, o.id
        """
    ).to_arrow_table()
    counts, positions = array("q"), array("q")
    rows = (row for batch in askers.to_batches(max_chunksize=10_000) for row in batch.to_pylist())
    for category, members in groupby(rows, key=lambda row: str(row["category"])):
        offered = _offered(connection, category, negatives, seed, nearest)
        for asker in members:
            chosen = items.negatives(asker["bought"], offered(asker), negatives.wanted)
            positions.append(asker["position"])
            positions.extend(chosen)
            counts.append(1 + len(chosen))
    connection.execute("DROP TABLE sr_pool")
    sizes = np.array(counts, dtype=np.int64)
    is_target = np.zeros(len(positions), dtype=bool)
    is_target[np.cumsum(sizes) - sizes] = True
    return pa.table(
        {
            "id": askers["id"].take(pa.array(np.repeat(np.arange(len(sizes)), sizes))),
            "position": pa.array(np.array(positions, dtype=np.int64)),
            "is_target": pa.array(is_target),
        }
    )


def offered_negatives(
    connection: duckdb.DuckDBPyConnection, askers: str, negatives: Negatives, seed: int
) -> set[int]:
    """Return the codes of the products that will be the negatives of samples, chosen from a core before sampling.

    Args:
        connection: of the tables `sampling_popularity` and `sampling_core_product`.
        askers: table of category, id, bought: the samples, with the codes of the products that the user bought.
        negatives: which ones. Those of the fine category and the nearest titles are not known yet: by popularity.
        seed: seed of the hash draws.
    """
    # A few more than are wanted: some share a title with a product of the user, or are lost in later stages.
    wanted = negatives.wanted + _MORE_OFFERED
    offered: set[int] = set()
    if negatives.way == "metadata":
        return offered
    categories = connection.execute(f"SELECT DISTINCT category FROM {askers} ORDER BY category").fetchall()
    for (category,) in categories:
        table = connection.sql(
            f"""
            SELECT product::BIGINT AS product, interactions, {_point(seed, "product_id")} AS point
            FROM sampling_popularity JOIN sampling_core_product ON product_code = product WHERE category = ?
            """,
            params=[category],
        ).to_arrow_table()
        products, interactions, points = (table[name].to_numpy() for name in table.column_names)
        pool = make_pool(products, points, negatives.weights(interactions))
        rows = connection.execute(f"SELECT id, bought FROM {askers} WHERE category = ?", [category])
        while batch := rows.fetchmany(10_000):
            for asker, bought in batch:
                own, chosen = set(bought), set[int]()
                for other in hash_ordered_members(pool, seed, OF_TOP, asker):
                    if len(chosen) == wanted:
                        break
                    if other not in own:
                        chosen.add(other)
                offered |= chosen
    return offered


def _create_pool(connection: duckdb.DuckDBPyConnection, negatives: Negatives, seed: int) -> None:
    """Create `sr_pool`: the products that negatives are chosen from.

    Columns: product_id, category, interactions, point, and position and fine_code of the item, null for a product that
    the tables do not hold since it was not sampled.
    """
    products = "(SELECT product_id, product_id AS item_id, category, 1 AS interactions FROM sr_items)"
    if negatives.way != "metadata":
        products = "sr_popularity"
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE sr_pool AS
        SELECT p.product_id, coalesce(i.category, p.category) AS category, interactions, i.position, i.fine_code,
               {_point(seed, "p.product_id")} AS point
        FROM {products} p LEFT JOIN sr_items i ON i.product_id = p.item_id
        """
    )


def _point(seed: int, product_id: str) -> str:
    """Return the expression of a product's point in the pools, the same in every stage."""
    return hash_draw_sql(seed, "sr:item", product_id)


def _offered(
    connection: duckdb.DuckDBPyConnection,
    category: str,
    negatives: Negatives,
    seed: int,
    nearest: dict[int, list[int]],
) -> Callable[[dict[str, Any]], Iterator[int]]:
    """Return what gives each asker of a top-level category its negatives in order; -1 is one that is not there."""
    table = connection.sql(
        """
        SELECT coalesce(position, -1) AS position, coalesce(fine_code, -1) AS fine_code, interactions, point
        FROM sr_pool WHERE category = ? ORDER BY product_id
        """,
        params=[category],
    ).to_arrow_table()
    positions, points, interactions, codes = (
        table[name].to_numpy() for name in ("position", "point", "interactions", "fine_code")
    )
    weight = negatives.weights(interactions)
    top = make_pool(positions, points, weight)
    fine: dict[int, Pool] = {}
    if negatives.way == "category":
        fine = make_pools(codes, positions, points, weight)

    def stream(asker: dict[str, Any]) -> Iterator[int]:
        yield from nearest.get(asker["position"], ())
        if asker["fine_code"] in fine:
            yield from hash_ordered_members(fine[asker["fine_code"]], seed, OF_FINE, asker["id"])
        yield from hash_ordered_members(top, seed, OF_TOP, asker["id"])

    return stream


@dataclass(frozen=True, slots=True)
class _Items:
    """All products; each is known by its position in these lists. Equal codes mean equal values."""

    not_shared_with_own: tuple[list[int], ...]
    not_shared: tuple[list[int], ...]

    @classmethod
    def read(cls, connection: duckdb.DuckDBPyConnection) -> _Items:
        names = dict.fromkeys((*_NOT_SHARED_WITH_OWN, *_NOT_SHARED))
        table = connection.sql(f"SELECT {', '.join(names)} FROM sr_items ORDER BY position").to_arrow_table()
        codes = {name: table[name].to_pylist() for name in names}
        return cls(
            tuple(codes[name] for name in _NOT_SHARED_WITH_OWN), tuple(codes[name] for name in _NOT_SHARED)
        )

    def negatives(self, bought: Iterable[int], offered: Iterator[int], wanted: int) -> list[int]:
        """Return the first products that are offered, as many as are wanted, without those that are excluded."""
        own = tuple({codes[one] for one in bought} for codes in self.not_shared_with_own)
        taken: tuple[set[int], ...] = tuple(set() for _ in self.not_shared)
        chosen: list[int] = []
        for other in offered:
            if len(chosen) == wanted:
                break
            if (
                other < 0
                or any(codes[other] in one for codes, one in zip(self.not_shared_with_own, own, strict=True))
                # A product that is offered again is excluded by its title.
                or any(codes[other] in one for codes, one in zip(self.not_shared, taken, strict=True))
            ):
                continue
            for codes, one in zip(self.not_shared, taken, strict=True):
                one.add(codes[other])
            chosen.append(other)
        return chosen


def _nearest_titles(
    connection: duckdb.DuckDBPyConnection, negatives: Negatives, seed: int
) -> dict[int, list[int]]:
    """Return the positions of the products with the nearest titles by the position of the target.

    Two titles of a category are as near as the share that they have in common of the weights of their rare words.
    """
    # Whole numbers, as their sums do not depend on the order of rows.
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE sr_words AS
        WITH pool AS (
            SELECT DISTINCT position FROM sr_pool WHERE position IS NOT NULL
        ), words AS (
            SELECT position, category,
                   unnest(list_distinct(regexp_extract_all(compared, '{_WORD}'))) AS word
            FROM sr_items JOIN pool USING (position)
        ), sizes AS (
            SELECT category, count(*) AS titles FROM sr_items JOIN pool USING (position) GROUP BY category
        ), counted AS (
            SELECT category, word, count(*) AS holders FROM words GROUP BY ALL
        )
        SELECT position, category, word, holders, round(1000 * (1 + ln(titles / holders)))::BIGINT AS weight
        FROM words JOIN counted USING (category, word) JOIN sizes USING (category)
        """
    )
    rows = connection.execute(
        f"""
        WITH totals AS (
            SELECT position, sum(weight) AS total FROM sr_words GROUP BY position
        ), targets AS (
            SELECT DISTINCT position FROM sr_ordered JOIN sr_items USING (product_id) WHERE is_target
        ), shared AS (
            SELECT a.position AS target, b.position AS other, sum(a.weight) AS shared
            FROM sr_words a JOIN targets USING (position)
            JOIN sr_words b ON b.category = a.category AND b.word = a.word AND b.position <> a.position
            WHERE a.holders <= {_RARE_WORD} GROUP BY ALL
        ), ranked AS (
            SELECT target, other, row_number() OVER (
                       PARTITION BY target
                       ORDER BY shared / (one.total + two.total - shared) DESC,
                                {hash_draw_sql(seed, "sr:near", "t.product_id", "o.product_id")}, other) AS place
            FROM shared JOIN totals one ON one.position = target JOIN totals two ON two.position = other
            JOIN sr_items t ON t.position = target JOIN sr_items o ON o.position = other
        )
        SELECT target, list(other ORDER BY place) FROM ranked
        WHERE place <= {negatives.wanted + _MORE_NEAREST} GROUP BY target
        """
    ).fetchall()
    connection.execute("DROP TABLE sr_words")
    return dict(rows)
