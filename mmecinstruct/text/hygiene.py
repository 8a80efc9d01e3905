"""Measure and mask the free text of reviews and questions, in one pass over a table's rows.

Row in, row out: nothing is rejected here. What the measurements mean for a record is decided by the recipe, later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmecinstruct.schemas.tables import CURATED_QUESTIONS, CURATED_REVIEWS
from mmecinstruct.text.language import measure_languages
from mmecinstruct.text.pii import mask_personal_data, suspected_kinds
from mmecinstruct.text.pii_kinds import PersonalDataKind
from mmecinstruct.text.profanity import count_profanity

Masked = list[list[PersonalDataKind]]  # per row, a kind for each token


def clean_reviews(reviews: pa.Table, kinds: Sequence[PersonalDataKind]) -> pa.Table:
    """Return reviews (tables.REVIEWS) as tables.CURATED_REVIEWS, in their order.

    Title and text are masked, and measured together.
    """
    masked: Masked = [[] for _ in range(reviews.num_rows)]
    columns = {name: _mask(_array(reviews, name), kinds, masked) for name in ("title", "text")}
    whole = pc.binary_join_element_wise(
        pc.fill_null(columns["title"], ""), pc.fill_null(columns["text"], ""), " "
    )
    return _with_measurements(reviews, columns, whole, whole, masked, CURATED_REVIEWS)


def clean_questions(questions: pa.Table, kinds: Sequence[PersonalDataKind]) -> pa.Table:
    """Return questions (tables.QUESTIONS) as tables.CURATED_QUESTIONS, in their order.

    Question and document are masked and searched for swear words; the language is the question's.
    """
    masked: Masked = [[] for _ in range(questions.num_rows)]
    question = _mask(_array(questions, "question"), kinds, masked)
    document = _array(questions, "document")
    lengths = pc.fill_null(pc.list_value_length(document), 0).to_numpy(zero_copy_only=False)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    snippets = _mask(pc.list_flatten(document), kinds, masked, rows)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    document = pa.ListArray.from_arrays(offsets, snippets, mask=pc.is_null(document))
    joined = pc.binary_join(document, " ")
    whole = pc.binary_join_element_wise(pc.fill_null(question, ""), pc.fill_null(joined, ""), " ")
    columns = {"question": question, "document": document}
    return _with_measurements(
        questions, columns, pc.fill_null(question, ""), whole, masked, CURATED_QUESTIONS
    )


def _array(table: pa.Table, name: str) -> pa.Array:
    return pa.concat_arrays(table[name].chunks) if table[name].num_chunks else table[name].combine_chunks()


def _mask(
    texts: pa.Array,
    kinds: Sequence[PersonalDataKind],
    masked: Masked,
    rows: np.ndarray[Any, Any] | None = None,
) -> pa.Array:
    """Return texts with tokens; note each in `masked`, at the text's row (`rows`, else its place)."""
    suspected = {
        kind: found.to_numpy(zero_copy_only=False) for kind, found in suspected_kinds(texts, kinds).items()
    }
    candidates = np.zeros(len(texts), dtype=bool)
    for found in suspected.values():
        candidates |= found
    places = np.flatnonzero(candidates)
    replacements = []
    for place, text in zip(places, texts.take(pa.array(places)).to_pylist(), strict=True):
        text, counts = mask_personal_data(text, [kind for kind in kinds if suspected[kind][place]])
        row = masked[int(place if rows is None else rows[place])]
        if counts:
            # What the tokens now separate is searched for every kind.
            text, more = mask_personal_data(text, kinds)
            for kind in kinds:
                row += [kind] * (counts.get(kind, 0) + more.get(kind, 0))
        replacements.append(text)
    return pc.replace_with_mask(texts, pa.array(candidates), pa.array(replacements, pa.string()))


def _with_measurements(
    table: pa.Table,
    columns: dict[str, pa.Array],
    spoken: pa.Array,
    whole: pa.Array,
    masked: Masked,
    schema: pa.Schema,
) -> pa.Table:
    """Return the table in `schema`: with these columns, the language of `spoken`, the swear words of `whole`."""
    language, score = measure_languages(spoken)
    profanity, strong = count_profanity(whole)
    found = {
        **{name: table[name] for name in table.column_names},
        **columns,
        "language": language,
        "language_score": score,
        "profanity": profanity,
        "strong_profanity": strong,
        "masked": pa.array([sorted(kinds) for kinds in masked], pa.list_(pa.string())),
    }
    return pa.table([found[name] for name in schema.names], schema=schema)
