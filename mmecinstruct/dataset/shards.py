"""Parquet shards: their paths, their rows, and how they are written.

    <task>/<split>-00000-of-00002.parquet
    rejections/rejections.parquet

Shards are cut by row count, so the number of workers changes nothing. Images are embedded as JPEG, which is not
compressed again, or referenced: then each image is null and has a URL. Row groups are small enough for the Hub's viewer
and for a reader's memory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.files import sync_folder
from mmecinstruct.schemas.samples import SPLITS, published_schema
from mmecinstruct.schemas.tables import PUBLISHED_REJECTIONS
from mmecinstruct.tasks import TASKS

# In no config, so `load_dataset` never reads it.
REJECTIONS_PATH = "rejections/rejections.parquet"

# The Hub's viewer rejects large row groups, so a group is closed when its images reach this size.
ROW_GROUP_BYTES = 64 * 2**20
# From so many uses per image (candidates of a recommendation) a dictionary stores each image of a row group once.
_WORTH_A_DICTIONARY = 1.25
_IMAGE_LEAF = "images.list.element.bytes"

_SHARD_PATH = re.compile(rf"(\w+)/({'|'.join(SPLITS)})-(\d{{5}})-of-(\d{{5}})\.parquet", flags=re.ASCII)


def shard_plan(rows: int, shard_rows: int) -> list[tuple[int, int]]:
    """Return the shards of a table as half-open ranges (start, stop) of rows; the last one may be smaller."""
    return [(start, min(start + shard_rows, rows)) for start in range(0, rows, shard_rows)]


def shard_path(task: str, split: str, index: int, count: int) -> str:
    """Return a shard's path below the dataset folder."""
    return f"{task}/{split}-{index:05d}-of-{count:05d}.parquet"


def parse_shard_path(path: str) -> tuple[str, str, int, int] | None:
    """Return (task, split, index, count) of a shard's path below the dataset folder, None for another path."""
    match = _SHARD_PATH.fullmatch(path)
    if match is None or match[1] not in TASKS:
        return None
    task, split, index, count = match.groups()
    return task, split, int(index), int(count)


def looks_like_shard(path: str) -> bool:
    """Return whether a path below a dataset folder is a table where only builds write tables."""
    return path.endswith(".parquet") and path.partition("/")[0] in (
        *TASKS,
        PurePosixPath(REJECTIONS_PATH).parts[0],
    )


def find_shards(folder: Path) -> list[str]:
    """Return the paths of all shards below a dataset folder, by task, split, then number."""
    found = []
    ranks = {task: rank for rank, task in enumerate(TASKS)}
    for file in folder.glob("*/*.parquet"):
        path = file.relative_to(folder).as_posix()
        parsed = parse_shard_path(path)
        if parsed is not None:
            task, split, index, count = parsed
            found.append((ranks[task], SPLITS.index(split), count, index, path))
    return [entry[-1] for entry in sorted(found)]


def write_shard(rows: pa.Table, pixels: Mapping[str, bytes] | None, path: Path, row_group_rows: int) -> None:
    """Write one shard atomically. The same rows and pixels give the same bytes.

    Args:
        rows: Every published column but `images`, in any order.
        pixels: JPEG by image id, for every id in `image_ids`. None references images: `images` has a null for each
            role.
        path: The file.
        row_group_rows: The largest number of rows of a row group.

    Raises:
        DatasetError: A column is missing or unknown, or an image has no pixels.
    """
    schema = published_schema()
    wanted = [name for name in schema.names if name != "images"]
    if sorted(rows.column_names) != sorted(wanted):
        wrong = sorted(set(rows.column_names) ^ set(wanted)) or ["a column occurs twice"]
        raise DatasetError(f"{path.name}: missing or unknown columns: {', '.join(wrong)}")
    rows = rows.select(wanted).cast(pa.schema([schema.field(name) for name in wanted]))

    repeats = pixels is not None and _repeats_images(rows, row_group_rows)

    def write(temporary: Path) -> None:
        with _open_writer(temporary, schema, repeats) as writer:
            for group, images in _row_groups(rows, pixels, row_group_rows, path.name):
                columns = [
                    pa.chunked_array([pa.array(images, type=field.type)])
                    if field.name == "images"
                    else group.column(field.name)
                    for field in schema
                ]
                writer.write_table(
                    pa.Table.from_arrays(columns, schema=schema), row_group_size=group.num_rows
                )

    _write_whole(path, write)


