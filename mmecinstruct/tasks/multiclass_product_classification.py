"""Multi-class product classification (MPC): how relevant is the product to the query?

Unit record, rejections: see `judged_pairs`. Input: `query` and `product title`. Answer: A exact (E), B
substitute (S), C complement (C), D irrelevant (I); the options' texts are in `templates/options`.
Image: the product's. The query is a group of the split, beside the product.
"""

from __future__ import annotations

from mmecinstruct.tasks.judged_pairs import judged_pair_task

TASK = judged_pair_task(
    "multiclass_product_classification",
    "mpc",
    answer="A exact, B substitute, C complement, D irrelevant",
    labels=("A", "B", "C", "D"),
    metric="accuracy",
    output="CASE judged WHEN 'E' THEN 'A' WHEN 'S' THEN 'B' WHEN 'C' THEN 'C' ELSE 'D' END",
)
