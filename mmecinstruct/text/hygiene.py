"""Mask and measure the free text of reviews and questions, and mask names: titles, brands, categories, queries.

Every row is kept: nothing is rejected here. Curation applies the recipe's rules to the measurements.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmecinstruct.schemas.tables import CURATED_QUESTIONS, CURATED_REVIEWS
from mmecinstruct.text.language import measure_languages
from mmecinstruct.text.normalise import MARKER_HINT, without_markers
from mmecinstruct.text.pii import mask_personal_data, suspected_kinds
from mmecinstruct.text.pii_kinds import PersonalDataKind
from mmecinstruct.text.profanity import count_profanity

# For each row, the kind of each token.
Masked = list[list[PersonalDataKind]]
_ROWS_AT_ONCE = 500_000


def clean_reviews(reviews: pa.Table, kinds: Sequence[PersonalDataKind]) -> pa.Table:
    """Return reviews (tables.REVIEWS) as tables.CURATED_REVIEWS, in their order.

    Title and text lose the markers of Amazon's pages, are masked, and measured together.

    Args:
        reviews: The reviews.
        kinds: The kinds of personal data to mask.
    """
    masked: Masked = [[] for _ in range(reviews.num_rows)]
    columns = {
        name: _mask(_without_markers(_array(reviews, name)), kinds, masked) for name in ("title", "text")
    }
    whole = pc.binary_join_element_wise(
        pc.fill_null(columns["title"], ""), pc.fill_null(columns["text"], ""), " "
    )
    return _with_measurements(reviews, columns, whole, whole, masked, CURATED_REVIEWS)


def clean_questions(
    questions: pa.Table, kinds: Sequence[PersonalDataKind], mask_names: bool = True
) -> pa.Table:
    """Return questions (tables.QUESTIONS) as tables.CURATED_QUESTIONS, in their order.

    Question and document are masked and searched for swear words; the language is the question's.

    Args:
        questions: The questions.
        kinds: The kinds of personal data to mask.
        mask_names: Whether the category is masked too, as products' are.
    """
    masked: Masked = [[] for _ in range(questions.num_rows)]
    question = _mask(_array(questions, "question"), kinds, masked)
    document = _array(questions, "document")
    lengths = pc.fill_null(pc.list_value_length(document), 0).to_numpy(zero_copy_only=False)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    snippets = _mask(_without_markers(pc.list_flatten(document)), kinds, masked, rows)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    document = pa.ListArray.from_arrays(offsets, snippets, mask=pc.is_null(document))
    joined = pc.binary_join(document, " ")
    whole = pc.binary_join_element_wise(pc.fill_null(question, ""), pc.fill_null(joined, ""), " ")
    columns = {"question": question, "document": document}
    if mask_names:
        columns["category"] = _mask_names(_array(questions, "category"), _in_names(kinds))
    return _with_measurements(
        questions, columns, pc.fill_null(question, ""), whole, masked, CURATED_QUESTIONS
    )


@dataclass(frozen=True)
class MaskedNames:
    """A table whose names were searched.

    Attributes:
        table: The table, masked where that was wanted.
        masked: Tokens by kind; where nothing was to be masked, what would be.
        rows: Rows with any.
    """

    table: pa.Table
    masked: Counter[str]
    rows: int


# What a product shows of itself.
_NAMES_OF_PRODUCTS = ("title", "brand", "category", "category_path", "fine_category", "other_category_paths")


def mask_products(products: pa.Table, kinds: Sequence[PersonalDataKind], mask: bool = True) -> MaskedNames:
    """Return products with titles, brands and categories masked.

    Names of persons are left: "My Name Is Red" is a book.

    Args:
        products: tables.CURATED_PRODUCTS.
        kinds: The kinds of personal data to search for.
        mask: False counts what would be masked and changes nothing.
    """
    found = mask_columns(products, _NAMES_OF_PRODUCTS, _in_names(kinds))
    return found if mask else MaskedNames(products, found.masked, found.rows)


def mask_queries(judgements: pa.Table, kinds: Sequence[PersonalDataKind]) -> MaskedNames:
    """Return judgements (tables.JUDGEMENTS) with queries masked."""
    return mask_columns(judgements, ("query",), kinds)


def _in_names(kinds: Sequence[PersonalDataKind]) -> list[PersonalDataKind]:
    return [kind for kind in kinds if kind != "name"]


def mask_columns(table: pa.Table, names: Sequence[str], kinds: Sequence[PersonalDataKind]) -> MaskedNames:
    """Return a table with columns of names, or of lists of names, masked."""
    counts: Counter[str] = Counter()
    rows = 0
    parts = [table.slice(0, 0)]
    # The texts of a large table do not fit one array.
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        part = pa.Table.from_batches([batch])
        masked: Masked = [[] for _ in range(part.num_rows)]
        for name in names:
            texts = _array(part, name)
            changed = _mask_lists(texts, kinds, masked, np.arange(len(texts)))
            if changed is not texts:
                field = part.schema.field(name)
                part = part.set_column(part.schema.get_field_index(name), field, changed)
        parts.append(part)
        counts.update(kind for found in masked for kind in found)
        rows += sum(map(bool, masked))
    return MaskedNames(pa.concat_tables(parts), counts, rows)


def _mask_lists(
    texts: pa.Array, kinds: Sequence[PersonalDataKind], masked: Masked, rows: np.ndarray[Any, Any]
) -> pa.Array:
    """Return names, or lists of whatever depth, with masked names; rows: the row of the table of each."""
    if not pa.types.is_list(texts.type):
        return _mask_names(texts, kinds, masked, rows)
    inner = pc.list_flatten(texts)
    parents = pc.list_parent_indices(texts).to_numpy(zero_copy_only=False)
    changed = _mask_lists(inner, kinds, masked, rows[parents])
    if changed is inner:
        return texts
    lengths = pc.fill_null(pc.list_value_length(texts), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, changed, mask=pc.is_null(texts))


def _mask_names(
    texts: pa.Array,
    kinds: Sequence[PersonalDataKind],
    masked: Masked | None = None,
    rows: np.ndarray[Any, Any] | None = None,
) -> pa.Array:
    """Return masked names, each searched once however often it occurs; the array itself where nothing is found."""
    encoded = pc.dictionary_encode(texts)
    found: Masked = [[] for _ in range(len(encoded.dictionary))]
    dictionary = _mask(encoded.dictionary, kinds, found, names=True)
    if not any(found):
        return texts
    if masked is not None:
        for index, code in enumerate(encoded.indices.to_pylist()):
            if code is not None and found[code]:
                masked[int(index if rows is None else rows[index])] += found[code]
    return dictionary.take(encoded.indices)


def _without_markers(texts: pa.Array) -> pa.Array:
    return _replaced(
        texts,
        pc.fill_null(pc.match_substring_regex(texts, MARKER_HINT), False).to_numpy(zero_copy_only=False),
        lambda _, text: without_markers(text),
    )


def _replaced(
    texts: pa.Array, candidates: np.ndarray[Any, Any], replace: Callable[[int, str], str]
) -> pa.Array:
    """Return texts in which the candidates are replaced. replace: the new text of (index, text)."""
    indices = np.flatnonzero(candidates)
    found = texts.take(pa.array(indices)).to_pylist()
    replacements = [replace(int(index), text) for index, text in zip(indices, found, strict=True)]
    return pc.replace_with_mask(texts, pa.array(candidates), pa.array(replacements, pa.string()))


def _array(table: pa.Table, name: str) -> pa.Array:
    return pa.concat_arrays(table[name].chunks) if table[name].num_chunks else table[name].combine_chunks()


def _mask(
    texts: pa.Array,
    kinds: Sequence[PersonalDataKind],
    masked: Masked,
    rows: np.ndarray[Any, Any] | None = None,
    names: bool = False,
) -> pa.Array:
    """Return masked texts; add the kind of each token to `masked`, at the text's row (`rows`, else its index)."""
    suspected = {
        kind: found.to_numpy(zero_copy_only=False) for kind, found in suspected_kinds(texts, kinds).items()
    }
    candidates = np.zeros(len(texts), dtype=bool)
    for found in suspected.values():
        candidates |= found

    def replace(index: int, text: str) -> str:
        text, counts = mask_personal_data(
            text, [kind for kind in kinds if suspected[kind][index]], names=names
        )
        if counts:
            # Search the text between the tokens again for every kind.
            text, more = mask_personal_data(text, kinds, names=names)
            for kind in kinds:
                row = masked[int(index if rows is None else rows[index])]
                row += [kind] * (counts.get(kind, 0) + more.get(kind, 0))
        return text

    return _replaced(texts, candidates, replace)


def _with_measurements(
    table: pa.Table,
    columns: dict[str, pa.Array],
    language_text: pa.Array,
    whole: pa.Array,
    masked: Masked,
    schema: pa.Schema,
) -> pa.Table:
    """Return the table in `schema`, with the given columns, the language of one text and the swear words of another."""
    language, score = measure_languages(language_text)
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
