"""Captions of a dataset's images and judges' decisions about them, read from its sidecar files."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from caslie_model.data.samples import Sample
from caslie_model.errors import ConfigError
from caslie_model.hub.captions import captions_of_hub
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.schemas.captions import (
    CAPTIONS,
    CAPTIONS_FOLDER,
    JUDGED_KEY,
    KEPT,
    KEPT_FOLDER,
    PROVENANCE_KEY,
    caption_fingerprint,
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
    # Of the Hub's cache the path says nothing.
    where = data if folder is None else folder
    if not any(place.glob("*.parquet")):
        raise ConfigError(
            f"{where} has no captions '{name}'{_listed(root / CAPTIONS_FOLDER)}; run `caslie_model caption --name "
            f"{name}`, give captions_from where they are in another folder, or captions=none to do without"
        )
    if judge is not None and not any((place / KEPT_FOLDER / judge).glob("*.parquet")):
        raise ConfigError(
            f"{where} has no decisions '{judge}' about captions '{name}'{_listed(place / KEPT_FOLDER)}; run "
            f"`caslie_model judge`, or give captions={name} to keep all"
        )
    return root


def read_captions(
    root: Path, name: str, task: str, split: str, ids: Collection[str] | None = None
) -> CaptionFile:
    """Return the captions of a task's split.

    Args:
        root: The folder that `captions/` lies in.
        name: Their name.
        task: Full name of a task.
        split: Name of a split.
        ids: Of these samples only; None: of all.

    Raises:
        DatasetError: If there is no such file, or it is damaged.
    """
    return _read(root / captions_path(name, task, split), CAPTIONS, PROVENANCE_KEY, "caption", ids)


def read_kept(
    root: Path, name: str, judge: str, task: str, split: str, ids: Collection[str] | None = None
) -> CaptionFile:
    """Return a judge's decisions about the captions of a task's split.

    Args:
        root: The folder that `captions/` lies in.
        name: Name of the captions.
        judge: Name of the decisions.
        task: Full name of a task.
        split: Name of a split.
        ids: About captions of these samples only; None: of all.

    Raises:
        DatasetError: If there is no such file, or it is damaged.
    """
    return _read(root / kept_path(name, judge, task, split), KEPT, JUDGED_KEY, "judge", ids)


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
    samples = list(samples)
    name, judge = _parsed(choice)
    root = captions_root(data, folder, choice)
    shown: dict[tuple[str, str], dict[str, tuple[str | None, ...]]] = {}
    for place, found in _by_place(samples).items():
        ids = frozenset(sample.id for sample in found)
        captions = read_captions(root, name, *place, ids).rows
        kept = None if judge is None else read_kept(root, name, judge, *place, ids).rows
        shown[place] = {
            sample.id: _shown(sample, captions.get(sample.id, ()), kept, choice) for sample in found
        }
    return [
        replace(sample, captions=own)
        if sample.image_roles and any(own := shown[sample.task, sample.split][sample.id])
        else sample
        for sample in samples
    ]


def caption_provenance(
    samples: Iterable[Sample], data: str, choice: str, folder: Path | None
) -> dict[str, Any]:
    """Return what is told of captions beside a model that was trained with them: who wrote and who judged them.

    Args:
        samples: Samples with captions.
        data: Their dataset.
        choice: `NAME` or `NAME/JUDGE`.
        folder: Where the captions are, if not with the dataset.

    Returns:
        `name`, `judge`, `images` of the samples, how many of them have a caption that is `shown`, and what the files
        say of themselves: `written` and `judged`, each kind once.

    Raises:
        DatasetError: If a file is missing or damaged.
    """
    samples = list(samples)
    name, judge = _parsed(choice)
    root = captions_root(data, folder, choice)
    places = list(_by_place(samples))
    written = [_provenance(root / captions_path(name, *place), PROVENANCE_KEY, "caption") for place in places]
    judged = [
        _provenance(root / kept_path(name, judge, *place), JUDGED_KEY, "judge")
        for place in places
        if judge is not None
    ]
    return {
        "name": name,
        "judge": judge,
        "images": sum(len(sample.image_roles) for sample in samples),
        "shown": sum(caption is not None for sample in samples for caption in sample.captions),
        "written": _distinct(written),
        "judged": _distinct(judged),
    }


def _by_place(samples: Iterable[Sample]) -> dict[tuple[str, str], list[Sample]]:
    """Return samples with images by task and split."""
    places: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        if sample.image_roles:
            places.setdefault((sample.task, sample.split), []).append(sample)
    return places


def _shown(
    sample: Sample,
    captions: Sequence[Mapping[str, Any]],
    kept: Mapping[str, Sequence[Mapping[str, Any]]] | None,
    choice: str,
) -> tuple[str | None, ...]:
    """Return the captions of a sample that are shown. kept: decisions by sample id, None to keep all."""
    place = f"sample {sample.id} ({sample.task}/{sample.split})"
    if not captions:
        raise DatasetError(
            f"{place} has no captions '{choice}', as others have: they were written with a limit, or before the "
            "dataset was built anew; run `caslie_model caption` again, without a limit"
        )
    if [(row["position"], row["role"]) for row in captions] != list(enumerate(sample.image_roles)):
        raise DatasetError(
            f"{place}: captions '{choice}' are of other images than it has now; run `caslie_model caption` again"
        )
    if kept is None:
        return tuple(row["caption"] for row in captions)
    decisions = {
        (row["position"], row["caption_fingerprint"]): row["kept"] for row in kept.get(sample.id, ())
    }
    judged = {
        (row["position"], caption_fingerprint(row)): row["caption"]
        for row in captions
        if row["caption"] is not None
    }
    if decisions.keys() != judged.keys():
        raise DatasetError(
            f"{place}: the decisions of {choice} are not about the captions that it has now; run `caslie_model judge` "
            "again"
        )
    shown = {position for (position, _), keeps in decisions.items() if keeps}
    return tuple(row["caption"] if row["position"] in shown else None for row in captions)


def _read(path: Path, schema: Any, key: bytes, command: str, ids: Collection[str] | None) -> CaptionFile:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    provenance = _provenance(path, key, command)
    try:
        # Given to `read_table`, a schema would fill columns that are missing.
        table = pq.read_table(path).select(schema.names).cast(schema)
        if ids is not None:
            table = table.filter(pc.is_in(table["sample_id"], pa.array(sorted(ids), pa.string())))
        found = table.to_pylist()
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise _damaged(path, command, error) from error
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        rows.setdefault(row["sample_id"], []).append(row)
    for each in rows.values():
        each.sort(key=lambda row: row["position"])
    return CaptionFile(rows, provenance)


def _provenance(path: Path, key: bytes, command: str) -> dict[str, Any]:
    """Return what a file says of itself, without reading its rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise DatasetError(f"{path} is not there; run `caslie_model {command}` for this task and split")
    try:
        provenance = json.loads((pq.read_schema(path).metadata or {})[key])
    except KeyError as error:
        raise _damaged(path, command, "it does not say where it comes from") from error
    except (OSError, ValueError, RecursionError, pa.ArrowException) as error:
        raise _damaged(path, command, error) from error
    if not isinstance(provenance, dict):
        raise _damaged(path, command, "it does not say where it comes from")
    return provenance


def _damaged(path: Path, command: str, what: object) -> DatasetError:
    again = " --overwrite" if command == "caption" else ""
    return DatasetError(f"{path} is damaged ({what}); run `caslie_model {command}{again}`")


def _distinct(each: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({json.dumps(found, sort_keys=True): found for found in each}.values())


def _parsed(choice: str) -> tuple[str, str | None]:
    parsed = parse_choice(choice)
    if parsed is None:
        raise ConfigError(f"captions={choice}: give a NAME, or NAME/JUDGE")
    return parsed


def _listed(folder: Path) -> str:
    """Return the names of the folders in a folder as a remark; none where there are none."""
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
    return f" (there are: {', '.join(names[:10])})" if names else ""
