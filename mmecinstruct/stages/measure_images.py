"""Decode each located image once, normalise it, measure it and hash it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.core.errors import SourceError
from mmecinstruct.core.hashing import fingerprint
from mmecinstruct.core.parquet import write_table
from mmecinstruct.engine.stage import Counts, Files, Stage, WorkItem, only
from mmecinstruct.engine.workspace import SNAPSHOTS, Workspace, disk_errors
from mmecinstruct.images.locate import LocatedImage
from mmecinstruct.images.settings import MEASURING, ImageSettings
from mmecinstruct.stages.files import write_rejections

IMAGES_PER_ITEM = 256
LOCATED = pa.schema([(name, pa.string()) for name in ("url", "path", "reason", "detail", "sha256")])


@dataclass(frozen=True, kw_only=True)
class MeasureImages(Stage):
    """Write images.parquet (one row per URL) and pixels.parquet (one row per distinct image).

    Attributes:
        located: the file of `located_files`.
        settings: MEASURING alone.
    """

    name = "images"
    version = 5
    libraries = ("numpy", "pillow", "simplejpeg")

    located: Files
    settings: ImageSettings

    def items(self) -> Sequence[WorkItem]:
        """Cut the located images; a payload is the range of an item.

        Raises SourceError where a fetched image is no longer there.
        """
        from mmecinstruct.web.images.run import FETCHED_FOLDER

        located = pq.read_table(self.located.paths[0])
        fetched = self.located.paths[0].parent.parent / FETCHED_FOLDER
        paths = [Path(path) for path in located["path"].to_pylist() if path is not None]
        gone = [path for path in paths if path.is_relative_to(fetched) and not path.is_file()]
        if gone:
            raise SourceError(
                f"{len(gone)} fetched images are no longer in the workspace ({gone[0]}, …); run again with "
                "--retry-failed to fetch them anew"
            )
        total = located.num_rows
        return [
            WorkItem(f"{start // IMAGES_PER_ITEM:06d}", (start, min(start + IMAGES_PER_ITEM, total)))
            for start in range(0, total, IMAGES_PER_ITEM)
        ]

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Measure a range of the located images."""
        from mmecinstruct.images.measure_all import measure_images

        start, stop = item.payload
        rows = pq.read_table(self.located.paths[0]).slice(start, stop - start).to_pylist()
        images, pixels, rejections = measure_images([LocatedImage(**row) for row in rows], self.settings)
        write_table(images, folder / "images.parquet")
        pq.write_table(pixels, folder / "pixels.parquet", compression="none", row_group_size=100)
        write_rejections(rejections, folder)
        return Counts(images.num_rows, images.num_rows - len(rejections), len(rejections))


def measure_stage(
    workspace: Workspace, located: Sequence[LocatedImage], settings: ImageSettings
) -> MeasureImages:
    """Return the stage over located images, whose bytes have their hashes."""
    return MeasureImages(located=located_files(workspace, located), settings=only(settings, MEASURING))


def located_files(workspace: Workspace, located: Sequence[LocatedImage]) -> Files:
    """Write located images as a table of the workspace: the state of the images outside it.

    Its fingerprint does not depend on the images' folders, and changes when an image changes.
    """
    table = pa.Table.from_pylist([asdict(image) for image in located], schema=LOCATED)
    digest = fingerprint(table.drop_columns(["path"]).to_pylist())
    path = workspace.folder / SNAPSHOTS / f"{digest}.parquet"
    if _holds(path, table):
        with suppress(OSError):
            os.utime(path)  # when it was last used, for `mmec clean`
    elif os.access(workspace.folder, os.W_OK) or not path.is_file():
        with disk_errors("images", workspace.folder):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".arriving")
            write_table(table, temporary)
            temporary.replace(path)
    return Files((path,), {"located": digest})


def _holds(path: Path, table: pa.Table) -> bool:
    """Return whether a file is the table; one that is damaged, or of a workspace that moved, is not."""
    try:
        return bool(pq.read_table(path).equals(table))
    except (OSError, pa.ArrowException):
        return False
