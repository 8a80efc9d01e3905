"""Read one file: its samples, the keys that must not cross splits, its texts.

Keys are texts, one namespace per kind: product and cluster ids, user, query id, the words of a query, the hash of a
text, the URL of an image at full size, the SHA-256 of its embedded bytes, the category. Variants have the id of their
group as key; a row without groups has the keys of its titles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.auditing.files import SampleFile, open_shard
from mmecinstruct.auditing.texts import MAX_TEXT, QUERY, TITLE, content_texts, text_key
from mmecinstruct.images.urls import full_size_url
from mmecinstruct.recipe.audit import AuditSettings
from mmecinstruct.tasks import TASKS
from mmecinstruct.text.names import category_key
from mmecinstruct.text.words import count_words, normalised_text

# A sample's number is its file's, shifted, plus its row.
SAMPLE_SHIFT = 32
SAMPLES = pa.schema([("sample", pa.int64()), ("file", pa.int32()), ("id", pa.string())])
USES = pa.schema(
    [("kind", pa.string()), ("key", pa.string()), ("sample", pa.int64()), ("place", pa.string())]
)
TEXTS = pa.schema(
    [("key", pa.string()), ("unit", pa.string()), ("words", pa.string()), ("text", pa.string())]
)

# Kinds of keys; of texts, `query` and `title` are units and kinds of their own, all else is `text`.
PRODUCT, CLUSTER, VARIANT, USER, QUERY_ID, IMAGE, IMAGE_URL, TEXT, CATEGORY = (
    *("product", "cluster", "variant", "user", "query_id", "image", "image_url", "text", "category"),
)
GROUP_PREFIX = "group:"
# The columns that give the keys of a kind: any one of them suffices. After a point: a field of a struct.
COLUMNS: dict[str, tuple[str, ...]] = {
    PRODUCT: ("product_ids", "group_ids.products"),
    CLUSTER: ("group_ids.clusters",),
    # Titles, where a row has no group.
    VARIANT: ("group_ids.groups", "input"),
    USER: ("group_ids.user",),
    QUERY_ID: ("group_ids.query",),
    QUERY: ("input",),
    TITLE: ("input",),
    TEXT: ("input",),
    IMAGE_URL: ("image_urls",),
    IMAGE: ("images",),
    CATEGORY: ("category",),
}
_TEXT_BATCH, _IMAGE_BATCH = 1000, 16
_BUFFERED = 10_000  # uses of images that are written together
_EXCERPT = 200


@dataclass(frozen=True)
class KeysPayload:
    """Read one file of samples."""

    folder: Path
    file: SampleFile
    settings: AuditSettings
    # A folder; the files' names end in the file's number.
    target: Path


@dataclass(frozen=True)
class KeysRead:
    """The content of one file."""

    file: SampleFile
    rows: int
    missing: tuple[str, ...]  # kinds for which the file has no column
    unembedded: int  # images without bytes


def read_keys(payload: KeysPayload) -> KeysRead:
    """Write samples-, uses- and texts-<number>.parquet of one file.

    Raises DatasetError where the file cannot be read.
    """
    file, target = payload.file, payload.target
    rows = unembedded = 0
    with (
        open_shard(payload.folder, file.path) as shard,
        pq.ParquetWriter(target / f"samples-{file.number}.parquet", SAMPLES) as samples,
        pq.ParquetWriter(target / f"uses-{file.number}.parquet", USES) as uses,
        pq.ParquetWriter(target / f"texts-{file.number}.parquet", TEXTS) as texts,
    ):
        schema = shard.schema_arrow
        missing = tuple(kind for kind in COLUMNS if not _kind_columns(schema, kind))
        wanted = [
            name
            for name in ("id", "category", "input", "options", "image_urls", "product_ids", "group_ids")
            if name in schema.names
        ]
        known: set[str] = set()  # texts that were written
        for batch in shard.iter_batches(batch_size=_TEXT_BATCH, columns=wanted, use_threads=False):
            numbered = list(enumerate(batch.to_pylist(), start=(file.number << SAMPLE_SHIFT) + rows))
            samples.write_table(
                pa.Table.from_pylist(
                    [
                        {"sample": number, "file": file.number, "id": _text(row.get("id"))}
                        for number, row in numbered
                    ],
                    schema=SAMPLES,
                )
            )
            found_uses: list[dict[str, Any]] = []
            found_texts: list[dict[str, Any]] = []
            for number, row in numbered:
                found_uses += [
                    {"kind": kind, "key": key, "sample": number, "place": ""}
                    for kind, key in _group_keys(row)
                ]
                has_groups = bool(_groups(row))
                for kind, place, entry in _text_keys(row, file.task, payload.settings):
                    key = entry["key"]
                    kinds = [kind, VARIANT] if kind == TITLE and not has_groups else [kind]
                    found_uses += [
                        {"kind": name, "key": key, "sample": number, "place": place} for name in kinds
                    ]
                    if kind != QUERY and key not in known:
                        known.add(key)
                        found_texts.append(entry)
            uses.write_table(pa.Table.from_pylist(found_uses, schema=USES))
            texts.write_table(pa.Table.from_pylist(found_texts, schema=TEXTS))
            rows += batch.num_rows
        if IMAGE not in missing:
            found_uses = []
            for row, place, data in iterate_images(shard):
                if data is None:
                    unembedded += 1
                    continue
                key, number = hashlib.sha256(data).hexdigest(), (file.number << SAMPLE_SHIFT) + row
                found_uses.append({"kind": IMAGE, "key": key, "sample": number, "place": place})
                if len(found_uses) == _BUFFERED:
                    uses.write_table(pa.Table.from_pylist(found_uses, schema=USES))
                    found_uses.clear()
            uses.write_table(pa.Table.from_pylist(found_uses, schema=USES))
    return KeysRead(file, rows, missing, unembedded)


def _group_keys(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (kind, key) of the ids of a row."""
    groups = row.get("group_ids")
    groups = groups if isinstance(groups, dict) else {}
    for key in dict.fromkeys([*_texts(row.get("product_ids")), *_texts(groups.get("products"))]):
        yield PRODUCT, key
    for kind, name in ((CLUSTER, "clusters"), (USER, "user"), (QUERY_ID, "query")):
        for key in dict.fromkeys(_texts(groups.get(name))):
            yield kind, key
    for group in _groups(row):
        yield VARIANT, GROUP_PREFIX + group
    for url in dict.fromkeys(_texts(row.get("image_urls"))):
        yield IMAGE_URL, full_size_url(url[:MAX_TEXT])
    if "category" in row:
        yield CATEGORY, category_key(_text(row["category"]))


