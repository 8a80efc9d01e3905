"""Assign a task's samples to splits, resolve their images, and reject those that ask what another one asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmecinstruct.core.parquet import ROW_GROUP_ROWS, read_tables
from mmecinstruct.core.shown import shown_url
from mmecinstruct.engine.stage import Counts, Files, Stage, StageOutput, WorkItem, only
from mmecinstruct.recipe import Recipe, SplitSettings, TaskSettings
from mmecinstruct.schemas.rejections import Rejection, of_samples
from mmecinstruct.schemas.samples import TEST_OOD, UNRENDERED
from mmecinstruct.schemas.tables import IMAGES
from mmecinstruct.splits.assign import STAGE, Assignment, assign_samples
from mmecinstruct.splits.contents import ImageHashes
from mmecinstruct.splits.duplicate_inputs import reject_repeats
from mmecinstruct.stages.assign_splits import ASSIGNED, ASSIGNED_FILE, QUERIES, QUERIES_FILE
from mmecinstruct.stages.files import write_rejections

CANDIDATES_FILE = "candidates.parquet"
# The settings of a task that this stage reads.
SPLITTING = ("require_images",)
_REASONS = pa.schema([IMAGES.field(name) for name in ("image_url", "reason")])
_IMAGE_COLUMNS = ("image_roles", "image_urls", "image_ids", "image_product_ids")
# Samples with split, clusters, groups and resolved images.
CANDIDATES = pa.schema(
    [
        *UNRENDERED,
        ("split", pa.string()),
        ("setting", pa.string()),
        ("clusters", pa.list_(pa.string())),
        ("groups", pa.list_(pa.string())),
        *((name, pa.list_(pa.string())) for name in _IMAGE_COLUMNS),
    ]
)


@dataclass(frozen=True, kw_only=True)
class SplitSamples(Stage):
    """Write candidates.parquet: the samples that may be selected. settings: SPLITTING alone.

    Samples that lack a wanted image, cross splits, or ask what another one asks are rejected.
    """

    name = "split"
    version = 2

    task: str
    samples: Files
    assignment: Files
    queries: Files
    images: Files
    split: SplitSettings
    settings: TaskSettings
    seed: int

    @property
    def label(self) -> str:
        """The stage's name with the task."""
        return f"{self.name}-{self.task}"

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Split all samples of the task."""
        rows = read_tables(self.samples.paths, UNRENDERED).to_pylist()
        valid = valid_images(self.images)
        assignment = self._assignment()
        splits, rejections = assign_samples(rows, self.task, assignment, self.split, self.seed)
        rejections += self._without_images(rows, splits, valid)
        rejections += reject_repeats(rows, splits, self.task, ImageHashes(valid), self.seed)
        candidates = []
        for row, split in zip(rows, splits, strict=True):
            if split is None:
                continue
            row["split"] = split
            row["setting"] = "OOD" if split == TEST_OOD else "IND"
            row["clusters"] = sorted({assignment.cluster_of[product] for product in row["product_ids"]})
            groups = {assignment.group_of[product] for product in row["product_ids"]}
            row["groups"] = sorted(group for group in groups if group is not None)
            candidates.append(row)
        pq.write_table(
            pa.Table.from_pylist(candidates, schema=CANDIDATES),
            folder / CANDIDATES_FILE,
            compression="zstd",
            row_group_size=ROW_GROUP_ROWS,
        )
        write_rejections(of_samples(rejections, rows, self.task), folder)
        return Counts(len(rows), len(candidates), len(rejections))

    def _assignment(self) -> Assignment:
        """Return the clusters and groups of products, and the splits of clusters and queries."""
        assigned = read_tables(self.assignment.paths, ASSIGNED)
        products, clusters, splits, groups, cut_off = (assigned[name].to_pylist() for name in ASSIGNED.names)
        queries = read_tables(self.queries.paths, QUERIES)
        return Assignment(
            dict(zip(products, clusters, strict=True)),
            dict(zip(clusters, splits, strict=True)),
            frozenset(self.split.ood_categories),
            dict(zip(products, groups, strict=True)),
            frozenset(product for product, cut in zip(products, cut_off, strict=True) if cut),
            dict(zip(queries["query"].to_pylist(), queries["split"].to_pylist(), strict=True)),
        )

    def _without_images(
        self, rows: list[dict[str, Any]], splits: list[str | None], valid: pa.Table
    ) -> list[Rejection]:
        """Resolve the images of all rows with a split; take it from those that lack a required image."""
        image_ids = dict(zip(valid["image_url"].to_pylist(), valid["image_id"].to_pylist(), strict=True))
        every = read_tables(self.images.paths, _REASONS)
        reasons = dict(zip(every["image_url"].to_pylist(), every["reason"].to_pylist(), strict=True))
        required = self.settings.require_images
        rejections = []
        for index, row in enumerate(rows):
            if splits[index] is None:
                continue
            missing = _resolve_images(row, image_ids)
            present = len(row["image_roles"])
            if (missing and required == "all") or (not present and row["images"] and required == "any"):
                splits[index] = None
                reason, detail = why_missing(missing, reasons)
                rejections.append(Rejection(STAGE, reason, detail, "", row["id"], self.task))
        return rejections


def valid_images(images: Files) -> pa.Table:
    """Return image_url, image_id and the columns of ImageHashes of the images that samples may show."""
    wanted = ("image_url", "status", "image_id", *ImageHashes.columns[1:])
    table = read_tables(images.paths, pa.schema([IMAGES.field(name) for name in wanted]))
    return table.filter(pc.equal(table["status"], "ok"))


def why_missing(missing: Sequence[Mapping[str, Any]], reasons: Mapping[str, str]) -> tuple[str, str]:
    """Return the reason and the detail of a sample that lacks images.

    Args:
        missing: The wanted images without a valid one, with role and image_urls.
        reasons: Why images were rejected, by URL.

    Returns:
        `placeholder` where each of them has a placeholder, else `missing_image`; each role with its first image.
    """
    found = [
        (image["role"], [(url, reasons.get(url, "")) for url in image["image_urls"] or ()])
        for image in missing
    ]
    told = []
    for role, urls in found:
        named = sorted((pair for pair in urls if pair[1]), key=lambda pair: pair[1] != "placeholder")
        why = "its URL was not asked for" if urls else "none is named"
        told.append(f"{role}: {named[0][1]}, {shown_url(named[0][0])}" if named else f"{role}: {why}")
    placeholders = all(any(why == "placeholder" for _, why in urls) for _, urls in found)
    return "placeholder" if placeholders else "missing_image", "; ".join(told)


def _resolve_images(row: dict[str, Any], image_ids: Mapping[str, str]) -> list[dict[str, Any]]:
    """Set the row's image columns from its wanted images; return those without a valid image."""
    found: dict[str, list[object]] = {name: [] for name in _IMAGE_COLUMNS}
    missing = []
    for image in row["images"]:
        url = next((url for url in image["image_urls"] or [] if url in image_ids), None)
        if url is None:
            missing.append(image)
            continue
        values = (image["role"], url, image_ids[url], image["product_id"])
        for name, value in zip(_IMAGE_COLUMNS, values, strict=True):
            found[name].append(value)
    row.update(found)
    return missing


def split_stage(
    recipe: Recipe, task: str, samples: StageOutput, assigned: StageOutput, images: StageOutput
) -> SplitSamples:
    """Return the stage of a task. images: the output of `filter` or `references`."""
    return SplitSamples(
        task=task,
        samples=Files.of(samples, "samples.parquet"),
        assignment=Files.of(assigned, ASSIGNED_FILE),
        queries=Files.of(assigned, QUERIES_FILE),
        images=Files.of(images, "images.parquet"),
        split=recipe.split.assigning(),
        settings=only(recipe.task(task), SPLITTING),
        seed=recipe.seed,
    )
