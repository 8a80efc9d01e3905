"""Category classification (CC): which fine-grained category does the product belong to?

Unit record: a product. Input: its `title`. Options: `settings.options` categories in the order of
hash draws: the answer, half of all options siblings of it (first of the same parent, then of the same top
level) as far as there are, the others from elsewhere; what one of the two groups lacks comes from the
other. Fewer categories than options make fewer options, at least two. What a category is and when its
text is a whole path: `categories`. An option that would be right too is never taken: a category that
contains one of the product's paths or is within one.
Within a group the next option is each of those left with a probability in proportion to its frequency: the number of
products that are asked about, so that frequency says little about which option is the answer. Out-of-domain products
count for out-of-domain products only, all others for the others; categories of frequency 0 come last, in any order. Of
a part of larger tables it is the frequency in the part. `settings.negatives` = uniform makes all of a group as likely.
Answer: its letter. Image: the product's. Label: the answer's text.

A new product changes other products' samples where it alters the frequency of a category, brings a new one or
makes a name ambiguous. Few samples change with a frequency.

Rejected: duplicate_in_cluster (a near-duplicate of the same title asks the same question: of those that have a
category the one with the smallest id; one item in two sources is the usual case), no_fine_category (with
`settings.labelled_only` also: none that somebody labelled), no_category (no top-level category, which
decides about out-of-domain), too_few_categories (no other category that would be a wrong answer).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, field_validator

from mmecinstruct.core.hashing import hash_draw, hash_draw_sql
from mmecinstruct.tasks.categories import create_category_tables, drop_category_tables
from mmecinstruct.tasks.expressions import comparable_title, has_images, letter, product_image, sample_id
from mmecinstruct.tasks.output import TaskOutput, collect, create_records
from mmecinstruct.tasks.pools import Pool, hash_ordered_members, make_pool, make_pools
from mmecinstruct.tasks.settings import TaskSettings
from mmecinstruct.tasks.task import Candidates, InputField, PredictedSplits, Row, Sampling, Task

if TYPE_CHECKING:
    import duckdb

NAME = "category_classification"
OLD_NAME_OF_UNIFORM = "random"

# The weight of a category of frequency 0: it comes after all others.
_LAST = 1e-9


class CategoryClassificationSettings(TaskSettings):
    """Settings of category classification."""

    old_defaults: ClassVar[Mapping[str, Any]] = {"negatives": OLD_NAME_OF_UNIFORM}

    options: int = Field(
        default=10,
        ge=2,
        le=26,
        description="Number of options: categories to choose from, the answer among them.",
        json_schema_extra={"unit": "options"},
    )
    labelled_only: bool = Field(
        default=False,
        description="Take only products whose fine category somebody labelled, not those with a path alone.",
    )
    negatives: Literal["frequency", "uniform"] = Field(
        default="frequency",
        description="Wrong options: categories in proportion to the number of products that are asked about, so that "
        "the most frequent option is not the answer more often (frequency), or each as likely (uniform).",
    )

    @field_validator("negatives", mode="before")
    @classmethod
    def _read_old_name(cls, value: Any) -> Any:
        return "uniform" if value == OLD_NAME_OF_UNIFORM else value

    def why_not_sampled(self) -> str | None:
        """Return the setting that sampling cannot honour: the name of a path's category is not known to it."""
        if not self.label_balance or self.labelled_only:
            return None
        return (
            "label_balance: sampling knows the categories that somebody labelled, not those of paths; set "
            "labelled_only to true, or remove the balance or sampling"
        )


def build(
    connection: duckdb.DuckDBPyConnection, settings: CategoryClassificationSettings, seed: int, sampled: bool
) -> TaskOutput:
    """Build all CC samples; where `sampled`, of the products in the view `sampled_records` (column one) alone."""
    create_category_tables(connection)
    _create_asked(connection, settings, sampled)
    connection.register("cc_options", _choose_options(connection, settings, seed))
    create_records(
        connection,
        f"""
        SELECT p.product_id AS record_id, {sample_id(NAME, "p.product_id")} AS id,
               p.title, p.category, p.source, p.image_urls, chosen.options, chosen.answer,
               CASE WHEN a.repeats THEN 'duplicate_in_cluster'
                    WHEN a.lack IS NOT NULL THEN a.lack
                    WHEN len(chosen.options) < 2 THEN 'too_few_categories' END AS reason,
               CASE reason WHEN 'duplicate_in_cluster' THEN 'the same title in cluster ' || p.cluster_id
                           WHEN 'no_fine_category' THEN CASE WHEN a.category_text IS NULL
                                THEN 'neither a label nor a category path' ELSE 'no label' END
                           WHEN 'no_category' THEN 'no top-level category'
                           WHEN 'too_few_categories' THEN 'no wrong category beside ' || a.category_text
               END AS detail
        FROM products p JOIN cc_asked a ON a.product_id = p.product_id
        LEFT JOIN cc_options chosen ON chosen.product_id = p.product_id
        """,
    )
    connection.unregister("cc_options")
    connection.execute("DROP TABLE cc_asked")
    drop_category_tables(connection)
    return collect(
        connection,
        NAME,
        "products",
        f"""
        SELECT id, category, source, json_object('title', title)::VARCHAR AS fields, options,
               {letter("answer")} AS output, options[answer] AS label,
               [{product_image("'product'", "record_id", "image_urls")}] AS images,
               [record_id] AS product_ids, NULL::VARCHAR AS user_id, NULL::VARCHAR AS query_id,
               []::VARCHAR[] AS record_ids
        FROM task_records WHERE reason IS NULL
        """,
    )


