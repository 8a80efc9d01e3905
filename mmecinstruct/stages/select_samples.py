"""Split a task's samples, resolve their images, and choose as many as the recipe wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmecinstruct.core.parquet import read_tables
from mmecinstruct.engine.stage import Counts, Files, Stage, StageOutput, WorkItem, only
from mmecinstruct.recipe import Recipe, Sizes, SplitSettings, TaskSettings
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.schemas.samples import SPLITS, TEST_OOD, UNRENDERED
from mmecinstruct.schemas.tables import IMAGES
from mmecinstruct.splits.assign import Assignment, assign_samples
from mmecinstruct.splits.select import select_samples
from mmecinstruct.stages.assign_splits import ASSIGNED, ASSIGNED_FILE
from mmecinstruct.stages.build_samples import SELECTING
from mmecinstruct.stages.files import write_rejections

SELECTED_FILE = "selected.parquet"
# Stage `render` reads only the row groups of its part.
ROW_GROUP_ROWS = 1000
_IMAGE_COLUMNS = ("image_roles", "image_urls", "image_ids", "image_product_ids")
SELECTED = pa.schema(
    [
        *UNRENDERED,
        ("split", pa.string()),
        ("setting", pa.string()),
        ("clusters", pa.list_(pa.string())),
        *((name, pa.list_(pa.string())) for name in _IMAGE_COLUMNS),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Select(Stage):
    """Write selected.parquet: the chosen samples with split, clusters and resolved images. settings: SELECTING alone.

    Samples that lack a wanted image or cross splits are rejected; of the rest as many are chosen as the recipe wants.
    """

    name = "select"
    version = 3

    task: str
    samples: Files
    assignment: Files
    images: Files
    split: SplitSettings
    settings: TaskSettings
    sizes: Sizes
    seed: int

    @property
    def label(self) -> str:
        """The stage's name with the task."""
        return f"{self.name}-{self.task}"

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Split and select all samples of the task."""
        rows = read_tables(self.samples.paths, UNRENDERED).to_pylist()
        assignment = self._assignment(rows)
        splits, rejections = assign_samples(rows, self.task, assignment, self.split, self.seed)
        rejections += self._without_images(rows, splits)
        selection = select_samples(
            [row["id"] for row in rows],
            [row["label"] for row in rows],
            splits,
            self.task,
            self.settings,
            self.sizes,
            self.seed,
        )
        chosen = []
        for split in SPLITS:
            for index in selection.chosen[split]:
                row = rows[index]
                row["split"] = split
                row["setting"] = "OOD" if split == TEST_OOD else "IND"
                row["clusters"] = sorted({assignment.cluster_of[product] for product in row["product_ids"]})
                chosen.append(row)
        pq.write_table(
            pa.Table.from_pylist(chosen, schema=SELECTED),
            folder / SELECTED_FILE,
            compression="zstd",
            row_group_size=ROW_GROUP_ROWS,
        )
        write_rejections(rejections, folder)
        return Counts(len(rows), len(rows) - len(rejections), len(rejections), {"sizes": selection.report})

    def _assignment(self, rows: list[dict[str, Any]]) -> Assignment:
        """Return the clusters of products and the splits of clusters."""
        assigned = read_tables(self.assignment.paths, ASSIGNED)
        products, clusters, splits = (assigned[name].to_pylist() for name in ASSIGNED.names)
        return Assignment(
            dict(zip(products, clusters, strict=True)),
            dict(zip(clusters, splits, strict=True)),
            frozenset(self.split.ood_categories),
        )

    def _without_images(self, rows: list[dict[str, Any]], splits: list[str | None]) -> list[Rejection]:
        """Resolve the images of all rows with a split; take it from those that lack a required image."""
        images = read_tables(self.images.paths, IMAGES)
        valid = images.filter(pc.equal(images["status"], "ok"))
        image_ids = dict(zip(valid["image_url"].to_pylist(), valid["image_id"].to_pylist(), strict=True))
        required = self.settings.require_images
        rejections = []
        for index, row in enumerate(rows):
            if splits[index] is None:
                continue
            missing = _resolve_images(row, image_ids)
            present = len(row["image_roles"])
            if (missing and required == "all") or (not present and row["images"] and required == "any"):
                splits[index] = None
                rejections.append(
                    Rejection("split", "missing_image", ", ".join(missing), self.task, row["id"])
                )
        return rejections


def _resolve_images(row: dict[str, Any], image_ids: Mapping[str, str]) -> list[str]:
    """Set the row's image columns from its wanted images; return the roles without a valid image."""
    found: dict[str, list[object]] = {name: [] for name in _IMAGE_COLUMNS}
    missing = []
    for image in row["images"]:
        url = next((url for url in image["image_urls"] or [] if url in image_ids), None)
        if url is None:
            missing.append(str(image["role"]))
            continue
        values = (image["role"], url, image_ids[url], image["product_id"])
        for name, value in zip(_IMAGE_COLUMNS, values, strict=True):
            found[name].append(value)
    row.update(found)
    return missing


def select_stage(
    recipe: Recipe, task: str, samples: StageOutput, assigned: StageOutput, images: StageOutput
) -> Select:
    """Return the stage of a task. images: the output of `filter` or `references`."""
    return Select(
        task=task,
        samples=Files.of(samples, "samples.parquet"),
        assignment=Files.of(assigned, ASSIGNED_FILE),
        images=Files.of(images, "images.parquet"),
        split=recipe.split,
        settings=only(recipe.task(task), SELECTING),
        sizes=recipe.task_sizes(task),
        seed=recipe.seed,
    )