def write_rejections(folder: Path, parts: Iterable[pa.Table]) -> int:
    """Write the rejected rows of all stages.

    Args:
        folder: The dataset folder.
        parts: Tables with columns of `tables.PUBLISHED_REJECTIONS`, written in order; what one lacks is null.

    Returns:
        The number of rows.
    """
    path = folder / REJECTIONS_PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0

    def write(temporary: Path) -> None:
        nonlocal count
        schema = PUBLISHED_REJECTIONS
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for part in parts:
                columns = [
                    part[field.name].cast(field.type)
                    if field.name in part.column_names
                    else pa.nulls(part.num_rows, field.type)
                    for field in schema
                ]
                writer.write_table(pa.table(columns, schema=schema))
                count += part.num_rows

    _write_whole(path, write)
    return count


def _row_groups(
    rows: pa.Table, pixels: Mapping[str, bytes] | None, row_group_rows: int, name: str
) -> Iterator[tuple[pa.Table, list[list[dict[str, Any] | None]]]]:
    """Yield slices of the rows with their images as {"bytes", "path"} or null, cut by rows and by bytes."""
    if pixels is None:
        for start in range(0, rows.num_rows, row_group_rows):
            part = rows.slice(start, row_group_rows)
            yield part, [[None] * len(urls or ()) for urls in part.column("image_urls").to_pylist()]
        return
    images: list[list[dict[str, Any] | None]] = []
    start = size = 0
    for position, (sample, ids) in enumerate(
        zip(rows.column("id").to_pylist(), rows.column("image_ids").to_pylist(), strict=True)
    ):
        embedded: list[dict[str, Any] | None] = []
        for image_id in ids or ():
            if image_id is None or image_id not in pixels:
                raise DatasetError(f"{name}: sample {sample}: no pixels for image {image_id or '(no id)'}")
            embedded.append({"bytes": pixels[image_id], "path": f"{image_id}.jpg"})
            size += len(pixels[image_id])
        images.append(embedded)
        if len(images) == row_group_rows or size >= ROW_GROUP_BYTES:
            yield rows.slice(start, len(images)), images
            start, images, size = position + 1, [], 0
    if images:
        yield rows.slice(start, len(images)), images


def _repeats_images(rows: pa.Table, row_group_rows: int) -> bool:
    """Return whether row groups repeat images so often that a dictionary makes the file smaller."""
    embedded = distinct = 0
    for start in range(0, rows.num_rows, row_group_rows):
        ids = rows.column("image_ids").slice(start, row_group_rows).combine_chunks().flatten()
        embedded += len(ids)
        distinct += len(ids.unique())
    return embedded > distinct * _WORTH_A_DICTIONARY


def _open_writer(path: Path, schema: pa.Schema, image_dictionary: bool) -> pq.ParquetWriter:
    leaves = [leaf for field in schema for leaf in _leaves(field.name, field.type)]
    texts = [leaf for leaf in leaves if leaf != _IMAGE_LEAF]
    return pq.ParquetWriter(
        path,
        schema,
        compression={leaf: "none" if leaf == _IMAGE_LEAF else "zstd" for leaf in leaves},
        use_dictionary=leaves if image_dictionary else texts,
        dictionary_pagesize_limit=2 * ROW_GROUP_BYTES if image_dictionary else 2**20,
        write_statistics=texts,
        write_page_index=True,
        # Page borders follow the content, so an inserted row changes few pages. Deduplicating storage keeps the others.
        use_content_defined_chunking=True,
    )


def _leaves(name: str, kind: pa.DataType) -> list[str]:
    """Return the Parquet paths of an Arrow column's leaves."""
    if pa.types.is_list(kind):
        return _leaves(f"{name}.list.element", kind.value_type)
    if pa.types.is_struct(kind):
        return [leaf for field in kind for leaf in _leaves(f"{name}.{field.name}", field.type)]
    return [name]


def _write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Call `write` with a temporary file beside `path`, flush it to disk and rename it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