def _create_asked(
    connection: duckdb.DuckDBPyConnection, settings: CategoryClassificationSettings, sampled: bool
) -> None:
    """Create `cc_asked`: all products that are unit records.

    Columns: product_id, category_text (null without a fine category), is_ood, lack (the reason of rejection of a
    product that cannot be asked about, else null), repeats (whether another one of its cluster and title goes before).
    """
    asked = (
        "products SEMI JOIN sampled_records ON sampled_records.one = product_id" if sampled else "products"
    )
    unlabelled = "trim(coalesce(asked.fine_category, '')) = ''" if settings.labelled_only else "false"
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE cc_asked AS
        SELECT product_id, category_text, is_ood, lack, row_number() OVER (
                   PARTITION BY cluster_id, {comparable_title("title")} ORDER BY lack IS NOT NULL, product_id
               ) > 1 AS repeats
        FROM (
            SELECT asked.*, c.category_text,
                   asked.category IN (SELECT category FROM ood_categories) AS is_ood,
                   CASE WHEN c.product_id IS NULL OR {unlabelled} THEN 'no_fine_category'
                        WHEN coalesce(asked.category, '') = '' THEN 'no_category' END AS lack
            FROM (SELECT * FROM {asked}) asked
            LEFT JOIN product_category c ON c.product_id = asked.product_id
        )
        """
    )


# The products that options are chosen for, with their categories.
_WITH_OPTIONS = """
    (SELECT * FROM cc_asked JOIN product_category USING (product_id) WHERE lack IS NULL AND NOT repeats)
