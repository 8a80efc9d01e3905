"""The steps of a build that consist of several stages. Each runs them and returns what later steps read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow.parquet as pq

from mmecinstruct.core.duckdb import Budget
from mmecinstruct.engine.run import Run
from mmecinstruct.engine.stage import Files, StageOutput
from mmecinstruct.pipeline.report import count_rejections
from mmecinstruct.pipeline.stop import NothingToBuild
from mmecinstruct.recipe import Recipe
from mmecinstruct.recipe.resources import ResourceSettings
from mmecinstruct.schemas.samples import SPLITS
from mmecinstruct.stages.assign_splits import assign_stage
from mmecinstruct.stages.build_samples import build_samples_stage
from mmecinstruct.stages.curate_products import curate_products_stage
from mmecinstruct.stages.curate_records import curate_records_stages
from mmecinstruct.stages.deduplicate import MERGED_TABLES, Deduplicate, MergeRecords
from mmecinstruct.stages.files import MERGED_FILE, CuratedTables
from mmecinstruct.stages.filter_images import filter_stage
from mmecinstruct.stages.hygiene import hygiene_stage
from mmecinstruct.stages.image_paths import NAMING_TABLES, ImagePaths
from mmecinstruct.stages.index import Index
from mmecinstruct.stages.locate_images import ImageSources, image_groups, locate_images
from mmecinstruct.stages.measure_images import measure_stage
from mmecinstruct.stages.oracle import Oracle
from mmecinstruct.stages.references import references_stage
from mmecinstruct.stages.render import RENDERED_FILE, render_stage
from mmecinstruct.stages.select_samples import select_stage, selected_file
from mmecinstruct.stages.shards import shards_stage
from mmecinstruct.stages.split_samples import split_stage
from mmecinstruct.tasks import missing_tables


@dataclass(frozen=True)
class Images:
    """The images that samples may show.

    Attributes:
        tables: the curated tables, in which each image has one name.
        table: the stage whose images.parquet says which are kept.
        pixels: none where no image is read.
        fetched: URLs that this build asked for, by what became of them.
    """

    tables: CuratedTables
    table: StageOutput
    pixels: Files
    fetched: Mapping[str, int]


@dataclass(frozen=True)
class Samples:
    """The selected samples of each task, their sizes by split, and why other tasks have none."""

    selected: Mapping[str, Files]
    sizes: Mapping[str, Mapping[str, Mapping[str, Any]]]
    missing: Mapping[str, list[str]]


def query_budget(resources: ResourceSettings, workers: int) -> Budget:
    """Return the budget of a stage's query. It has all cores: there is never another query at the same time."""
    return Budget(resources.query_bytes(_processes(workers)), workers, resources.spill_bytes)


def reading_bytes(resources: ResourceSettings, workers: int) -> int:
    """Return the bytes of memory that all processes share for reading large row groups; no query runs meanwhile."""
    return resources.reading_bytes(_processes(workers))


def _processes(workers: int) -> int:
    """Return the number of processes of a build on this machine: a single worker is the main process itself."""
    return 1 if workers == 1 else 1 + workers


def curate_tables(
    run: Run,
    recipe: Recipe,
    parsed: Sequence[StageOutput],
    sample: StageOutput | None,
    taken_down: frozenset[str],
    budget: Budget,
) -> CuratedTables:
    """Curate products first, then the records that refer to them: of the tables of `sample`, where the recipe samples.

    Raises NothingToBuild where there is no product.
    """
    raw = [sample] if sample else parsed
    if not Files.of(raw, "products.parquet").paths:
        raise NothingToBuild(f"there is nothing to build from: {_why_lacking('products', sample)}")
    curated = run.run(
        curate_products_stage(
            raw, recipe.duplicates.title_similarity, taken_down, budget, settings=recipe.curate
        )
    )
    products = Files.of(curated, "products.parquet")
    cleaned = run.run(hygiene_stage(raw, recipe.curate.mask, recipe.curate.mask_titles))
    tables = {
        stage.table: Files.of(run.run(stage), f"{stage.table}.parquet")
        for stage in curate_records_stages(raw, cleaned, products, recipe.curate, budget)
    }
    return CuratedTables(products=products, **tables)


def read_images(
    run: Run, recipe: Recipe, tables: CuratedTables, image_sources: ImageSources, budget: Budget
) -> Images:
    """Locate, measure and filter every image that a curated product or review names."""
    settings = recipe.images
    if not settings.read:
        stage = references_stage(tables, settings, frozenset(image_sources.takedowns.urls), budget)
        return Images(tables, run.run(stage), Files(), {})
    run.reads(tables.products, tables.reviews)
    located = locate_images(run, image_groups(tables), image_sources)
    if located.names:
        named = run.run(ImagePaths(products=tables.products, reviews=tables.reviews, names=located.names))
        tables = replace(tables, **{table: Files.of(named, f"{table}.parquet") for table in NAMING_TABLES})
    measured = run.run(measure_stage(run.workspace, located.images, settings))
    kept = run.run(filter_stage(measured, tables.products, settings, budget))
    counts = located.fetched.counts if located.fetched else {}
    return Images(tables, kept, Files.of(measured, "pixels.parquet"), counts)


