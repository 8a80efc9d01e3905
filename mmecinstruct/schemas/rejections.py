"""Rejected rows, with one schema for all stages. Every dropped row is recorded."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass

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
_PATH = re.compile(r"(?<![\w./:])(?:file:/+|~[\w.-]*/|/(?=[\w.-]+/)|[A-Za-z]:[/\\])[^\s'\"]*", re.IGNORECASE)
_PUBLIC_LENGTH = 1_000
_OPENED_TAG = re.compile(r"<(?=[A-Za-z/!?])")


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one record is not in the result.

    Attributes:
        stage: Name of the stage.
        reason: Machine-readable, snake_case.
        detail: For a person.
        origin: `file:line` or URL.
        record_id: Id of the record where it is known, else empty.
    """

    stage: str
    reason: str
    detail: str
    origin: str
    record_id: str = ""


def rejections_table(rejections: Iterable[Rejection]) -> pa.Table:
    """Return rejections as a table (tables.REJECTIONS) in their order, details cut to DETAIL_LENGTH characters."""
    rows = []
    for rejection in rejections:
        row = asdict(rejection)
        if len(row["detail"]) > DETAIL_LENGTH:
            row["detail"] = row["detail"][: DETAIL_LENGTH - 1] + "…"
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=REJECTIONS)


def public_rejections(table: pa.Table) -> pa.Table:
    """Return rejections (tables.REJECTIONS) fit to publish.

    There is no secret in a URL, no path of this machine, no tag and no control character.
    """
    for name in ("detail", "origin", "record_id"):
        column = table[name]
        if (pc.max(pc.binary_length(column)).as_py() or 0) > _PUBLIC_LENGTH:
            column = pc.utf8_slice_codeunits(column, 0, _PUBLIC_LENGTH)
            table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)
        suspicious = pc.fill_null(pc.match_substring_regex(column, _SUSPICIOUS), False)
        if not pc.any(suspicious).as_py():
            continue
        texts = [_public_text(text, name) for text in column.filter(suspicious).to_pylist()]
        replaced = pc.replace_with_mask(
            column.combine_chunks(), suspicious.combine_chunks(), pa.array(texts, pa.string())
        )
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), replaced)
    return table


def _public_text(text: str, column: str) -> str:
    # An origin is a URL, a path, or a file with a line.
    if column == "origin":
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
