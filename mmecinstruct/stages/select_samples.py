"""Choose as many samples of every task and split as the recipe wants, none that holds what an earlier split holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmecinstruct.core.parquet import read_tables
from mmecinstruct.engine.stage import Counts, Files, Stage, StageOutput, WorkItem, only
from mmecinstruct.recipe import Recipe, Sizes, TaskSettings
from mmecinstruct.schemas.rejections import of_samples
from mmecinstruct.splits.contents import ImageHashes
from mmecinstruct.splits.select import select_samples
from mmecinstruct.stages.files import write_rejections
from mmecinstruct.stages.split_samples import CANDIDATES, CANDIDATES_FILE, valid_images

SELECTED = CANDIDATES
# The settings of a task that this stage reads.
SELECTING = ("label_balance",)
_COMPARED = pa.schema(
    [CANDIDATES.field(name) for name in ("id", "label", "split", "fields", "user_id", "image_urls")]
)
# What a person can look up of a rejected sample.
_NAMED = pa.schema(
    [CANDIDATES.field(name) for name in ("id", "product_ids", "query_id", "user_id", "record_ids")]
)
# Stage `render` reads only the row groups of its part.
ROW_GROUP_ROWS = 1000


@dataclass(frozen=True, kw_only=True)
class Select(Stage):
    """Write the chosen samples of each task, `selected_file`, in the order of splits.

    Train is chosen first, over all tasks; then validation, test and test_ood. Candidates of a later split that hold
    what chosen samples of an earlier one hold are rejected before its sizes are filled.

    Attributes:
        candidates: the samples of each task that may be selected.
        images: the images of all samples.
        decontaminate: whether candidates are compared with earlier splits at all.
        min_structure: images with less structure, in grey levels, have no dHash.
        settings: SELECTING alone, of each task.
        sizes: the wanted samples of each task.
    """

    name = "select"
    version = 4
    libraries = ("numpy",)

    candidates: Mapping[str, Files]
    images: Files
    decontaminate: bool
    min_structure: float
    settings: Mapping[str, TaskSettings]
    sizes: Mapping[str, Sizes]
    seed: int

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Select the samples of all tasks."""
        tables = {task: read_tables(files.paths, _COMPARED) for task, files in self.candidates.items()}
        images = None
        if self.decontaminate:
            images = ImageHashes(valid_images(self.images), self.min_structure)
        selection = select_samples(tables, self.settings, self.sizes, self.seed, images)
        for task, files in self.candidates.items():
            pq.write_table(
                read_tables(files.paths, CANDIDATES).take(pa.array(selection.chosen[task], pa.int64())),
                folder / selected_file(task),
                compression="zstd",
                row_group_size=ROW_GROUP_ROWS,
            )
        rejections = []
        for task, files in self.candidates.items():
            of_task = [rejection for rejection in selection.rejections if rejection.task == task]
            rows = read_tables(files.paths, _NAMED)
            ids = pa.array([rejection.record_id for rejection in of_task], pa.string())
            rejections += of_samples(of_task, rows.filter(pc.is_in(rows["id"], ids)).to_pylist(), task)
        write_rejections(rejections, folder)
        records, rejected = sum(table.num_rows for table in tables.values()), len(rejections)
        return Counts(records, records - rejected, rejected, {"sizes": selection.report})


def selected_file(task: str) -> str:
    """Return the name of the file with a task's chosen samples."""
    return f"{task}.parquet"


def select_stage(recipe: Recipe, candidates: Mapping[str, StageOutput], images: StageOutput) -> Select:
    """Return the stage over the outputs of `split` by task. images: the output of `filter` or `references`."""
    return Select(
        candidates={task: Files.of(output, CANDIDATES_FILE) for task, output in candidates.items()},
        images=Files.of(images, "images.parquet"),
        decontaminate=recipe.split.decontaminate,
        min_structure=recipe.duplicates.min_structure,
        settings={task: only(recipe.task(task), SELECTING) for task in candidates},
        sizes={task: recipe.task_sizes(task) for task in candidates},
        seed=recipe.seed,
    )
