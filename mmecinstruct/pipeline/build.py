"""Build a dataset folder from a recipe.

    raw files → tables (→ sampled rows) → curated tables → images → clusters → samples → splits → instructions
    → shards → folder

Each step is a stage of the workspace: run again, it does only the missing work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from mmecinstruct.core.disk_errors import remedy
from mmecinstruct.core.duckdb import Budget
from mmecinstruct.core.errors import DatasetError, ExecutorError, RecipeError
from mmecinstruct.core.progress import Report
from mmecinstruct.dataset.manifest import has_recipe
from mmecinstruct.engine.executors import Executor, LocalExecutor, RayExecutor
from mmecinstruct.engine.executors.local import cores
from mmecinstruct.engine.run import Run, until_sound
from mmecinstruct.engine.stage import REJECTIONS_FILE, StageOutput
from mmecinstruct.engine.workspace import Workspace
from mmecinstruct.pipeline.assemble import assemble_folder, folder_fingerprint, is_up_to_date
from mmecinstruct.pipeline.origins import traced_rejections
from mmecinstruct.pipeline.report import BuildReport, measured, stage_rows, taken_down, truncated_files
from mmecinstruct.pipeline.stage_groups import (
    curate_tables,
    deduplicate_tables,
    query_budget,
    read_images,
    reading_bytes,
    select_samples,
    write_shards,
)
from mmecinstruct.pipeline.stop import NothingToBuild, explained_stop, rejections_of_stop
from mmecinstruct.pipeline.target import lock_target, resolve_target
from mmecinstruct.pipeline.warn import (
    check_ood_categories,
    synthetic_inputs,
    warn_of_absent,
    warn_of_processes,
    warn_of_spellings,
    warn_of_synthetic,
    warn_of_unread,
    warn_of_useless,
)
from mmecinstruct.recipe import Recipe
from mmecinstruct.recipe.licences import LicenceChoice, apply_licences, left_out_kinds
from mmecinstruct.schemas.tables import CURATED_TABLES
from mmecinstruct.splits.empty_splits import empty_splits
from mmecinstruct.stages import kept_libraries
from mmecinstruct.stages.files import CuratedTables
from mmecinstruct.stages.index import USERS_FILE
from mmecinstruct.stages.locate_images import ImageSources
from mmecinstruct.stages.parse import parse_stages
from mmecinstruct.stages.render import shortened_urls
from mmecinstruct.stages.sample import sample_stage
from mmecinstruct.stages.synthetic_shop import synthetic_shop
from mmecinstruct.stages.takedowns import forget_taken_down, not_honoured
from mmecinstruct.tasks import TASKS
from mmecinstruct.web.images import load_takedowns

__all__ = ["BuildReport", "build"]


def build(
    recipe: Recipe,
    out: Path,
    *,
    workspace: Path,
    data: Path = Path("."),
    tasks: Sequence[str] = tuple(TASKS),
    workers: int | None = 1,
    executor: str = "local",
    ray_address: str | None = None,
    retry_failed: bool = False,
    report: Report | None = None,
) -> BuildReport:
    """Build the recipe's dataset folder and return the report.

    Args:
        recipe: what to build.
        out: the dataset folder, replaced as a whole; files that no build wrote are taken over.
        workspace: where finished stages are kept.
        data: root of the recipe's relative paths (unused by a recipe with the built-in shop).
        tasks: full names; tasks that the data does not allow are reported in `missing`.
        workers: processes at once, None for one per core, as far as the recipe's memory suffices. It changes no byte,
            nor does the executor.
        executor: what works on the stages: `local`, processes here, or `ray`, tasks of a cluster.
        ray_address: of the cluster; `mmecinstruct/engine/executors/ray.py` says what it may be.
        retry_failed: ask again for images that could not be fetched for a reason that passes; otherwise later builds
            get the outcomes of the first one.
        report: called with the stage, its finished work items and all of them.

    Raises:
        RecipeError: nothing can be built, or not under the recipe's licences.
        SourceError: a raw file cannot be read.
        WorkspaceError: the workspace is locked, or its disk is full.
        ExecutorError: there is no Ray, no cluster, or a node that does not fit.
        DatasetError: `out` holds something else or cannot be written.
    """
    unknown = sorted(set(tasks) - set(TASKS))
    if unknown:
        raise RecipeError(f"no such task: {', '.join(unknown)}; there are {', '.join(TASKS)}")
    allowed = apply_licences(recipe)
    target = resolve_target(out)
    # The nodes of a cluster have other working folders.
    store = Workspace(workspace.absolute())
    if workspace.resolve().is_relative_to(target):
        raise DatasetError(
            f"out={out}: the workspace {workspace} is in it and would be replaced with it; choose another"
        )
    folders = [] if recipe.sample is not None else [data.resolve()]
    processes = processes_here(recipe, workers if executor == "local" else None)
    pool = _choose_executor(executor, workers, processes, ray_address, store.folder, folders)
    budget = query_budget(recipe.resources, processes)
    with store.lock(), lock_target(target) as not_writable, pool:
        if not_writable is not None and not has_recipe(target, recipe):
            raise DatasetError(
                f"out={out}: cannot be written: {not_writable.strerror}; {remedy(not_writable)}"
            )

        def once() -> BuildReport:
            run = Run(store, pool, report, processes)
            with run.damage_told():
                try:
                    built = _run_stages(run, recipe, allowed, out, data, tasks, retry_failed)
                except NothingToBuild as stop:
                    raise explained_stop(run, stop, budget) from None
                # On a read-only disk even the removal of a missing file is an error.
                if (left := rejections_of_stop(store.folder)).exists():
                    left.unlink()
                return _write_folder(run, recipe, target, built, budget)

        done, damaged = until_sound(once)
        return replace(done, warnings=(*done.warnings, *damaged))


class _Built(NamedTuple):
    """The stages' report, the output of `shards`, the numbers of users, and the tables as they were curated."""

    report: BuildReport
    shards: StageOutput
    users: Sequence[Path]
    tables: CuratedTables


