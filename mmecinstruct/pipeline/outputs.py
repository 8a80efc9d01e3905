"""The second half of the road: samples → splits → wording → shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mmecinstruct.core.parquet import read_parts
from mmecinstruct.engine.run import BuildReport, Run
from mmecinstruct.engine.stage import REJECTIONS_FILE, Shard, StageOutput
from mmecinstruct.pipeline import release, work
from mmecinstruct.pipeline.work import CuratedTables
from mmecinstruct.sampling.plan import CORE_FILE, SAMPLED_FILE
from mmecinstruct.schemas.samples import SPLITS


def build_samples(
    run: Run,
    tables: CuratedTables,
    images: StageOutput,
    tasks: Sequence[str],
    build_report: BuildReport,
) -> dict[str, StageOutput]:
    """Build, split and select each task's samples; note what cannot be built and why."""
    from mmecinstruct.tasks import missing_tables

    recipe = run.recipe
    curated = {
        output.name: output.fingerprint
        for output in run.outputs
        if output.name.startswith(("curate_", "duplicates", "merge-"))
    }
    assigned = run.stage(
        "assign",
        release.assign_work,
        [Shard("all", release.AssignPayload(tables.products, tables.relations, recipe.split, recipe.seed))],
        {"split": recipe.split.model_dump(), "seed": recipe.seed},
        {
            name: curated[name]
            for name in ("duplicates", "curate_relations", "merge-relations")
            if name in curated
        },
    )
    counts = {
        name: sum(pq.read_metadata(path).num_rows for path in getattr(tables, name))
        for name in ("products", "reviews", "relations", "judgements", "questions")
    }
    sampled = [output for output in run.outputs if output.name == "sampling"]
    drawn, core = (
        tuple(path for output in sampled for path in output.files(name)) for name in (SAMPLED_FILE, CORE_FILE)
    )
    merged = tuple(
        path
        for output in run.outputs
        if output.name == "duplicates"
        for path in output.files("merged.parquet")
    )
    selected = {}
    for task in tasks:
        lacking = missing_tables(task, counts)
        if lacking:
            build_report.missing[task] = [run.why_lacking(name) for name in lacking]
            continue
        settings = recipe.task(task)
        samples = run.stage(
            f"task-{task}",
            work.build_task_work,
            [
                Shard(
                    "all",
                    work.BuildTaskPayload(
                        task,
                        tables,
                        settings,
                        recipe.seed,
                        drawn,
                        core,
                        merged if drawn else (),
                        run.budget(),
                    ),
                )
            ],
            {
                "settings": settings.model_dump(exclude={"sizes", "label_balance", "require_images"}),
                "seed": recipe.seed,
            },
            {**curated, **{output.name: output.fingerprint for output in sampled}},
            ["duckdb", "numpy"],
        )
        chosen = run.stage(
            f"select-{task}",
            release.select_work,
            [
                Shard(
                    "all",
                    release.SelectPayload(
                        task,
                        tuple(samples.files("samples.parquet")),
                        tuple(assigned.files("assignment.parquet")),
                        tuple(images.files("images.parquet")),
                        recipe.split,
                        settings,
                        recipe.task_sizes(task),
                        recipe.seed,
                    ),
                )
            ],
            {
                "split": recipe.split.model_dump(),
                "settings": settings.model_dump(include={"label_balance", "require_images"}),
                "sizes": recipe.task_sizes(task).model_dump(),
                "seed": recipe.seed,
            },
            {
                "samples": samples.fingerprint,
                "assignment": assigned.fingerprint,
                "images": images.fingerprint,
            },
        )
        sizes = {
            split: chosen.extra["all"]["sizes"][split]
            for split in SPLITS
            if split in chosen.extra["all"]["sizes"]
        }
        if any(entry["chosen"] for entry in sizes.values()):
            selected[task] = chosen
            build_report.sizes[task] = sizes
        else:
            build_report.missing[task] = [_why_nothing(samples, chosen, sizes)]
    return selected


