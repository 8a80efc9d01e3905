"""Multi-class product classification (MPC): how relevant is the product to the query?

Unit record, rejections: see `judged_pairs`. Input: `query` and `product title`. Answer: A exact (E), B
substitute (S), C complement (C), D irrelevant (I); the options' texts stand in `templates/options`.
Image: the product's. The query is a group of the split, beside the product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmecinstruct.recipe import TaskSettings
from mmecinstruct.tasks import judged_pairs
from mmecinstruct.tasks.output import TaskOutput

if TYPE_CHECKING:
    import duckdb

TASK = "multiclass_product_classification"
REQUIRES = judged_pairs.REQUIRES


def build(connection: duckdb.DuckDBPyConnection, settings: TaskSettings, seed: int) -> TaskOutput:
    """Build all MPC samples. Nothing is drawn, so `seed` has no influence."""
    return judged_pairs.build_from_judgements(
        connection, TASK, "CASE judged WHEN 'E' THEN 'A' WHEN 'S' THEN 'B' WHEN 'C' THEN 'C' ELSE 'D' END"
    )
