"""Number the users of all tasks, and index the pixels of their images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.core.parquet import read_tables, write_table
from mmecinstruct.engine.stage import Counts, Files, Stage, WorkItem
from mmecinstruct.stages.select_samples import SELECTED

USERS_FILE, PIXEL_INDEX_FILE = "users.parquet", "pixel_index.parquet"
USERS = pa.schema([("user_id", pa.string()), ("number", pa.int64())])
PIXEL_INDEX = pa.schema(
    [("image_id", pa.string()), ("file", pa.int32()), ("row_group", pa.int32()), ("row", pa.int32())]
)


@dataclass(frozen=True, kw_only=True)
class Index(Stage):
    """Write users.parquet (numbers of this dataset, in hash order) and pixel_index.parquet.

    Attributes:
        selected: the chosen samples of all tasks.
        pixels: files of pixels; the index names them by their position here. None where no image is read.
    """

    name = "index"
    version = 1

    selected: Files
    pixels: Files
    seed: int

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Number and index everything at once."""
        selected = read_tables(self.selected.paths, SELECTED)
        users = sorted(
            {user for user in selected["user_id"].to_pylist() if user is not None},
            key=lambda user: (hash_draw(self.seed, "release:user", user), user),
        )
        numbers = pa.table({"user_id": users, "number": range(len(users))}, schema=USERS)
        write_table(numbers, folder / USERS_FILE)
        wanted = set(pc.unique(pc.list_flatten(selected["image_ids"])).to_pylist())
        write_table(_pixel_index(self.pixels.paths, wanted), folder / PIXEL_INDEX_FILE)
        return Counts(selected.num_rows, selected.num_rows, 0)


def _pixel_index(pixels: Iterable[Path], wanted: set[str]) -> pa.Table:
    """Return the first location of each wanted image, in order of its id."""
    index: dict[str, tuple[int, int, int]] = {}
    for number, path in enumerate(pixels):
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            ids = file.read_row_group(group, columns=["image_id"])["image_id"].to_pylist()
            for row, image_id in enumerate(ids):
                if image_id in wanted and image_id not in index:
                    index[image_id] = (number, group, row)
    rows = [
        {"image_id": image_id, "file": location[0], "row_group": location[1], "row": location[2]}
        for image_id, location in sorted(index.items())
    ]
    return pa.Table.from_pylist(rows, schema=PIXEL_INDEX)
