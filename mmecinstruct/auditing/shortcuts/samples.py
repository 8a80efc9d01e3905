"""Read the samples that guessers see: a bounded number per file, chosen by hash, with the sizes of their images."""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.auditing.files import SampleFile, open_shard
from mmecinstruct.auditing.keys import has_images, iterate_images
from mmecinstruct.images.measure import DECODER_ERRORS
from mmecinstruct.images.signatures import FORMATS
from mmecinstruct.tasks import TASKS

# Most samples, and most options of them together, of one split of a task: 5,000 samples of 20 options.
MAX_ROWS, MAX_OPTIONS = 20_000, 100_000
# Characters of an input, and of an option.
MAX_TEXT = 2_000

_COLUMNS = ("id", "source", "instruction", "input", "options", "output", "group_ids")
_BATCH = 1_000
# Products of a history.
_MAX_ITEMS = 100
_LETTERED = re.compile(r"([A-Z]): ?(.*)", re.DOTALL)
# "3rd: " before a product of a history.
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th): ")

SAMPLED = pa.schema(
    [
        # Orders the rows: a hash of the content, so that their order in the file has no influence.
        ("key", pa.string()),
        ("row", pa.int64()),  # within the file
        ("unit", pa.string()),  # what makes rows depend on each other, see `_unit`
        ("source", pa.string()),
        ("instruction", pa.string()),
        ("text", pa.string()),  # the words of the input
        ("items", pa.list_(pa.string())),  # of an input that is a list of products
        ("options", pa.list_(pa.string())),  # without letters
        ("output", pa.string()),  # the text of the option where there are options
        ("answer", pa.int32()),  # place of the output in the options, from 0; -1 without options
        ("images", pa.list_(pa.list_(pa.int64()))),  # of each image: option (-1: none), width, height, bytes
    ]
)


@dataclass(frozen=True)
class SamplesPayload:
    """Read the samples of one file.

    Attributes:
        folder: The dataset folder.
        file: The file of samples.
        target: Folder of the result.
    """

    folder: Path
    file: SampleFile
    target: Path


@dataclass(frozen=True)
class SamplesRead:
    """The samples of one file: its number of rows, and why none was read ("" where some were)."""

    file: SampleFile
    rows: int
    why: str


def sampled_path(target: Path, file: SampleFile) -> Path:
    """Return the path of a file's samples, below the folder of the results."""
    return target / f"sampled-{file.number}.parquet"


def read_samples(payload: SamplesPayload) -> SamplesRead:
    """Write sampled-<number>.parquet (SAMPLED).

    Raises:
        DatasetError: The file cannot be read.
    """
    chosen: list[dict[str, Any]] = []
    row_number = 0
    with open_shard(payload.folder, payload.file.path) as shard:
        names = shard.schema_arrow.names
        if lacking := [name for name in ("input", "output") if names.count(name) != 1]:
            return SamplesRead(payload.file, shard.metadata.num_rows, f"no column {' or '.join(lacking)}")
        columns = [name for name in _COLUMNS if names.count(name) == 1]
        for batch in shard.iter_batches(batch_size=_BATCH, columns=columns, use_threads=False):
            rows = enumerate(batch.to_pylist(), start=row_number)
            found = (_sampled(row, payload.file.task, number) for number, row in rows)
            chosen += [row for row in found if row is not None]
            row_number += batch.num_rows
            if len(chosen) > 2 * MAX_ROWS:
                chosen = within_limits(chosen)
        chosen = within_limits(chosen)
        if has_images(shard.schema_arrow):
            _add_images({row["row"]: row for row in chosen}, shard)
    pq.write_table(pa.Table.from_pylist(chosen, schema=SAMPLED), sampled_path(payload.target, payload.file))
    return SamplesRead(payload.file, row_number, "" if chosen else "no row has an input and an answer")


def within_limits(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with the smallest keys, ordered by them, up to MAX_ROWS rows and MAX_OPTIONS options.

    Applied to parts and then to what is left of them it gives the same as applied to the whole.
    """
    options = 0
    kept: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda row: (row["key"], row["row"])):
        options += len(row["options"])
        if len(kept) == MAX_ROWS or options > MAX_OPTIONS:
            break
        kept.append(row)
    return kept


def _sampled(row: Mapping[str, Any], task: str, number: int) -> dict[str, Any] | None:
    """Return a row of SAMPLED without images, None for a row without an answer or with one option."""
    source, instruction, text, output = (
        "" if (value := row.get(name)) is None else str(value)
        for name in ("source", "instruction", "input", "output")
    )
    options, letters = _options(row.get("options"))
    answer = -1
    if options:
        answer = letters.index(output) if output in letters else -1
        answer = options.index(output) if answer < 0 and output in options else answer
    if not output or (options and (answer < 0 or len(options) == 1)):
        return None
    content = json.dumps([str(row.get("id") or ""), text, options, output])
    words, items = _read_input(text)
    key = hashlib.blake2b(content.encode("utf-8", "replace"), digest_size=16).hexdigest()
    return {
        "key": key,
        "row": number,
        "unit": _unit(row.get("group_ids"), task) or key,
        "source": source[:MAX_TEXT],
        "instruction": instruction[:MAX_TEXT],
        "text": words,
        "items": items,
        "options": options,
        "output": options[answer] if options else output[:MAX_TEXT],
        "answer": answer,
        "images": [],
    }


def _unit(ids: Any, task: str) -> str:
    """Return the user, query or article of a sample, "" where it says none.

    A guesser that is right about one row of it is right about most.
    """
    if not isinstance(ids, dict):
        return ""
    if task in TASKS and TASKS[task].splits_by_user:
        return "" if ids.get("user") is None else f"user {ids['user']}"
    return str(ids.get("query") or next(iter(ids.get("groups") or ids.get("clusters") or ()), ""))


def _options(value: Any) -> tuple[list[str], list[str]]:
    """Return texts and letters of the options; an option without a letter has the letter of its place."""
    if not isinstance(value, list):
        return [], []
    texts, letters = [], []
    for place, option in enumerate(map(str, value)):
        match = _LETTERED.fullmatch(option)
        texts.append((match[2] if match else option)[:MAX_TEXT])
        letters.append(match[1] if match else chr(ord("A") + place))
    return texts, letters


def _add_images(rows: Mapping[int, dict[str, Any]], shard: pq.ParquetFile) -> None:
    for number, place, data in iterate_images(shard):
        role = place.partition(" of ")[0]
        if (row := rows.get(number)) is None or role.startswith("history "):
            continue
        option = ord(role[-1]) - ord("A") if role.startswith("option ") else -1
        # An image that is published by URL counts, without size and bytes.
        size = (0, 0, 0) if data is None else (*_size(data.to_pybytes()), len(data))
        row["images"].append([option, *size])


def _size(data: bytes) -> tuple[int, int]:
    """Return width and height as the header claims them, zeros where it cannot be read."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images; nothing is decoded here.
            warnings.simplefilter("ignore")
            with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                return opened.size
    except (*DECODER_ERRORS, PIL.Image.DecompressionBombError):
        return 0, 0


def _read_input(text: str) -> tuple[str, list[str]]:
    """Return the words of an input, and its products, without their ordinals, where it is a list of them."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    texts = [str(one) for part in parts for one in (part if isinstance(part, list) else [part])]
    items = (
        [_ORDINAL.sub("", one, count=1)[:MAX_TEXT] for one in texts[:_MAX_ITEMS]]
        if isinstance(value, list)
        else []
    )
    return "\n".join(texts)[:MAX_TEXT], items
