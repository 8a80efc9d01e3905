"""Product substitute identification (PSI): is the product a substitute for what the query asks for?

Unit record, rejections: see `judged_pairs`. Input: `query` and `product title`. Answer: yes where the
pair is judged S (substitute), no for E, C and I. Image: the product's. The query is a group of the
split, beside the product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmecinstruct.recipe import TaskSettings
from mmecinstruct.tasks import judged_pairs
from mmecinstruct.tasks.output import TaskOutput

if TYPE_CHECKING:
    import duckdb

TASK = "product_substitute_identification"
REQUIRES = judged_pairs.REQUIRES


def build(connection: duckdb.DuckDBPyConnection, settings: TaskSettings, seed: int) -> TaskOutput:
    """Build all PSI samples. Nothing is drawn, so `seed` has no influence."""
    return judged_pairs.build_from_judgements(
        connection, TASK, "CASE WHEN judged = 'S' THEN 'yes' ELSE 'no' END"
    )
