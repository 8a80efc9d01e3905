"""Build a dataset folder from a recipe: the whole road, in order.

    raw files → tables (→ drawn rows) → curated tables → images → clusters → samples → splits → wording → shards
    → folder

Each step is a stage of the workspace: run again, it does only what is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmecinstruct.core.errors import DatasetError, ExecutorError, RecipeError
from mmecinstruct.core.hashing import fingerprint
from mmecinstruct.core.parquet import read_parts
from mmecinstruct.core.progress import Report
from mmecinstruct.core.templating import template_hash
from mmecinstruct.engine.executors import Executor, LocalExecutor, RayExecutor
from mmecinstruct.engine.executors.local import cores
from mmecinstruct.engine.run import BuildReport, Run
from mmecinstruct.engine.stage import REJECTIONS_FILE, StageOutput
from mmecinstruct.engine.versions import KEPT_LIBRARIES, STAGE_VERSIONS
from mmecinstruct.engine.workspace import Workspace
from mmecinstruct.pipeline.assemble import assemble_folder, check_target, is_up_to_date
from mmecinstruct.pipeline.images import TAKEN_DOWN, forget_taken_down, not_honoured, read_images
from mmecinstruct.pipeline.inputs import (
    check_ood_categories,
    curate_tables,
    distinguish_products,
    draw_shop,
    parse_sources,
    sample_parsed,
    synthetic_inputs,
    useless_inputs,
)
from mmecinstruct.pipeline.outputs import build_samples, write_shards
from mmecinstruct.publish.card import CARD_TEMPLATE
from mmecinstruct.recipe import Recipe
from mmecinstruct.recipe.licences import apply_licences, left_out_kinds
from mmecinstruct.schemas.rejections import count_reasons
from mmecinstruct.sources.publishers import absent_files
from mmecinstruct.tasks import TASKS
from mmecinstruct.version import __version__

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
    """Build the recipe's dataset folder at `out` and return what was done.

    data: root of the recipe's relative paths (unused by a recipe that draws the built-in shop).
    tasks: full names; what the data does not allow is reported in `missing`.
    workers: processes at once, None for one per core, as far as the recipe's memory suffices; it changes no byte, nor
    does the executor.
    executor, ray_address: where shards are worked on: `local`, in processes here, or `ray`, as tasks of a cluster
    (mmecinstruct/engine/executors/ray.py says what its address may be).

    retry_failed: ask again for images that could not be fetched for a reason that passes; else what the first build
    saw of the web stays what later ones see.

    Raises RecipeError (nothing can be built, or not under the recipe's licences), SourceError (a raw file),
    WorkspaceError (locked, full disk), ExecutorError (no Ray, no cluster, a node that does not fit), DatasetError
    (`out` holds something else or cannot be written).
    """
    unknown = sorted(set(tasks) - set(TASKS))
    if unknown:
        raise RecipeError(f"no such task: {', '.join(unknown)}; there are {', '.join(TASKS)}")
    allowed = apply_licences(recipe)
    target = out.resolve()
    if workspace.resolve().is_relative_to(target):
        raise DatasetError(
            f"--out {out}: the workspace {workspace} lies in it and would be replaced with it; choose another"
        )
    check_target(target)
    store = Workspace(workspace.absolute())  # the nodes of a cluster have other working folders
    folders = [] if recipe.sample is not None else [data.resolve()]
    processes = processes_here(recipe, workers if executor == "local" else None)
    pool = _choose_executor(executor, workers, processes, ray_address, store.folder, folders)
    with store.lock(), pool:
        run = Run(allowed.recipe, store, pool, report, retry_failed, processes)
        roots = draw_shop(run) if recipe.sample is not None else [data.resolve()]
        parsed = parse_sources(run, roots[0])
        drawn = synthetic_inputs(run.recipe, roots[0])
        useless = useless_inputs(run.recipe, roots[0], parsed)
        tables, products = curate_tables(run, sample_parsed(run, parsed))
        forget_taken_down(run, parsed, tables)
        empty = check_ood_categories(run, tables, allowed.left_out)  # before hours of images
        images, pixels = read_images(run, tables, products, roots)
        tables = distinguish_products(run, tables, products, images)
        build_report = BuildReport(
            out,
            fetched=run.fetched.counts if run.fetched else {},
            left_out=allowed.left_out,
            warnings=(
                *_told_of_drawn(drawn, data),
                *useless,
                *allowed.warnings,
                *_crowded(recipe, processes),
                *_incomplete(run.recipe, roots[0]),
                *not_honoured(run),
                *empty,
            ),
        )
        build_report.cut_short = [
            line
            for output in parsed
            for counts in output.extra.values()
            for line in counts.get("cut_short", ())
        ]
        selected = build_samples(run, tables, images, [task for task in TASKS if task in tasks], build_report)
        for task, why in build_report.missing.items():
            if kinds := left_out_kinds(recipe, allowed.recipe, task):
                why.append(f"licences: open left out {', '.join(kinds)}")
        if not selected:
            lacks = [f"{task}: {'; '.join(why)}" for task, why in build_report.missing.items()]
            told = "".join(f"\n  {line}" for line in [*lacks, *useless])
            raise RecipeError(f"no sample of any task can be built:{told}")
        shards = write_shards(run, selected, pixels, roots)
        build_report.stages = [_stage_row(output) for output in run.outputs]
        build_report.measured = _measured(run.outputs)
        if drawn:
            build_report.measured["miniature"] = {"files": len(drawn)}
        build_report.taken_down = _taken_down(run.outputs)
        mark = fingerprint(
            {
                "version": STAGE_VERSIONS["folder"],
                "project": __version__,
                "card": template_hash(CARD_TEMPLATE),
                "recipe": recipe.published(),
                "stages": [output.fingerprint for output in run.outputs],
                "missing": build_report.missing,
                **({"miniature": len(drawn)} if drawn else {}),
            }
        )
        if is_up_to_date(target, mark):
            build_report.up_to_date = True
            return build_report
        build_report.audit = assemble_folder(
            target,
            recipe,
            mark,
            shards.folder,
            [path for output in run.outputs for path in output.files(REJECTIONS_FILE)],
            build_report.sizes,
            build_report.missing,
            build_report.stages,
            build_report.measured,
            processes,
            report,
        )
        return build_report


def processes_here(recipe: Recipe, workers: int | None) -> int:
    """Return how many processes this machine works with: those asked for, else one per core that memory suffices for.

    The tasks of a cluster are none of them: they are as many as its nodes can run.
    """
    return workers or min(cores(), recipe.resources.most_workers)


def _incomplete(recipe: Recipe, folder: Path) -> list[str]:
    """Name the published files that are not there, of sets of which others are: a glob takes those that it finds."""
    return [
        f"{source.kind}: not in {folder}, so that the dataset lacks what they hold: {', '.join(absent)}; mmec pull "
        "fetches them or says how to get them; then build again"
        for source in recipe.sources
        if recipe.sample is None and (absent := absent_files(source, folder))
    ]


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
            workers, ray_address, workspace=workspace, folders=folders, libraries=KEPT_LIBRARIES
        )
    if name != "local":
        raise ExecutorError(f"--executor {name}: there are local and ray")
    if ray_address is not None:
        raise ExecutorError("--ray-address goes with --executor ray")
    return LocalExecutor(processes)


def _crowded(recipe: Recipe, processes: int) -> list[str]:
    """Return what to say where more processes were asked for than the recipe's memory suffices for."""
    most = recipe.resources.most_workers
    if processes <= most:
        return []
    return [
        f"{processes} worker processes may take more than resources.memory ({recipe.resources.memory}), which suffices "
        f"for {most}; give fewer --workers, or more memory (--set resources.memory=8GB)"
    ]


def _told_of_drawn(names: Sequence[str], root: Path) -> list[str]:
    if not names:
        return []
    return [
        f"{root}: `mmec miniature` drew {len(names)} of the raw files, such as {names[0]}: nothing in them is real, so "
        "the dataset is for trying things out; the card says so"
    ]


def _taken_down(outputs: Sequence[StageOutput]) -> dict[str, int]:
    """Return how many records of each stage the takedown list kept out."""
    counts = {
        output.name: sum(
            count_reasons(part).get(TAKEN_DOWN, 0)
            for path in output.files(REJECTIONS_FILE)
            for part in read_parts(path, ["reason"])
        )
        for output in outputs
    }
    return {name: count for name, count in counts.items() if count}


def _measured(outputs: Sequence[StageOutput]) -> dict[str, dict[str, Any]]:
    """Return what `hygiene` and `duplicates` counted, over all their shards."""
    found = {output.name: output for output in outputs}
    masked: Counter[str] = Counter()
    for counts in found["hygiene"].extra.values():
        masked.update(counts["masked"])
    hygiene = {
        "records": found["hygiene"].records,
        "masked": dict(sorted(masked.items())),
        "profane": sum(counts["profane"] for counts in found["hygiene"].extra.values()),
    }
    sampling = {"sampling": found["sampling"].extra["all"]} if "sampling" in found else {}
    return {**sampling, "hygiene": hygiene, "duplicates": found["duplicates"].extra["all"]}


def _stage_row(output: StageOutput) -> dict[str, Any]:
    return {
        "stage": output.name,
        "records": output.records,
        "kept": output.kept,
        "rejected": output.rejected,
        **({"not_drawn": output.not_drawn} if output.not_drawn else {}),
    }
