"""Rejected rows, with one schema for all stages. Every dropped row is recorded."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmecinstruct.core.shown import is_private_path, printable, published_url, shown_text, shown_url
from mmecinstruct.schemas.tables import REJECTIONS

DETAIL_LENGTH = 300
# A text without any of these is fit to publish.
_SUSPICIOUS = (
    r"(?i)[<?&;@=\\]|//|%(?:25)*40|[^\x20-\x7e]|bearer|basic|passw|passphrase|token|secret|key|authorization"
    r"|hf_|gh[opsur]_|_pat_|glpat-|a[ks]ia|sk-|xox|eyj|:[^@]*@|file:|(?:^|[^\w./])/\w|~/|\.\./"
)
# A path of this machine in a sentence; `/a` may be a word.
_PATH = re.compile(
    r"(?<![\w./:])(?:file:/+|~[\w.-]*/|\.\./|/(?=[\w.-]+/)|[A-Za-z]:[/\\])[^\s'\"]*", re.IGNORECASE
)
_PUBLIC_LENGTH = 1_000
_OPENED_TAG = re.compile(r"<(?=[A-Za-z/!?])")


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one record is not in the result.

    Attributes:
        stage: Name of the stage.
        reason: Machine-readable, snake_case.
        detail: For a person.
        origin: `file:line`. A stage after `parse` that knows the ids of a record leaves it empty: the build finds it by
            them.
        record_id: Id of the record where it is known, else empty.
        task: The task of a rejected sample.
        product_ids: Products that a person can look up.
        query_id: The query, likewise.
        user_id: The user; published as a number.
        image_url: URL or path of a rejected image.
        source_id: Id of the review or question that a sample was made from.
    """

    stage: str
    reason: str
    detail: str
    origin: str
    record_id: str = ""
    task: str = ""
    product_ids: tuple[str, ...] = ()
    query_id: str = ""
    user_id: str = ""
    image_url: str = ""
    source_id: str = ""


def of_samples(
    rejections: Iterable[Rejection], samples: Sequence[Mapping[str, Any]], task: str
) -> list[Rejection]:
    """Return rejections of a task's samples with the ids of the samples.

    Args:
        rejections: Rejections whose record_id is the id of a sample.
        samples: Rows of samples.UNRENDERED.
        task: The full name of the task.
    """
    by_id = {sample["id"]: sample for sample in samples}
    found = []
    for rejection in rejections:
        sample = by_id[rejection.record_id]
        sources = sample["record_ids"] or [""]
        found.append(
            replace(
                rejection,
                origin="",
                task=task,
                product_ids=tuple(sample["product_ids"]),
                query_id=sample["query_id"] or "",
                user_id=sample["user_id"] or "",
                source_id=sources[-1],
            )
        )
    return found


def cut_detail(text: str) -> str:
    """Return a text of at most DETAIL_LENGTH characters.

    No word is cut: half of an address or of a password would not be recognised when the text is published.
    """
    if len(text) <= DETAIL_LENGTH:
        return text
    whole, _, _ = text[: DETAIL_LENGTH - 1].rpartition(" ")
    return f"{whole} …" if whole else f"{len(text)} characters without a blank"


def rejections_table(rejections: Iterable[Rejection]) -> pa.Table:
    """Return rejections as a table (tables.REJECTIONS) in their order, details cut to DETAIL_LENGTH characters."""
    rows = list(rejections)
    columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in REJECTIONS.names}
    columns["detail"] = [cut_detail(text) for text in columns["detail"]]
    for name in REJECTIONS.names[5:]:
        columns[name] = [value or None for value in columns[name]]
    return pa.table(columns, schema=REJECTIONS)


def public_rejections(table: pa.Table) -> pa.Table:
    """Return rejections fit to publish.

    There is no secret in a URL, no path of this machine, no tag and no control character.

    Args:
        table: Columns of tables.REJECTIONS or tables.PUBLISHED_REJECTIONS.
    """
    for name in ("detail", "origin", "record_id", "query_id", "image_url", "product_ids"):
        if name not in table.schema.names:
            continue
        index, field = table.schema.get_field_index(name), table.schema.field(name)
        column = table[name].combine_chunks()
        if not pa.types.is_list(field.type):
            table = table.set_column(index, field, _public_texts(column, name))
        elif column.null_count < len(column):
            texts = _public_texts(column.flatten(), name)
            lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
            offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
            lists = pa.ListArray.from_arrays(offsets, texts, mask=pc.is_null(column))
            table = table.set_column(index, field, lists)
    return table


def _public_texts(column: pa.StringArray, name: str) -> pa.StringArray:
    if (pc.max(pc.binary_length(column)).as_py() or 0) > _PUBLIC_LENGTH:
        column = pc.utf8_slice_codeunits(column, 0, _PUBLIC_LENGTH)
    suspicious = pc.fill_null(pc.match_substring_regex(column, _SUSPICIOUS), False)
    if not pc.any(suspicious).as_py():
        return column
    texts = [_public_text(text, name) for text in column.filter(suspicious).to_pylist()]
    return pc.replace_with_mask(column, suspicious, pa.array(texts, pa.string()))


def _public_text(text: str, column: str) -> str:
    # An origin is a URL, a path, or a file with a line.
    if column in ("origin", "image_url"):
        text = shown_url(
            published_url(text, _PUBLIC_LENGTH) if is_private_path(text) else text, _PUBLIC_LENGTH
        )
    else:
        text = _PATH.sub(lambda path: published_url(path[0], _PUBLIC_LENGTH), text)
    shown = shown_text(text)
    return _OPENED_TAG.sub("< ", printable(shown))


def count_reasons(table: pa.Table) -> dict[str, int]:
    """Return the number of rejections per reason, most frequent first."""
    counts = Counter(table.column("reason").to_pylist())
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