"""


@dataclass(frozen=True, slots=True)
class _Categories:
    """All fine categories; each is known by its position in these lists.

    Attributes:
        frequencies: int64 [N], the number of products of each that count; all 1 where all are as likely.
        weights: float64 [N], of the pools.
    """

    keys: list[str]
    texts: list[str]
    parents: list[str]
    tops: list[str]
    paths: list[str | None]  # null for labelled categories
    points: NDArray[np.uint64]
    frequencies: NDArray[np.int64]
    weights: NDArray[np.float64] | None
    by_parent: dict[str, Pool]
    by_top: dict[str, Pool]
    everything: Pool
    elsewhere: dict[str, Pool] = field(default_factory=dict)  # filled as needed

    def outside(self, top: str) -> Pool:
        """Return a pool with all categories of other top levels, in which these have at least half of the weight."""
        if top not in self.elsewhere:
            others = np.flatnonzero(np.array([other != top for other in self.tops]))
            weights = None if self.weights is None else self.weights[others]
            is_most = 2 * self.frequencies[others].sum() >= self.frequencies.sum()
            self.elsewhere[top] = (
                self.everything if is_most else make_pool(others, self.points[others], weights)
            )
        return self.elsewhere[top]


def _read_categories(
    connection: duckdb.DuckDBPyConnection, seed: int, is_weighted: bool
) -> list[_Categories]:
    """Return the categories as options of in-domain products, and as those of out-of-domain products."""
    table = connection.sql(
        f"""
        SELECT category_key, category_text, parent_key, top_key, path_key,
               {hash_draw_sql(seed, "cc:category", "category_key")} AS point,
               coalesce(inside, 0) AS inside, coalesce(outside, 0) AS outside
        FROM fine_category LEFT JOIN (
            SELECT category_key, count(*) FILTER (NOT is_ood) AS inside, count(*) FILTER (is_ood) AS outside
            FROM {_WITH_OPTIONS} GROUP BY category_key
        ) USING (category_key) ORDER BY category_key
        """
    ).to_arrow_table()
    members, points = np.arange(table.num_rows), table["point"].to_numpy()
    parents, tops = table["parent_key"].to_pylist(), table["top_key"].to_pylist()

    def with_frequencies(frequencies: NDArray[np.int64]) -> _Categories:
        weights = np.maximum(frequencies, _LAST) if is_weighted else None
        return _Categories(
            table["category_key"].to_pylist(),
            table["category_text"].to_pylist(),
            parents,
            tops,
            table["path_key"].to_pylist(),
            points,
            frequencies,
            weights,
            make_pools(np.array(parents, dtype=object), members, points, weights),
            make_pools(np.array(tops, dtype=object), members, points, weights),
            make_pool(members, points, weights),
        )

    if not is_weighted:
        return [with_frequencies(np.ones_like(members))] * 2
    return [with_frequencies(table[name].to_numpy()) for name in ("inside", "outside")]


def _choose_options(
    connection: duckdb.DuckDBPyConnection, settings: CategoryClassificationSettings, seed: int
) -> pa.Table:
    """Return product_id, options (texts in order) and answer (its position, from 1) of the asked products."""
    of_domains = _read_categories(connection, seed, settings.negatives == "frequency")
    index = {key: position for position, key in enumerate(of_domains[0].keys)}
    table = connection.sql(
        f"""
        SELECT product_id, is_ood, category_key, path_key, path_names, other_keys
        FROM {_WITH_OPTIONS} ORDER BY product_id
        """
    ).to_arrow_table()
    options: list[list[str]] = []
    answers: list[int] = []
    for batch in table.to_batches(max_chunksize=10_000):
        for product in batch.to_pylist():
            categories = of_domains[product["is_ood"]]
            product_id, own = product["product_id"], index[product["category_key"]]
            offered = [own, *_wrong_options(categories, own, product, settings.options, seed)]
            offered.sort(key=lambda one: hash_draw(seed, "cc:order", product_id, categories.keys[one]))
            options.append([categories.texts[one] for one in offered])
            answers.append(offered.index(own) + 1)
    return pa.table(
        {
            "product_id": table["product_id"],
            "options": pa.array(options, pa.list_(pa.string())),
            "answer": pa.array(answers, pa.int64()),
        }
    )


def _wrong_options(
    categories: _Categories, own: int, product: dict[str, object], options: int, seed: int
) -> list[int]:
    """Return up to `options - 1` categories that the product does not belong to."""
    product_id, names, others = str(product["product_id"]), product["path_names"], product["other_keys"]
    assert isinstance(names, list)
    assert isinstance(others, list)
    paths = [path for path in (product["path_key"], *others) if path]
    parent, top = categories.parents[own], categories.tops[own]

    def is_wrong(other: int) -> bool:
        other_path = categories.paths[other]
        if other == own:
            return False
        if other_path is None:
            return categories.keys[other] not in names
        return not any(path.startswith(other_path) or other_path.startswith(path) for path in paths)

    def wrong_members(pool: Pool, purpose: str) -> Iterator[int]:
        seen = set()
        for other in hash_ordered_members(pool, seed, purpose, product_id):
            if other not in seen and is_wrong(other):
                seen.add(other)
                yield other

    same_top = wrong_members(categories.by_top[top], "cc:top")
    near = chain(
        wrong_members(categories.by_parent[parent], "cc:parent"),
        (other for other in same_top if categories.parents[other] != parent),
    )
    far = (
        other
        for other in wrong_members(categories.outside(top), "cc:elsewhere")
        if categories.tops[other] != top and categories.parents[other] != parent
    )
    wanted = options - 1
    chosen = list(islice(near, min(options // 2, wanted)))
    chosen += islice(far, wanted - len(chosen))
    chosen += islice(near, wanted - len(chosen))
    return chosen


def candidates(
    connection: duckdb.DuckDBPyConnection, settings: CategoryClassificationSettings, splits: PredictedSplits
) -> Candidates:
    """Return the products with a category, of the same item in several sources the one that `build` will take.

    Without a labelled category the product's path may serve, where the settings allow.
    """
    known = "label IS NOT NULL" if settings.labelled_only else "(label IS NOT NULL OR has_path)"
    return Candidates(f"""
        SELECT product_id AS one, NULL::VARCHAR AS two, split, label
        FROM expected_product WHERE {known} AND category <> '' AND {has_images(settings, "has_image")}
        QUALIFY row_number() OVER (PARTITION BY item ORDER BY product_id) = 1
    """)


TASK = Task(
    name=NAME,
    short_name="cc",
    answer="letter of one category",
    labels=None,
    metric="recall@1",
    requires=("products",),
    also_reads=("category_labels",),
    settings=CategoryClassificationSettings,
    build=build,
    sampling=Sampling("product", None, candidates),
    row=Row({"title": InputField("title")}),
)
