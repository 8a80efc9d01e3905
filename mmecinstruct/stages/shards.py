"""Write the published Parquet shards, their images embedded or referenced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmecinstruct.core.parquet import read_tables
from mmecinstruct.dataset import shard_path, shard_plan, write_shard
from mmecinstruct.engine.stage import Counts, Files, Stage, StageOutput, WorkItem
from mmecinstruct.recipe import Recipe
from mmecinstruct.schemas.samples import SPLITS
from mmecinstruct.stages.index import PIXEL_INDEX_FILE
from mmecinstruct.stages.render import RENDERED_FILE, rendered_schema


class Shard(NamedTuple):
    """One published file: rows start to stop - 1 of a split, counted within the files that contain them."""

    path: str  # below the dataset folder
    split: str
    files: tuple[Path, ...]
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class Shards(Stage):
    """Write `<task>/<split>-<number>-of-<all>.parquet`.

    Attributes:
        rendered: the rendered rows of each task.
        pixel_index: the file, row group and row of an image's pixels.
        pixels: files of pixels, in the order of the index.
        shard_rows: at most so many rows in a file.
        row_group_rows: at most so many rows in a row group.
        embed: whether the files contain pixels.
    """

    name = "shards"
    version = 2
    libraries = ("pyarrow", "datasets")

    rendered: Mapping[str, Files]
    pixel_index: Files
    pixels: Files
    shard_rows: int
    row_group_rows: int
    embed: bool

    def items(self) -> Sequence[WorkItem]:
        """Return an item for each published file."""
        items = []
        for task, files in self.rendered.items():
            splits = splits_of(files.paths)
            for split in (name for name in SPLITS if name in splits):
                plan = shard_plan(splits[split].total, self.shard_rows)
                for number, (start, stop) in enumerate(plan):
                    path = shard_path(task, split, number, len(plan))
                    shard = Shard(path, split, *splits[split].part(start, stop))
                    items.append(WorkItem(f"{task}.{split}.{number:05d}", shard))
        return items

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Write one published file."""
        shard: Shard = item.payload
        table = read_tables(shard.files, rendered_schema())
        rows = table.filter(pc.equal(table["split"], shard.split))
        rows = rows.slice(shard.start, shard.stop - shard.start).drop_columns(["record_ids"])
        # A shard's bytes do not depend on the number of files of its rows.
        rows = rows.combine_chunks()
        pixels = self._read_pixels(rows) if self.embed else None
        path = folder / shard.path
        path.parent.mkdir(parents=True, exist_ok=True)
        write_shard(rows, pixels, path, self.row_group_rows)
        return Counts(rows.num_rows, rows.num_rows, 0)

    def _read_pixels(self, rows: pa.Table) -> dict[str, bytes]:
        """Return the JPEG of each image that the rows name, each row group read once."""
        wanted = pc.unique(pc.list_flatten(rows["image_ids"]))
        index = pq.read_table(self.pixel_index.paths[0])
        locations: dict[tuple[int, int], list[tuple[str, int]]] = {}
        for location in index.filter(pc.is_in(index["image_id"], value_set=wanted)).to_pylist():
            key = (location["file"], location["row_group"])
            locations.setdefault(key, []).append((location["image_id"], location["row"]))
        pixels = {}
        for (file, group), entries in sorted(locations.items()):
            jpegs = pq.ParquetFile(self.pixels.paths[file]).read_row_group(group, columns=["jpeg"])["jpeg"]
            for image_id, row in entries:
                pixels[image_id] = jpegs[row].as_py()
        return pixels


@dataclass(frozen=True)
class SplitRows:
    """The files with rows of a split, in order, and the number of these rows in each."""

    files: tuple[Path, ...]
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """The number of the split's rows."""
        return sum(self.counts)

    def part(self, start: int, stop: int) -> tuple[tuple[Path, ...], int, int]:
        """Return the files that contain rows start to stop - 1, and the same range counted within these files."""
        files, skipped, position = [], 0, 0
        for file, count in zip(self.files, self.counts, strict=True):
            if position + count <= start:
                skipped += count
            elif position < stop:
                files.append(file)
            position += count
        return tuple(files), start - skipped, stop - skipped


def splits_of(paths: Iterable[Path]) -> dict[str, SplitRows]:
    """Return the files with the rendered rows of each split."""
    found: dict[str, list[tuple[Path, int]]] = {}
    for path in paths:
        counts = pc.value_counts(pq.read_table(path, columns=["split"])["split"])
        for entry in counts.to_pylist():
            found.setdefault(entry["values"], []).append((path, entry["counts"]))
    return {
        split: SplitRows(tuple(path for path, _ in files), tuple(count for _, count in files))
        for split, files in found.items()
    }


def shards_stage(
    recipe: Recipe, rendered: Mapping[str, StageOutput], index: StageOutput, pixels: Files
) -> Shards:
    """Return the stage over the outputs of `render` or `oracle`, by task."""
    return Shards(
        rendered={task: Files.of(output, RENDERED_FILE) for task, output in rendered.items()},
        pixel_index=Files.of(index, PIXEL_INDEX_FILE),
        pixels=pixels,
        shard_rows=recipe.publish.shard_rows,
        row_group_rows=recipe.publish.row_group_rows,
        embed=recipe.images.publish == "embed",
    )
