"""Captions of a dataset's images and judges' decisions about them, read from its sidecar files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from caslie_model.data.samples import Sample
from caslie_model.errors import ConfigError
from caslie_model.hub.captions import captions_of_hub
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.hashing import fingerprint
from mmecinstruct.schemas.captions import (
    CAPTIONS,
    CAPTIONS_FOLDER,
    JUDGED_KEY,
    KEPT,
    KEPT_FOLDER,
    PROVENANCE_KEY,
    captions_path,
    kept_path,
    parse_choice,
)


@dataclass(frozen=True)
class CaptionFile:
    """A sidecar file.

    Attributes:
        rows: Its rows by sample id, in the order of their positions.
        provenance: All that its rows depend on.
    """

    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    provenance: Mapping[str, Any]


def captions_root(data: str, folder: Path | None, choice: str) -> Path:
    """Return the folder that `captions/` lies in; captions of a dataset on the Hub are downloaded into its cache.

    Args:
        data: A dataset folder, or user/name on the Hub.
        folder: Where the captions are, if not with the dataset.
        choice: `NAME` or `NAME/JUDGE`.

    Raises:
        ConfigError: If there are no captions of this name, or no decisions of this judge.
    """
    name, judge = _parsed(choice)
    root = folder if folder is not None else Path(data)
    if folder is None and not root.is_dir():
        root = captions_of_hub(data, name)
    place = root / CAPTIONS_FOLDER / name
    if not any(place.glob("*.parquet")):
        there = _names(root / CAPTIONS_FOLDER)
        raise ConfigError(
            f"{root} has no captions '{name}'{_listed(there)}; run `caslie_model caption --data {data} --name {name}`, "
            "or give captions_from"
        )
    if judge is not None and not any((place / KEPT_FOLDER / judge).glob("*.parquet")):
        there = _names(place / KEPT_FOLDER)
        raise ConfigError(
            f"{place} has no decisions of a judge '{judge}'{_listed(there)}; run `caslie_model judge`, or give "
            f"captions={name} to keep all"
        )
    return root


def read_captions(root: Path, name: str, task: str, split: str) -> CaptionFile:
    """Return the captions of a task's split.

    Args:
        root: The folder that `captions/` lies in.
        name: Their name.
        task: Full name of a task.
        split: Name of a split.

    Raises:
        DatasetError: If there is no such file, or it is damaged.
    """
    return _read(root / captions_path(name, task, split), CAPTIONS, PROVENANCE_KEY, "caption")


def read_kept(root: Path, name: str, judge: str, task: str, split: str) -> CaptionFile:
    """Return a judge's decisions about the captions of a task's split.

    Args:
        root: The folder that `captions/` lies in.
        name: Name of the captions.
        judge: Name of the decisions.
        task: Full name of a task.
        split: Name of a split.

    Raises:
        DatasetError: If there is no such file, or it is damaged.
    """
    return _read(root / kept_path(name, judge, task, split), KEPT, JUDGED_KEY, "judge")


def with_captions(
    samples: Iterable[Sample], data: str, choice: str, folder: Path | None = None
) -> list[Sample]:
    """Return samples with the captions of their images, those alone that the judge keeps.

    Args:
        samples: The samples.
        data: Their dataset: a folder, or user/name on the Hub.
        choice: `NAME` for all captions of that name, `NAME/JUDGE` for those that the decisions of that name keep.
        folder: Where the captions are, if not with the dataset.

    Returns:
        The samples in their order, with `captions` where one is kept.

    Raises:
        ConfigError: If there are no such captions or decisions.
        DatasetError: If a sample's captions or decisions are missing or of other images, or a file is damaged.
    """
    name, judge = _parsed(choice)
    root = captions_root(data, folder, choice)
    captions: dict[tuple[str, str], CaptionFile] = {}
    kept: dict[tuple[str, str], CaptionFile] = {}
    result = []
    for sample in samples:
        place = (sample.task, sample.split)
        if not sample.image_roles:
            result.append(sample)
            continue
        if place not in captions:
            captions[place] = read_captions(root, name, *place)
            if judge is not None:
                kept[place] = read_kept(root, name, judge, *place)
        rows = captions[place].rows.get(sample.id, ())
        if tuple(row["role"] for row in rows) != sample.image_roles:
            raise DatasetError(
                f"sample {sample.id} ({sample.task}/{sample.split}) has {len(sample.image_roles)} images, and captions "
                f"'{name}' of {len(rows)}, or of others; run `caslie_model caption` again, without a limit"
            )
        dropped = _dropped(sample, rows, kept[place], choice) if judge is not None else frozenset()
        shown = tuple(None if row["position"] in dropped else row["caption"] for row in rows)
        result.append(replace(sample, captions=shown) if any(shown) else sample)
    return result


def caption_provenance(
    samples: Iterable[Sample], data: str, choice: str, folder: Path | None
) -> dict[str, Any]:
    """Return what is told of captions beside a model that was trained with them: who wrote and who judged them.

    Args:
        samples: Samples with captions.
        data: Their dataset.
        choice: `NAME` or `NAME/JUDGE`.
        folder: Where the captions are, if not with the dataset.
    """
    name, judge = _parsed(choice)
    root = captions_root(data, folder, choice)
    images = shown = 0
    places: dict[tuple[str, str], None] = {}
    for sample in samples:
        images += len(sample.image_roles)
        shown += sum(caption is not None for caption in sample.captions)
        if sample.image_roles:
            places[sample.task, sample.split] = None
    first = next(iter(places), None)
    told: dict[str, Any] = {"name": name, "judge": judge, "images": images, "shown": shown}
    if first is not None:
        told["captioner"] = dict(read_captions(root, name, *first).provenance)
        if judge is not None:
            told["judged"] = dict(read_kept(root, name, judge, *first).provenance)
    return told


def caption_fingerprint(row: Mapping[str, Any]) -> str:
    """Return the fingerprint of a caption that decisions are about: of how it was made, and of its text."""
    return fingerprint([row["fingerprint"], row["caption"]])[:16]


def _dropped(
    sample: Sample, captions: Sequence[Mapping[str, Any]], kept: CaptionFile, choice: str
) -> frozenset[int]:
    """Return the positions whose captions are not kept, once all were judged as they are now."""
    decisions = kept.rows.get(sample.id, ())
    judged = {(row["position"], row["caption_fingerprint"]) for row in decisions}
    if judged != {
        (row["position"], caption_fingerprint(row)) for row in captions if row["caption"] is not None
    }:
        raise DatasetError(
            f"sample {sample.id} ({sample.task}/{sample.split}): the decisions of {choice} are not about the captions "
            "that it has now; run `caslie_model judge` again"
        )
    return frozenset(row["position"] for row in decisions if not row["kept"])


def _read(path: Path, schema: Any, key: bytes, command: str) -> CaptionFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise DatasetError(f"{path} is not there; run `caslie_model {command}` for this task and split")
    try:
        table = pq.read_table(path, schema=schema)
        provenance = json.loads((pq.read_schema(path).metadata or {})[key])
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise DatasetError(
            f"{path} is damaged ({error}); run `caslie_model {command} --overwrite`"
        ) from error
    if not isinstance(provenance, dict):
        raise DatasetError(f"{path} is damaged: it does not say where it comes from")
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        rows.setdefault(row["sample_id"], []).append(row)
    for found in rows.values():
        found.sort(key=lambda row: row["position"])
    return CaptionFile(rows, provenance)


def _parsed(choice: str) -> tuple[str, str | None]:
    parsed = parse_choice(choice)
    if parsed is None:
        raise ConfigError(f"captions={choice}: give a NAME, or NAME/JUDGE")
    return parsed


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []


def _listed(names: Sequence[str]) -> str:
    return f" (there are: {', '.join(names[:10])})" if names else ""