def _why_nothing(samples: StageOutput, chosen: StageOutput, sizes: Mapping[str, Mapping[str, Any]]) -> str:
    """Say in a few words why a task with all its tables has no sample."""
    from mmecinstruct.schemas.rejections import count_reasons

    available = sum(entry["available"] for entry in sizes.values())
    if available:
        notes = [f"{split}: {entry['note']}" for split, entry in sizes.items() if entry["note"]]
        why = ", ".join(notes) or "the recipe's sizes want none in the splits that have any"
        return f"none of {available} samples was chosen: {why}"
    counts: dict[str, int] = {}
    for output in (samples, chosen):
        for path in output.files(REJECTIONS_FILE):
            for part in read_parts(path, ["reason"]):
                for reason, count in count_reasons(part).items():
                    counts[reason] = counts.get(reason, 0) + count
    listed = ", ".join(
        f"{count} {reason}" for reason, count in sorted(counts.items(), key=lambda pair: -pair[1])[:4]
    )
    return f"all {samples.records} records rejected: {listed}" if listed else "no record fits the task"


def write_shards(
    run: Run, selected: Mapping[str, StageOutput], pixels: tuple[Path, ...], roots: Sequence[Path]
) -> StageOutput:
    """Render and judge the selected samples and write the Parquet shards."""
    from mmecinstruct.dataset import shard_path, shard_plan
    from mmecinstruct.tasks.render import template_hashes

    recipe = run.recipe
    numbered = run.stage(
        "release",
        release.release_work,
        [
            Shard(
                "all",
                release.ReleasePayload(
                    tuple(path for output in selected.values() for path in output.files("selected.parquet")),
                    pixels,
                    recipe.seed,
                ),
            )
        ],
        {"seed": recipe.seed},
        {task: output.fingerprint for task, output in selected.items()},
    )
    rendered: dict[str, tuple[Path, ...]] = {}
    inputs = {}
    for task, output in selected.items():
        worded = run.stage(
            f"render-{task}",
            release.render_work,
            _render_shards(run, output, tuple(numbered.files("users.parquet"))),
            {
                "instructions": recipe.instructions.model_dump(),
                "templates": template_hashes([task]),
                "seed": recipe.seed,
            },
            {"selected": output.fingerprint, "release": numbered.fingerprint},
            ["jinja2"],
        )
        if recipe.sample is not None:
            worded = run.stage(
                f"judge-{task}",
                release.judge_work,
                [
                    Shard(
                        "all",
                        release.JudgePayload(task, tuple(worded.files("rendered.parquet")), roots[0]),
                    )
                ],
                {},
                {"rendered": worded.fingerprint, "shop": run.outputs[0].fingerprint},
            )
        rendered[task] = tuple(worded.files("rendered.parquet"))
        inputs[task] = worded.fingerprint

    embed = recipe.images.publish == "embed"

    def shards() -> list[Shard]:
        index = numbered.files("pixel_index.parquet")[0]
        planned = []
        for task, files in rendered.items():
            splits = release.splits_of(files)
            for split in (name for name in SPLITS if name in splits):
                plan = shard_plan(splits[split].total, recipe.publish.shard_rows)
                for number, (start, stop) in enumerate(plan):
                    path = shard_path(task, split, number, len(plan))
                    part, first, last = splits[split].part(start, stop)
                    payload = release.ShardPayload(
                        part, split, first, last, index, pixels, path, recipe.publish, embed
                    )
                    planned.append(Shard(f"{task}.{split}.{number:05d}", payload))
        return planned

    return run.stage(
        "shards",
        release.shard_work,
        shards,
        {
            "publish": recipe.publish.model_dump(include={"shard_rows", "row_group_rows"}),
            "images": recipe.images.publish,
        },
        {**inputs, "release": numbered.fingerprint},
        ["pyarrow", "datasets"],
    )


def _render_shards(run: Run, selected: StageOutput, users: tuple[Path, ...]) -> list[Shard]:
    """Cut a task's selected samples by their number, so that they are put into words beside each other."""
    (path,) = selected.files("selected.parquet")
    rows = pq.read_metadata(path).num_rows
    return [
        Shard(
            f"{start // release.RENDER_ROWS:06d}",
            release.RenderPayload(
                path,
                start,
                min(start + release.RENDER_ROWS, rows),
                users,
                run.recipe.instructions,
                run.recipe.seed,
            ),
        )
        for start in range(0, rows, release.RENDER_ROWS)
    ]