def _groups(row: Mapping[str, Any]) -> list[str]:
    groups = row.get("group_ids")
    return _texts(groups.get("groups")) if isinstance(groups, dict) else []


def _text_keys(
    row: Mapping[str, Any], task: str, settings: AuditSettings
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (kind, place, TEXTS row) of the texts of a row's content; of a query, key and words are the same."""
    options_are_titles = task in TASKS and TASKS[task].row.options_are_products
    content = content_texts(_text(row.get("input")), _texts(row.get("options")), options_are_titles)
    seen = set()
    for place, unit, text in content:
        words = normalised_text(text[:MAX_TEXT])
        if not words or (unit, words) in seen:
            continue
        seen.add((unit, words))
        if unit == QUERY:
            yield QUERY, place, {"key": words}
            continue
        least = settings.min_title_words if unit == TITLE else settings.min_text_words
        if count_words(words) >= least:
            entry = {"key": text_key(unit, words), "unit": unit, "words": words, "text": text[:_EXCERPT]}
            yield TITLE if unit == TITLE else TEXT, place, entry


def iterate_images(shard: pq.ParquetFile) -> Iterator[tuple[int, str, pa.Buffer | None]]:
    """Yield (row within the file, role and product or "", embedded bytes or None) of every image of an open file."""
    sides = [name for name in ("image_roles", "image_product_ids") if name in shard.schema_arrow.names]
    start = 0
    for batch in shard.iter_batches(batch_size=_IMAGE_BATCH, columns=["images", *sides], use_threads=False):
        columns = [batch.column(name).to_pylist() for name in sides]
        column = batch.column("images")
        listed = _is_list(column.type)
        for row in range(batch.num_rows):
            value = column[row]
            if not value.is_valid:
                continue
            for index, image in enumerate(value if listed else [value]):
                data = image["bytes"].as_buffer() if image.is_valid else None
                place = " of ".join(
                    str(texts[row][index])
                    for texts in columns
                    if isinstance(texts[row], list) and index < len(texts[row])
                )
                yield start + row, place, data if data is not None and len(data) else None
        start += batch.num_rows


def has_images(schema: pa.Schema) -> bool:
    """Return whether a file has a column of images that `iterate_images` can read."""
    return bool(_kind_columns(schema, IMAGE))


def _kind_columns(schema: pa.Schema, kind: str) -> list[str]:
    """Return which of the kind's columns a file has."""
    found = []
    for column in COLUMNS[kind]:
        name, _, member = column.partition(".")
        if schema.names.count(name) != 1:
            continue
        type_ = schema.field(name).type
        if member and not (pa.types.is_struct(type_) and type_.get_field_index(member) >= 0):
            continue
        if kind == IMAGE and not _holds_bytes(type_):
            continue
        found.append(column)
    return found


def _is_list(type_: pa.DataType) -> bool:
    return pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_)


def _holds_bytes(type_: pa.DataType) -> bool:
    """Return whether a column is an image with its bytes, or a list of them, as `datasets` stores them."""
    inner = type_.value_type if _is_list(type_) else type_
    if not pa.types.is_struct(inner) or inner.get_field_index("bytes") < 0:
        return False
    kind = inner.field("bytes").type
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _text(value: Any) -> str:
    return "" if value is None else str(value)[: 10 * MAX_TEXT]


def _texts(value: Any) -> list[str]:
    """Return a value of a foreign column as a list of texts."""
    if value is None:
        return []
    return [str(part) for part in (value if isinstance(value, list) else [value]) if part not in (None, "")]
