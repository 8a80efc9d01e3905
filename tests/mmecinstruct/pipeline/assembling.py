"""Assemble dataset folders from the shards of a small one, without running a pipeline."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq

from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.dataset import find_shards
from mmecinstruct.pipeline.assemble import Assembled, assemble_folder
from mmecinstruct.pipeline.report import BuildReport
from mmecinstruct.recipe import Recipe


def stage_output(dataset: Path, folder: Path, *tasks: str) -> Path:
    """Copy the shards of a dataset as stage `shards` writes them; all tasks, unless some are named."""
    for number, path in enumerate(find_shards(dataset)):
        if not tasks or path.partition("/")[0] in tasks:
            target = folder / f"{number:03d}" / path
            target.parent.mkdir(parents=True)
            shutil.copy(dataset / path, target)
    return folder


def assemble(
    out: Path, shards: Path, dataset: Path, recipe: Recipe, fingerprint: str = "a" * 32
) -> Assembled:
    """Write a dataset folder over the shards, with the rejections of a dataset."""
    rejections = [pq.read_table(dataset / "rejections" / "rejections.parquet")]
    return assemble_folder(
        out, recipe, fingerprint, sorted(shards.glob("*/*/*.parquet")), rejections, BuildReport(out)
    )


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a folder."""
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
