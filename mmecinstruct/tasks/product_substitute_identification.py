"""Product substitute identification (PSI): is the product a substitute for what the query asks for?

Unit record, rejections: see `judged_pairs`. Input: `query` and `product title`. Answer: yes where the
pair is judged S (substitute), no for E, C and I. Image: the product's. The query is a group of the
split, beside the product.
"""

from __future__ import annotations

from mmecinstruct.tasks.judged_pairs import judged_pair_task
from mmecinstruct.tasks.task import YES_NO

TASK = judged_pair_task(
    "product_substitute_identification",
    "psi",
    answer="yes or no",
    labels=YES_NO,
    metric="F1",
    output="CASE judged WHEN 'S' THEN 'yes' ELSE 'no' END",
)
