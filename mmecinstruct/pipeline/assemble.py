"""Put the dataset folder together beside its final place, and swap it in whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mmecinstruct.dataset_folder import (
    read_manifest,
    write_card,
    write_manifest,
    write_recipe,
    write_rejections,
    write_statistics,
)
from mmecinstruct.dataset_folder.manifest import CARD, MANIFEST
from mmecinstruct.errors import DatasetError
from mmecinstruct.recipe import Recipe
from mmecinstruct.workspace import sync_folder


def is_up_to_date(out: Path, fingerprint: str) -> bool:
    """Return whether `out` already is the dataset folder of this fingerprint, with all its files."""
    try:
        manifest = read_manifest(out)
    except DatasetError:
        return False
    if manifest.fingerprint != fingerprint or not (out / CARD).is_file():
        return False
    return all(
        (out / entry.path).is_file() and (out / entry.path).stat().st_size == entry.bytes
        for entry in manifest.files
    )


def check_target(out: Path) -> None:
    """Refuse a target that holds something else than a dataset folder.

    Raises DatasetError.
    """
    if out.exists() and not out.is_dir():
        raise DatasetError(f"--out {out}: there is a file of that name")
    if out.is_dir() and any(out.iterdir()) and not (out / MANIFEST).is_file():
        raise DatasetError(f"--out {out}: the folder holds other files; name a new or an empty one")


def assemble_folder(
    out: Path,
    recipe: Recipe,
    fingerprint: str,
    shards: Path,
    rejections: Sequence[Path],
    sizes: Mapping[str, Mapping[str, Mapping[str, Any]]],
    missing: Mapping[str, Sequence[str]],
    stages: Sequence[Mapping[str, Any]],
) -> None:
    """Write the dataset folder from the finished shards and reports.

    shards: folder of the shard stage, whose files lie in <key>/<task>/<split>-….parquet. rejections: the files
    of all stages, in the order of the pipeline. An older dataset folder at `out` is replaced only when the new
    one is whole.

    Raises DatasetError when `out` holds something else.
    """
    check_target(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial")
    old = out.with_name(f".{out.name}.old")
    for leftover in (partial, old):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir()
    for source in sorted(shards.glob("*/*/*.parquet")):
        target = partial / source.relative_to(shards).relative_to(source.relative_to(shards).parts[0])
        target.parent.mkdir(exist_ok=True)
        # A copy, not a link: whoever edits the dataset must not edit the workspace.
        shutil.copyfile(source, target)
    write_rejections(partial, (pq.read_table(path) for path in rejections))
    write_recipe(partial, recipe)
    statistics = write_statistics(partial, recipe, sizes, missing, stages)
    write_card(partial, recipe, statistics, fingerprint)
    write_manifest(partial, recipe, fingerprint)
    for file in partial.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
    if out.is_dir():
        out.rename(old)
    partial.rename(out)
    sync_folder(out.parent)
    shutil.rmtree(old, ignore_errors=True)