def deduplicate_tables(
    run: Run, recipe: Recipe, tables: CuratedTables, images: Images
) -> tuple[CuratedTables, Files, Files]:
    """Cluster products by what they share, images included; where the recipe merges, in all tables.

    Returns the tables with the final clusters, which products were merged into which, and the near-duplicate pairs.
    """
    settings = recipe.duplicates
    found = run.run(
        Deduplicate(
            products=tables.products,
            images=Files.of(images.table, "images.parquet"),
            reviews=tables.reviews,
            settings=settings,
            sketches=images.pixels if settings.second_look else Files(),
        )
    )
    merged, pairs = Files.of(found, MERGED_FILE), Files.of(found, "pairs.parquet")
    distinct = replace(tables, products=Files.of(found, "products.parquet"))
    if not settings.merge:
        return distinct, merged, pairs
    repointed = {
        table: Files.of(
            run.run(MergeRecords(table=table, records=getattr(tables, table), merged=merged)),
            f"{table}.parquet",
        )
        for table in MERGED_TABLES
    }
    return replace(distinct, **repointed), merged, pairs


def select_samples(
    run: Run,
    recipe: Recipe,
    tasks: Sequence[str],
    tables: CuratedTables,
    images: StageOutput,
    sample: StageOutput | None,
    merged: Files,
    pairs: Files,
    budget: Budget,
) -> Samples:
    """Assign products to splits; build, split and select each task's samples."""
    assigned = run.run(assign_stage(recipe, tables, pairs, sample, merged))
    run.reads(*(getattr(tables, name) for name in ("products", *MERGED_TABLES)))
    counts = {
        name: sum(pq.read_metadata(path).num_rows for path in getattr(tables, name).paths)
        for name in ("products", *MERGED_TABLES)
    }
    built, candidates, missing = {}, {}, {}
    for task in tasks:
        if lacking := missing_tables(task, counts):
            missing[task] = [_why_lacking(name, sample) for name in lacking]
            continue
        built[task] = run.run(build_samples_stage(recipe, task, tables, sample, merged, budget))
        candidates[task] = run.run(split_stage(recipe, task, built[task], assigned, images))
    if not candidates:
        return Samples({}, {}, missing)
    chosen = run.run(select_stage(recipe, candidates, images))
    selected, sizes = {}, {}
    for task in candidates:
        found = chosen.extra["all"]["sizes"][task]
        of_task = {split: found[split] for split in SPLITS if split in found}
        if any(entry["chosen"] for entry in of_task.values()):
            selected[task], sizes[task] = Files.of(chosen, selected_file(task)), of_task
        else:
            missing[task] = [_why_nothing(built[task], candidates[task], of_task)]
    return Samples(selected, sizes, missing)


def write_shards(
    run: Run, recipe: Recipe, selected: Mapping[str, Files], pixels: Files, shop: Files | None
) -> StageOutput:
    """Render the selected samples and write the Parquet shards. shop: the built-in shop, whose oracle then decides."""
    every = Files(
        tuple(path for files in selected.values() for path in files.paths),
        {name: mark for files in selected.values() for name, mark in files.fingerprints.items()},
    )
    index = run.run(Index(selected=every, pixels=pixels, seed=recipe.seed))
    rendered = {}
    for task, files in selected.items():
        rendered[task] = run.run(render_stage(recipe, task, files, index))
        if shop is not None:
            rows = Files.of(rendered[task], RENDERED_FILE)
            rendered[task] = run.run(Oracle(task=task, rendered=rows, shop=shop))
    return run.run(shards_stage(recipe, rendered, index, pixels))


def _why_lacking(table: str, sample: StageOutput | None) -> str:
    """Say in a few words why a table has no rows: it may be that none of them was sampled."""
    rows = sample.extra["all"]["rows"][table] if sample else 0
    if not rows:
        return f"no {table}"
    return (
        f"none of {rows} {table} was sampled: none has what a sample needs, or the recipe's sizes want none"
    )


def _why_nothing(samples: StageOutput, split: StageOutput, sizes: Mapping[str, Mapping[str, Any]]) -> str:
    """Say in a few words why a task with all its tables has no sample."""
    available = sum(entry["available"] for entry in sizes.values())
    if available:
        notes = [f"{split}: {entry['note']}" for split, entry in sizes.items() if entry["note"]]
        why = ", ".join(notes) or "the recipe's sizes want none in the splits that have any"
        return f"none of {available} samples was chosen: {why}"
    reasons = count_rejections([samples, split]).most_common(4)
    listed = ", ".join(f"{count} {reason}" for reason, count in reasons)
    return f"all {samples.records} records rejected: {listed}" if listed else "no record fits the task"
