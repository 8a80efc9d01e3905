"""After a merge, replace the ids of merged products by those of the kept ones."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from mmecinstruct.duplicates.find import STAGE
from mmecinstruct.schemas.rejections import Rejection

# The columns of a table that hold product ids, and its key columns.
_PRODUCTS = {
    "reviews": ("product_id",),
    "relations": ("product_a", "product_b"),
    "judgements": ("product_id",),
    "questions": ("product_id",),
}
_KEYS = {
    "reviews": ("review_id",),
    "relations": ("product_a", "product_b", "relation"),
    "judgements": ("query_id", "product_id", "label"),
    "questions": ("question_id",),
}


def repoint(name: str, table: pa.Table, merged: Mapping[str, str]) -> tuple[pa.Table, list[Rejection]]:
    """Replace the ids of merged products in a table.

    Two kinds of rows are rejected if the merge caused them: a relation of a product to itself (`self_relation`) and a
    record with the key of another one (`duplicate_row`). Rows that were so before are kept.

    Args:
        name: reviews, relations, judgements or questions.
        table: The rows of that table.
        merged: The kept product_id of each rejected one.

    Returns:
        The rows in their order, and the rejections.
    """
    keys, columns = _KEYS[name], _PRODUCTS[name]
    before = list(zip(*(table[key].to_pylist() for key in keys), strict=True))
    named = {column: table[column].to_pylist() for column in columns}
    now = {column: [merged.get(one, one) for one in values] for column, values in named.items()}
    after = list(zip(*(now.get(key) or table[key].to_pylist() for key in keys), strict=True))
    changed = [any(now[column][row] != named[column][row] for column in columns) for row in range(len(table))]
    # Rows without merged products take precedence: of two records that become one, the unchanged one stays.
    seen = {key for key, touched in zip(after, changed, strict=True) if not touched}
    kept, rejections = [], []
    for row, (key, touched) in enumerate(zip(after, changed, strict=True)):
        if touched and name == "relations" and now["product_a"][row] == now["product_b"][row]:
            reason, detail = "self_relation", f"both are {now['product_a'][row]} now"
        elif touched and key in seen:
            reason, detail = "duplicate_row", f"the same record as one of {now[columns[0]][row]} now"
        else:
            seen.add(key)
            kept.append(row)
            continue
        origin = table["origin"][row].as_py() or ""
        products = tuple(dict.fromkeys(named[column][row] for column in columns))
        record_id = " ".join(map(str, before[row]))
        rejections.append(Rejection(STAGE, reason, detail, origin, record_id, product_ids=products))
    for column in columns:
        position = table.schema.get_field_index(column)
        table = table.set_column(position, table.schema.field(column), pa.array(now[column], pa.string()))
    return table.take(pa.array(kept, pa.int64())), rejections
