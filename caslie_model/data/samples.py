"""Samples of a published dataset, read without their images.

A folder is read by selecting columns of its Parquet shards, so that training on text never loads an image. A dataset on
the Hub is read by `datasets.load_dataset`.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caslie_model.data.answers import allowed_labels, split_options
from caslie_model.data.shards import is_dataset_folder, shards_of
from caslie_model.runtime.console import say
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.core.hub import reading_from_hub

# Whether a dataset must have the column.
_COLUMNS: dict[str, bool] = {
    "id": True,
    "task": False,
    "split": False,
    "category": False,
    "instruction": True,
    "instruction_unseen": False,
    "input": True,
    "options": False,
    "output": True,
    "visual_critical": False,
    "text_only_accuracy": False,
    "image_roles": False,
    "group_ids": False,
}
# Largest input of one sample; more is damage, not a product text.
MAX_INPUT_CHARACTERS = 1_000_000

_HUB_NAME = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")


@dataclass(frozen=True, slots=True)
class InputField:
    """One field of a sample's input: a text, or a list of texts (snippets, a history).

    Attributes:
        name: Its name; empty for a list without a name.
        texts: One text, or the entries of the list.
        is_list: Whether it is a list.
        items: The number of each text's item where images are shown, 0 for none; empty without images.
        dropped: Entries of the list that were left out before the first text, so that it fits.
    """

    name: str
    texts: tuple[str, ...]
    is_list: bool
    items: tuple[int, ...] = ()
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Groups:
    """What a sample shares with others, which are not independent of it; empty where the dataset does not tell.

    Attributes:
        products: Ids of its products.
        clusters: Clusters of near-duplicates of the products.
        groups: Groups of variants of the products.
        user: Number of its user.
        query: Fingerprint of its query.
    """

    products: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    user: str | None = None
    query: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One question, with the allowed answers and the right one.

    Attributes:
        id: Unique over all tasks.
        task: Full name of the task.
        split: Name of the split.
        category: Of the product.
        instruction: As in training.
        instruction_unseen: A wording that training does not have; test rows only.
        fields: The input.
        options: Texts by letter; empty for yes/no.
        output: The label of the right answer.
        visual_critical: Whether the image is needed; None if unknown.
        text_only_accuracy: Accuracy of the best possible guesser without images; None if unknown.
        image_roles: The item that each of its images shows: product, history 3, option B, …
        groups: What it shares with other samples.
        captions: The caption of each of its images that is shown as text, None for one that is not; empty without
            captions.
    """

    id: str
    task: str
    split: str
    category: str
    instruction: str
    instruction_unseen: str | None
    fields: tuple[InputField, ...]
    options: dict[str, str]
    output: str
    visual_critical: bool | None
    text_only_accuracy: float | None
    image_roles: tuple[str, ...] = ()
    groups: Groups = Groups()
    captions: tuple[str | None, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that may be answered."""
        return allowed_labels(self.options)


def available_splits(data: str, task: str) -> tuple[str, ...]:
    """Return the splits that a dataset has of a task.

    Args:
        data: A dataset folder, or user/name on the Hub.
        task: Full name of a task.

    Returns:
        Names of splits; none when the dataset lacks the task.

    Raises:
        DatasetError: If there is no such dataset.
    """
    folder = _local_folder(data)
    if folder is not None:
        return tuple(sorted(shards_of(folder, task)))
    return _hub_splits(data, task)


def read_samples(data: str, task: str, split: str) -> list[Sample]:
    """Return a task's samples of one split, in stored order.

    Folder and file decide about task and split; that rows name others is said on stderr.

    Args:
        data: A dataset folder, or user/name on the Hub.
        task: Full name of a task.
        split: Name of a split.

    Returns:
        The samples; none when the dataset lacks the split.

    Raises:
        DatasetError: If there is no such dataset, or a row is damaged.
    """
    if split not in available_splits(data, task):
        return []
    needed = [column for column, must_be in _COLUMNS.items() if must_be]
    rows = _read_rows(data, task, split, tuple(_COLUMNS), needed)
    for column, here in (("task", task), ("split", split)):
        others = Counter(row[column] for row in rows if row[column] not in (None, here))
        if others:
            say(
                f"{data}: {others.total()} samples of {task}/{split} name another {column} "
                f"({', '.join(sorted(map(str, others))[:3])}); they are taken as {here}"
            )
    samples = [_parse_row({**row, "task": task, "split": split}) for row in rows]
    ids: set[str] = set()
    for sample in samples:
        if sample.id in ids:
            raise DatasetError(f"{data}: {task}/{split} holds sample {sample.id} twice; build it again")
        ids.add(sample.id)
    return samples


def read_outputs(data: str, task: str, split: str) -> list[str]:
    """Return the labels of the right answers only, in stored order.

    Args:
        data: A dataset folder, or user/name on the Hub.
        task: Full name of a task.
        split: Name of a split.

    Returns:
        One label a sample; none when the dataset lacks the split.
    """
    if split not in available_splits(data, task):
        return []
    return [row["output"] for row in _read_rows(data, task, split, ("output",), ("output",))]


def read_columns(data: str, task: str, split: str, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return some columns of a task's samples, in stored order.

    Args:
        data: A dataset folder, or user/name on the Hub.
        task: Full name of a task.
        split: Name of a split.
        columns: Names of columns.

    Returns:
        Values by column for each sample; none when the dataset lacks the split.

    Raises:
        DatasetError: If a column is missing.
    """
    return _read_rows(data, task, split, columns, columns) if split in available_splits(data, task) else []


def first_by_hash(samples: Iterable[Sample], count: int | None, seed: int, purpose: str) -> list[Sample]:
    """Return the samples with the smallest hash draws, in that order.

    A larger count adds samples and removes none, and the dataset's order does not matter.

    Args:
        samples: The samples to choose from.
        count: At most so many; None: all.
        seed: Seed of the hash draws.
        purpose: Keeps hash draws for different purposes independent.

    Returns:
        The samples.
    """
    ordered = sorted(samples, key=lambda sample: (hash_draw(seed, purpose, sample.id), sample.id))
    return ordered if count is None else ordered[:count]


def _local_folder(data: str) -> Path | None:
    path = Path(data)
    if path.is_dir():
        if not is_dataset_folder(path):
            raise DatasetError(
                f"{data}: not a dataset folder: it has no <task>/<split>-*.parquet, <task>/<split>.parquet or "
                "<task>/<split>/*.parquet"
            )
        return path
    if path.exists() or not _HUB_NAME.match(data):
        raise DatasetError(f"no dataset '{data}': give a folder that mmec built, or user/name on the Hub")
    return None


def _hub_splits(data: str, task: str) -> tuple[str, ...]:
    import datasets

    try:
        with reading_from_hub(data):
            if task not in datasets.get_dataset_config_names(data):
                return ()
            return tuple(datasets.get_dataset_split_names(data, task))
    except (OSError, ValueError, RuntimeError) as error:
        raise DatasetError(f"no dataset '{data}', neither as a folder nor on the Hub: {error}") from error


def _read_rows(
    data: str, task: str, split: str, columns: Sequence[str], needed: Sequence[str]
) -> list[dict[str, Any]]:
    """Return rows with these columns; those that are not needed are None where the dataset lacks them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def present(location: str, names: Sequence[str]) -> list[str]:
        missing = [column for column in needed if column not in names]
        if missing:
            raise DatasetError(f"{location}: has no column {', '.join(missing)}; build the dataset again")
        return [column for column in columns if column in names]

    folder = _local_folder(data)
    rows: list[dict[str, Any]] = []
    if folder is None:
        import datasets

        with reading_from_hub(data):
            found = datasets.load_dataset(data, task, split=split)
        rows.extend(found.select_columns(present(f"{data}: {task}/{split}", found.column_names)))
    else:
        for file in shards_of(folder, task)[split]:
            try:
                with pq.ParquetFile(file) as shard:
                    rows.extend(shard.read(present(str(file), shard.schema_arrow.names)).to_pylist())
            except (OSError, pa.ArrowException) as error:
                raise DatasetError(f"{file}: cannot be read: {error}; `mmec validate` says more") from error
    return [{column: row.get(column) for column in columns} for row in rows]


def _parse_row(row: dict[str, Any]) -> Sample:
    name = row.get("id")
    if not name or not isinstance(name, str):
        raise DatasetError(
            f"a sample of {row['task']}/{row['split']} has no id, or one that is no text: {name!r}"
        )
    for column in ("instruction", "input", "output"):
        if not isinstance(row[column], str):
            raise DatasetError(f"sample {name}: {column} is missing or no text")
    sample = Sample(
        id=name,
        task=row["task"],
        split=row["split"],
        category=row["category"] or "",
        instruction=row["instruction"],
        instruction_unseen=row["instruction_unseen"],
        fields=parse_input(row["input"], name),
        options=split_options(row["options"] or (), name),
        output=row["output"],
        visual_critical=row["visual_critical"],
        text_only_accuracy=_finite_number(row["text_only_accuracy"]),
        image_roles=tuple(str(role) for role in row["image_roles"] or ()),
        groups=_parse_groups(row["group_ids"]),
    )
    if sample.output not in sample.labels:
        raise DatasetError(
            f"sample {name}: the answer {sample.output!r} is not among {', '.join(sample.labels)}; build the "
            "dataset again"
        )
    return sample


def parse_input(text: str, name: str) -> tuple[InputField, ...]:
    """Return the fields of a sample's input.

    Args:
        text: The input, JSON text.
        name: The sample's id, for errors.

    Raises:
        DatasetError: It is too long, or no JSON object or list.
    """
    if len(text) > MAX_INPUT_CHARACTERS:
        raise DatasetError(f"sample {name}: its input has {len(text):,} characters")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"sample {name}: its input is not JSON: {error}") from error
    if isinstance(content, list):
        content = {"": content}
    if not isinstance(content, dict):
        raise DatasetError(f"sample {name}: its input is neither a JSON object nor a list")
    fields = []
    for key, value in content.items():
        values = value if isinstance(value, list) else [value]
        texts = tuple(_plain_text(entry) for entry in values if entry is not None)
        # A null must not become the word "None".
        if texts:
            fields.append(InputField(" ".join(key.split()), texts, isinstance(value, list)))
    return tuple(fields)


def _parse_groups(value: Any) -> Groups:
    """Return the groups of a row; those of a dataset with other columns are not known."""
    if not isinstance(value, dict):
        return Groups()

    def names(key: str) -> tuple[str, ...]:
        found = value.get(key)
        return tuple(str(each) for each in found if each is not None) if isinstance(found, list) else ()

    def name(key: str) -> str | None:
        return None if value.get(key) is None else str(value[key])

    return Groups(names("products"), names("clusters"), names("groups"), name("user"), name("query"))


def _finite_number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def _plain_text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(text.split())