def _write_folder(run: Run, recipe: Recipe, target: Path, built: _Built, budget: Budget) -> BuildReport:
    """Write the dataset folder unless it is there already; return the report with what became of it."""
    done, shards = built.report, built.shards
    fingerprint = folder_fingerprint(recipe, run.outputs, done)
    if is_up_to_date(target, fingerprint):
        return replace(done, up_to_date=True)
    files = [shards.folder / path for path in sorted(shards.hashes)]
    paths = [path for output in run.outputs for path in output.files(REJECTIONS_FILE)]
    run.reads(*(getattr(built.tables, name) for name in CURATED_TABLES))
    run.verify_read([*files, *paths, *built.users])
    scratch = run.workspace.folder / "origins"
    with traced_rejections(paths, built.tables, built.users, scratch, budget) as rejections:
        assembled = assemble_folder(
            target, recipe, fingerprint, files, rejections, done, workers=run.workers, progress=run.progress
        )
    return replace(done, audit=assembled.audit, warnings=(*done.warnings, *assembled.warnings))


def _run_stages(
    run: Run,
    whole: Recipe,
    allowed: LicenceChoice,
    out: Path,
    data: Path,
    tasks: Sequence[str],
    retry_failed: bool,
) -> _Built:
    """Run all stages in order; return what they did.

    whole: the recipe as it was given. allowed: without the sources that its licences leave out.
    """
    recipe, budget = allowed.recipe, query_budget(whole.resources, run.workers)
    takedowns = load_takedowns(run.workspace.folder)
    shop, roots = None, [data.resolve()]
    if recipe.sample is not None:
        shop, roots = synthetic_shop(run, recipe.sample, recipe.seed)
    reading = reading_bytes(whole.resources, run.workers)
    parsed = run.run_all(parse_stages(run, recipe.sources, roots[0], recipe.curate.max_text, reading))
    useless = [*warn_of_useless(recipe, roots[0], parsed), *warn_of_unread(parsed)]
    sampled = None
    if recipe.sampling is not None:
        sampled = run.run(sample_stage(recipe, parsed, takedowns.products, budget))
    tables = curate_tables(run, recipe, parsed, sampled, takedowns.products, budget)
    forget_taken_down(run.workspace.folder, takedowns.products, parsed, tables)
    # Before hours of images.
    no_category = check_ood_categories(recipe.split.ood_categories, tables, sampled, allowed.left_out)
    image_sources = ImageSources(recipe.images, recipe.fetch, roots, takedowns, retry_failed)
    images = read_images(run, recipe, tables, image_sources, budget)
    curated = images.tables
    tables, merged, pairs = deduplicate_tables(run, recipe, curated, images)
    wanted = [task for task in TASKS if task in tasks]
    samples = select_samples(run, recipe, wanted, tables, images.table, sampled, merged, pairs, budget)
    missing = {task: [*why, *_left_out(whole, recipe, task)] for task, why in samples.missing.items()}
    if not samples.selected:
        lacks = [*(f"{task}: {'; '.join(why)}" for task, why in missing.items()), *useless]
        raise NothingToBuild("\n  ".join(["no sample of any task can be built:", *lacks]), curated)
    shards = write_shards(run, recipe, samples.selected, images.pixels, shop)
    users = [path for output in run.outputs for path in output.files(USERS_FILE)]

    synthetic = synthetic_inputs(recipe, roots[0])
    report = BuildReport(
        out=out,
        stages=stage_rows(run.outputs),
        measured=measured(run.outputs, len(synthetic)),
        sizes=samples.sizes,
        missing=missing,
        fetched=images.fetched,
        left_out=allowed.left_out,
        warnings=(
            *warn_of_synthetic(synthetic, data),
            *useless,
            *allowed.warnings,
            *warn_of_processes(whole, run.workers),
            *warn_of_absent(recipe, roots[0]),
            *not_honoured(takedowns, recipe.images.read),
            *no_category,
            *warn_of_spellings(run.outputs),
            *empty_splits(recipe, samples.sizes),
            *shortened_urls(samples.selected.values()),
        ),
        taken_down=taken_down(run.outputs),
        truncated=truncated_files(parsed),
    )
    return _Built(report, shards, users, curated)


def processes_here(recipe: Recipe, workers: int | None) -> int:
    """Return how many processes this machine works with: those asked for, else one per core that memory suffices for.

    The tasks of a cluster are none of them: they are as many as its nodes can run.
    """
    return workers or min(cores(), recipe.resources.most_workers)


def _choose_executor(
    name: str,
    workers: int | None,
    processes: int,
    ray_address: str | None,
    workspace: Path,
    folders: Sequence[Path],
) -> Executor:
    if name == "ray":
        return RayExecutor(
            workers, ray_address, workspace=workspace, folders=folders, libraries=kept_libraries()
        )
    if name != "local":
        raise ExecutorError(f"--executor {name}: there are local and ray")
    if ray_address is not None:
        raise ExecutorError("--ray-address goes with --executor ray")
    return LocalExecutor(processes)


def _left_out(whole: Recipe, allowed: Recipe, task: str) -> list[str]:
    """Say which sources a task lacks that the recipe's licences do not allow."""
    kinds = left_out_kinds(whole, allowed, task)
    return [f"licences: open left out {', '.join(kinds)}"] if kinds else []
