"""Validate a dataset folder: its manifest, its readability for consumers, its samples, and the separation of splits.

Shards are read in small batches, one row group at a time; only ids and groups stay in memory. A damaged or hostile
folder gives problems, never a traceback.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.core.disk_errors import path_problem
from mmecinstruct.dataset.captions import ImagesOfSample, check_captions
from mmecinstruct.dataset.folder_files import check_card, check_manifest, known_version
from mmecinstruct.dataset.manifest import MANIFEST, Manifest
from mmecinstruct.dataset.private import check_private, private_url
from mmecinstruct.dataset.problems import Problem, ProblemLog, format_problems
from mmecinstruct.dataset.published_images import PublishedImages, published_images
from mmecinstruct.dataset.rows import row_problems
from mmecinstruct.dataset.shards import find_shards, parse_shard_path
from mmecinstruct.schemas.captions import CAPTIONS_FOLDER
from mmecinstruct.schemas.samples import READ_VERSIONS, SCHEMA_VERSION, TEST_OOD, TRAIN, published_schema
from mmecinstruct.tasks import TASKS
from mmecinstruct.text.names import category_key

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Problem", "Validation", "format_problems", "validate_folder"]

# An image that claims more is not decoded.
MAX_IMAGE_PIXELS = 50_000_000
# Uncompressed; the limit of the Hub's viewer is lower.
MAX_ROW_GROUP_BYTES = 2**30

_BATCH_ROWS = 16

# What an instruction's id says of images: each of its wordings is the same variant.
_IMAGES_SAID = re.compile("-(?:some|no)-images(?=@)")

# File, rows checked, rows of all files.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Validation:
    """The problems that a check of a dataset folder found."""

    folder: Path
    problems: tuple[Problem, ...]

    @property
    def valid(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def table(self) -> pd.DataFrame:
        """The problems, one a row: file, row, sample_id, reason, detail."""
        import pandas as pd

        rows = [astuple(problem) for problem in self.problems]
        return pd.DataFrame(rows, columns=[each.name for each in fields(Problem)])


def validate_folder(folder: Path, decode: bool = True, progress: Progress | None = None) -> list[Problem]:
    """Return all problems of a dataset folder; an empty list means that it is valid.

    It checks hashes, the card's configs, the schema, each sample (`dataset.rows`), every embedded image, that no path
    of a machine and no secret of a URL is published, that ids are unique, that no group is in two splits which its
    tasks do not share (`Task.not_shared`), that train lacks the categories of test_ood, and that captions beside the
    dataset are of its images. No content of the folder
    raises an exception.

    Args:
        folder: The dataset folder.
        decode: Decode every embedded image, as `datasets` does.
        progress: Called with (file, rows checked, rows of all files).
    """
    log = ProblemLog()
    if problem := path_problem(folder):
        log.add(str(folder), "not_a_dataset_folder", problem)
        return log.problems()
    shards = find_shards(folder) if folder.is_dir() else []
    if not shards and not (folder / MANIFEST).is_file():
        log.add(str(folder), "not_a_dataset_folder", "it has neither a manifest nor a shard")
        return log.problems()
    manifest = check_manifest(folder, shards, log)
    check_card(folder, shards, manifest, log)
    check_private(folder, log)
    total = sum(entry.rows or 0 for entry in manifest.files if entry.path in set(shards)) if manifest else 0
    seen = _Seen(manifest.schema_version if manifest else None, published_images(folder))
    if (folder / CAPTIONS_FOLDER).is_dir():
        seen.captioned = {}
    done = 0
    for path in shards:
        for checked in _check_shard(folder, path, manifest, decode, seen, log):
            done += checked
            if progress:
                progress(path, done, max(done, total))
    _check_whole(seen, log)
    if seen.captioned is not None:
        check_captions(folder, seen.captioned, log)
    return log.problems()


@dataclass
class _Seen:
    """Ids, groups and images of all shards that were read."""

    schema_version: str | None = None  # of the manifest
    published: PublishedImages = field(default_factory=PublishedImages)  # of the recipe
    ids: dict[str, str] = field(default_factory=dict)  # sample id -> file
    groups: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)  # group -> split, file
    crossing: set[tuple[str, str]] = field(default_factory=set)  # groups that were reported
    train_categories: set[tuple[str, str]] = field(default_factory=set)  # task, category
    ood_categories: dict[tuple[str, str], tuple[str, int, str]] = field(default_factory=dict)
    instructions: set[tuple[str, str]] = field(default_factory=set)  # task, instruction_id
    held_out: dict[tuple[str, str], tuple[str, int, str]] = field(default_factory=dict)
    images: set[bytes] = field(default_factory=set)  # digests of images that were decoded
    captioned: dict[str, ImagesOfSample] | None = None  # by sample id, where there are captions


# --- one shard -----------------------------------------------------------------------------------------


_schema = functools.cache(published_schema)


def _check_shard(
    folder: Path, path: str, manifest: Manifest | None, decode: bool, seen: _Seen, log: ProblemLog
) -> Iterator[int]:
    """Check a shard; yield the number of rows of each batch."""
    task, split, _, _ = parse_shard_path(path) or ("", "", 0, 0)
    row_number = 0
    try:
        with pq.ParquetFile(folder / path) as file:
            if not _check_schema(file, path, seen.schema_version or SCHEMA_VERSION, log):
                return
            entry = next((e for e in manifest.files if e.path == path), None) if manifest else None
            if entry is not None and entry.rows != file.metadata.num_rows:
                log.add(path, "rows_differ", f"{file.metadata.num_rows} rows; the manifest says {entry.rows}")
            names = _schema(SCHEMA_VERSION).names
            batches = file.iter_batches(batch_size=_BATCH_ROWS, columns=names, use_threads=False)
            for batch in batches:
                for row in batch.to_pylist():
                    _check_row(row, task, split, path, row_number, decode, seen, log)
                    row_number += 1
                yield batch.num_rows
    except (OSError, ValueError, OverflowError, MemoryError, pa.ArrowException) as error:
        log.add(path, "parquet_unreadable", f"after row {row_number}: {error}")


def _check_schema(file: pq.ParquetFile, path: str, version: str, log: ProblemLog) -> bool:
    """Check columns, types, the `huggingface` metadata and the size of row groups; return whether rows can be read.

    A file of a later minor version may have more columns.
    """
    expected = _schema(version if version in READ_VERSIONS else SCHEMA_VERSION)
    found = file.schema_arrow
    wrong = [
        f"{field.name} is {found.field(field.name).type}, not {field.type}"
        if found.names.count(field.name) == 1
        else f"{field.name} is missing or occurs twice"
        for field in expected
        if found.names.count(field.name) != 1 or found.field(field.name).type != field.type
    ]
    if version in READ_VERSIONS:
        wrong += [f"{name} is unknown" for name in found.names if name not in expected.names]
    if wrong:
        log.add(path, "schema_columns", "; ".join(wrong))
        return False
    features, wanted = _huggingface_features(found), _huggingface_features(expected)
    if any(features.get(name) != feature for name, feature in wanted.items()):
        log.add(path, "schema_metadata", "without the 'huggingface' metadata images load as plain structs")
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).total_byte_size
        if size > MAX_ROW_GROUP_BYTES:
            log.add(path, "row_group_too_large", f"row group {group} has {size} bytes uncompressed")
            return False
    return True


def _huggingface_features(schema: pa.Schema) -> dict[str, Any]:
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def _check_row(
    row: Mapping[str, Any],
    task: str,
    split: str,
    path: str,
    number: int,
    decode: bool,
    seen: _Seen,
    log: ProblemLog,
) -> None:
    sample_id = str(row["id"] or "")[:100]

    def add(reason: str, detail: str) -> None:
        log.add(path, reason, detail, number, sample_id)

    found = list(row_problems(row, task, split, seen.published))
    found += filter(None, map(private_url, filter(None, row["image_urls"] or ())))
    for reason, detail in found:
        add(reason, detail)
    if any(reason == "value_missing" for reason, _ in found):
        return
    version = row["schema_version"]
    if not known_version(version):
        add("schema_version", f"{version!r}; this program reads {SCHEMA_VERSION}")
    elif seen.schema_version is not None and version != seen.schema_version:
        add("schema_version", f"{version!r}; the manifest says {seen.schema_version}")
    if row["id"] in seen.ids:
        add("id_repeated", f"the same id is in {seen.ids[row['id']]}")
    seen.ids.setdefault(row["id"], path)
    if seen.captioned is not None:
        seen.captioned[row["id"]] = (task, split, tuple(map(_image_key, row["images"])))
    for group in _groups(row, task):
        other_split, other = seen.groups.setdefault(group, (split, path))
        if other_split != split and group not in seen.crossing:
            seen.crossing.add(group)
            add("group_in_two_splits", f"{group[0]} {group[1]} is also in {other}")
    position = (path, number, sample_id)
    if split == TRAIN:
        seen.train_categories.add((task, category_key(row["category"] or "")))
    elif split == TEST_OOD:
        seen.ood_categories.setdefault((task, row["category"] or ""), position)
    seen.instructions.add((task, _IMAGES_SAID.sub("", row["instruction_id"])))
    if row["instruction_unseen_id"] is not None:
        seen.held_out.setdefault((task, _IMAGES_SAID.sub("", row["instruction_unseen_id"])), position)
    for index, image in enumerate(row["images"]):
        problem = _image_problem(image, decode, seen)
        if problem:
            role = row["image_roles"][index] if index < len(row["image_roles"]) else str(index)
            add(problem[0], f"image '{role}': {problem[1]}")


def _groups(row: Mapping[str, Any], task: str) -> Iterator[tuple[str, str]]:
    """Yield the groups that this row must not share with a row of another split."""
    groups = row["group_ids"]
    not_shared = TASKS[task].not_shared
    if "user" in not_shared and groups["user"] is not None:
        yield "user", str(groups["user"])
    if "product" in not_shared:
        for cluster in groups["clusters"] or groups["products"] or ():
            yield "product cluster", cluster
        for group in groups.get("groups") or ():
            yield "product group", group
    if "query" in not_shared and groups["query"]:
        yield "query", groups["query"]


def _image_key(image: Mapping[str, Any] | None) -> str:
    content = image["bytes"] if image else None
    return hashlib.sha256(content).hexdigest() if content else ""


def _image_problem(image: Mapping[str, Any] | None, decode: bool, seen: _Seen) -> tuple[str, str] | None:
    if image is None or not image["bytes"]:
        return ("image_not_embedded", "it has no bytes") if seen.published.embedded else None
    if not seen.published.embedded:
        return "image_embedded", "it has bytes, but the recipe references images"
    if not decode:
        return None
    digest = hashlib.blake2b(image["bytes"], digest_size=16).digest()
    if digest in seen.images:
        return None
    import PIL.Image
    from datasets import Image

    try:
        with warnings.catch_warnings():
            # Pillow warns of large images; the cap here rejects them.
            warnings.simplefilter("ignore")
            with PIL.Image.open(io.BytesIO(image["bytes"])) as opened:
                if opened.width * opened.height > MAX_IMAGE_PIXELS:
                    return "image_too_large", f"{opened.width} x {opened.height} pixels"
            # As consumers decode it, with the orientation tag.
            Image().decode_example({"bytes": image["bytes"], "path": None})
    except Exception as error:  # noqa: BLE001 - decoders raise any exception for a damaged image
        return "image_damaged", f"{type(error).__name__}: {error}"
    seen.images.add(digest)
    return None


# --- over all shards -----------------------------------------------------------------------------------


def _check_whole(seen: _Seen, log: ProblemLog) -> None:
    for (task, category), (file, row, sample_id) in seen.ood_categories.items():
        if (task, category_key(category)) in seen.train_categories:
            name = repr(category) if category else "no category"
            log.add(file, "ood_category_in_train", f"{name} is also in {task}/train", row, sample_id)
    for (task, instruction), (file, row, sample_id) in seen.held_out.items():
        if (task, instruction) in seen.instructions:
            detail = f"held-out {instruction} is also the instruction of a row"
            log.add(file, "instruction_not_held_out", detail, row, sample_id)
