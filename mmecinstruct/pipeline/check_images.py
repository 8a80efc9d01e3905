"""Run the image stages alone, over a folder of files or a table of URLs: the work of `mmec images`.

The stages are those of a build and share its workspace: images that were measured once are not decoded again.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from mmecinstruct.core.disk_errors import check_can_write, writing_to
from mmecinstruct.core.errors import DatasetError, SourceError
from mmecinstruct.core.hashing import fingerprint, hash_draw
from mmecinstruct.core.output_folder import CHECK_IMAGES, MARK, WORKSPACE, check_output, claim_output
from mmecinstruct.core.parquet import read_tables, write_table
from mmecinstruct.core.partial_folder import partial_folder
from mmecinstruct.core.progress import Report
from mmecinstruct.duplicates import near_list
from mmecinstruct.engine.executors import LocalExecutor
from mmecinstruct.engine.run import Run, until_sound
from mmecinstruct.engine.stage import REJECTIONS_FILE, Files
from mmecinstruct.engine.workspace import SNAPSHOTS, Workspace
from mmecinstruct.images.contact_sheet import PER_GROUP, SheetImage, contact_sheet
from mmecinstruct.images.urls import full_size_url
from mmecinstruct.pipeline.stage_groups import query_budget
from mmecinstruct.recipe import ImageCheckSettings
from mmecinstruct.recipe.resources import ResourceSettings
from mmecinstruct.schemas.rejections import Rejection, public_rejections, rejections_table
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, IMAGES, PIXELS, PUBLISHED_REJECTIONS, REJECTIONS
from mmecinstruct.sources.readers.batches import FLUSH, RowError
from mmecinstruct.sources.readers.fields import text_value
from mmecinstruct.sources.readers.tabular import read_rows
from mmecinstruct.stages.filter_images import filter_stage
from mmecinstruct.stages.locate_images import ImageSources, locate_images
from mmecinstruct.stages.measure_images import measure_stage
from mmecinstruct.web.images import load_takedowns

STAGE = "images"
LIST_SEPARATOR = "|"
NEAR_FILE = "near.csv"
_WRITTEN = (MARK, "images.parquet", "rejections.parquet", "pixels", "contact_sheet.jpg", NEAR_FILE)
_KEPT = "kept"


@dataclass(frozen=True)
class ImagesReport:
    """The outcome for the images: images named (distinct), those kept, rejected records per reason.

    near: near pairs per kind; None where nobody asked for them. edits_searched: whether cropped, bordered and covered
    images are among them: of very many images they are not searched (near_list.MOST_IMAGES).
    """

    out: Path
    images: int
    kept: int
    reasons: dict[str, int]
    near: dict[str, int] | None = None
    edits_searched: bool = True


def check_images(
    source: Path,
    out: Path,
    settings: ImageCheckSettings = ImageCheckSettings(),  # noqa: B008 (frozen)
    *,
    workspace: Path,
    column: str = "image_url",
    product_column: str | None = None,
    data: Path | None = None,
    workers: int = 1,
    sheet: bool = False,
    near: bool = False,
    retry_failed: bool = False,
    report: Report | None = None,
) -> ImagesReport:
    """Locate, measure and filter the images of a folder or a table; write the results into `out`.

    source: a folder, all files below it; or a CSV, TSV, JSON lines or Parquet file whose `column` holds URLs or paths
    relative to `data` (default: the file's folder), several in one cell separated by `|`; Amazon's size codes are cut.
    product_column: ids of the products; without it the same image under many products is not found. Web addresses
    are fetched where the settings say so; retry_failed: also those that failed for a reason that passes.

    Writes images.parquet (tables.IMAGES), pixels/*.parquet (tables.PIXELS, of the images kept), rejections.parquet
    and, where `sheet`, contact_sheet.jpg; where `near`, near.csv (near_list.NEAR_IMAGES) of the images kept.

    Raises SourceError (the source cannot be read), OutputError (`out` is another command's, or cannot be written),
    DatasetError (`out` holds other files), WorkspaceError.
    """
    _check_target(out)
    check_output(workspace, WORKSPACE, setting="workspace")
    if source.is_dir():
        root = source
        named, rejections, origins = (
            _files_below(source, (out, workspace)),
            list[Rejection](),
            dict[str, str](),
        )
    elif source.is_file():
        root = data or source.parent
        named, rejections, origins = _read_table(source, column, product_column)
    else:
        raise SourceError(f"{source}: there is no such folder or table")
    store = Workspace(workspace.absolute())
    with store.lock(), LocalExecutor(workers) as executor:
        takedowns = load_takedowns(store.folder)
        image_sources = ImageSources(
            settings.images, settings.fetch, [root.resolve()], takedowns, retry_failed
        )
        groups = [[url] for url in sorted({url for _, url in named})]

        def once() -> tuple[pa.Table, pa.Table, list[Path]]:
            run = Run(store, executor, report)
            located = locate_images(run, groups, image_sources)
            measured = run.run(measure_stage(store, located.images, settings.images))
            shown = [(product, located.names.get(url, url)) for product, url in named]
            products, budget = _write_products(shown, store), query_budget(ResourceSettings(), 1)
            filtered = run.run(filter_stage(measured, products, settings.images, budget))
            kept, pixels = filtered.files("images.parquet"), measured.files("pixels.parquet")
            rejected = [path for stage in (measured, filtered) for path in stage.files(REJECTIONS_FILE)]
            run.verify_read([*kept, *rejected, *pixels])
            # Reversed: of several forms of one image the first stays.
            rows = {located.names.get(url, url): origin for url, origin in reversed(origins.items())}
            tables = [rejections_table(rejections), _with_origins(read_tables(rejected, REJECTIONS), rows)]
            return read_tables(kept, IMAGES), pa.concat_tables(tables), pixels

        (images, all_rejections, pixels), _ = until_sound(once)
        pairs = near_list.near_images_of(images, pixels, settings.duplicates) if near else None
        _write(out, images, all_rejections, pixels, pairs)
        if sheet:
            with writing_to(out):
                _render_sheet(images, pixels, out / "contact_sheet.jpg")
    reasons = Counter(all_rejections["reason"].to_pylist())
    kept = int(pc.sum(pc.equal(images["status"], "ok")).as_py() or 0)
    return ImagesReport(
        out,
        images.num_rows,
        kept,
        _by_count(reasons),
        None if pairs is None else _by_count(Counter(pairs["kind"].to_pylist())),
        pc.count_distinct(images["image_id"]).as_py() <= near_list.MOST_IMAGES,
    )


def _by_count(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def _check_target(out: Path) -> None:
    check_output(out, CHECK_IMAGES)
    others = sorted(path.name for path in out.iterdir() if path.name not in _WRITTEN) if out.exists() else []
    if others:
        raise DatasetError(f"out={out} also holds {others[0]}; choose a new folder")
    check_can_write(out)


def _files_below(folder: Path, without: Sequence[Path]) -> list[tuple[str, str]]:
    """Return (no product, path) of each file below a folder but hidden ones and our own output."""
    ours = [path.resolve() for path in without]

    def wanted(path: Path) -> bool:
        return not path.name.startswith(".") and not any(path.absolute().is_relative_to(own) for own in ours)

    files = []
    for directory, folders, names in os.walk(folder, onerror=_cannot_be_read):
        folders[:] = [name for name in folders if wanted(Path(directory, name))]
        files += [path for name in names if wanted(path := Path(directory, name))]
    if not files:
        raise SourceError(f"{folder}: there is no file in it, hidden ones aside")
    return [("", path.relative_to(folder).as_posix()) for path in sorted(files)]


def _cannot_be_read(error: OSError) -> None:
    raise SourceError(
        f"{error.filename}: cannot be read: {error.strerror}; mend it or move it away"
    ) from error


def _read_table(
    path: Path, column: str, product_column: str | None
) -> tuple[list[tuple[str, str]], list[Rejection], dict[str, str]]:
    """Return (product, URL) of each image that a table names, a rejection for each row that names none, and origins.

    An origin is the first row that names a URL.
    """
    wanted = {"column": column} | ({"product_column": product_column} if product_column else {})
    named: list[tuple[str, str]] = []
    rejections = []
    origins: dict[str, str] = {}
    found = False
    for line, row in read_rows(path, wanted):
        if row is FLUSH:
            continue
        origin = f"{path.name}:{line}"
        if isinstance(row, RowError):
            rejections.append(Rejection(STAGE, row.reason, row.detail, origin))
            continue
        found = found or column in row
        value = row.get(column)
        items = value if isinstance(value, list) else text_value(value).split(LIST_SEPARATOR)
        urls = [full_size_url(text) for item in items if (text := text_value(item))]
        product = text_value(row.get(product_column)) if product_column else ""
        if not urls:
            rejections.append(Rejection(STAGE, "missing_url", f"'{column}' is empty", origin, product))
        named.extend((product, url) for url in urls)
        for url in urls:
            origins.setdefault(url, origin)
    if not found:
        raise SourceError(f"{path}: there is no row with '{column}' (column)")
    return named, rejections, origins


def _with_origins(rejections: pa.Table, origins: Mapping[str, str]) -> pa.Table:
    """Return rejections of images, which have the URL for an origin, with the row that names it; a file is its own."""
    urls = rejections["origin"]
    index = rejections.schema.get_field_index("image_url")
    rejections = rejections.set_column(index, rejections.schema.field(index), urls)
    rows = pa.array([origins.get(url, url) for url in urls.to_pylist()], pa.string())
    index = rejections.schema.get_field_index("origin")
    return rejections.set_column(index, rejections.schema.field(index), rows)


def _write_products(named: Sequence[tuple[str, str]], store: Workspace) -> Files:
    """Write whose images they are as products, each a cluster of its own; return the file."""
    images: dict[str, set[str]] = {}
    for product, url in named:
        if product:
            images.setdefault(product, set()).add(url)
    rows = [
        {"product_id": product, "cluster_id": product, "image_urls": sorted(urls)}
        for product, urls in sorted(images.items())
    ]
    digest = fingerprint(rows)
    path = store.folder / SNAPSHOTS / f"products-{digest}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(pa.Table.from_pylist(rows, schema=CURATED_PRODUCTS), path)
    return Files((path,), {"named": digest})


def _write(
    out: Path, images: pa.Table, rejections: pa.Table, pixels: Sequence[Path], pairs: pa.Table | None
) -> None:
    """Write the result, each file under its name only when it is whole."""
    with writing_to(out), partial_folder(out, CHECK_IMAGES) as partial:
        _write_tables(partial, images, rejections, pixels)
        if pairs is not None:
            pcsv.write_csv(pairs, partial / NEAR_FILE)
        claim_output(out, CHECK_IMAGES)
        shutil.rmtree(out / "pixels", ignore_errors=True)
        for name in ("contact_sheet.jpg", NEAR_FILE):
            (out / name).unlink(missing_ok=True)
        for path in sorted(partial.iterdir()):
            path.replace(out / path.name)


def _write_tables(folder: Path, images: pa.Table, rejections: pa.Table, pixels: Sequence[Path]) -> None:
    (folder / "pixels").mkdir()
    kept = images.filter(pc.equal(images["status"], "ok"))["image_id"].unique()
    written = pa.array([], pa.string())
    for number, path in enumerate(pixels):
        table = pq.read_table(path, schema=PIXELS)
        # The same image may have been measured in two work items, under two URLs.
        wanted = pc.and_(
            pc.is_in(table["image_id"], value_set=kept),
            pc.invert(pc.is_in(table["image_id"], value_set=written)),
        )
        table = table.filter(wanted)
        written = pa.concat_arrays([written, table["image_id"].combine_chunks()])
        pq.write_table(
            table, folder / "pixels" / f"{number:05d}.parquet", compression="none", row_group_size=100
        )
    write_table(images, folder / "images.parquet")
    published = public_rejections(rejections).append_column("user", pa.nulls(len(rejections), pa.int64()))
    write_table(published.select(PUBLISHED_REJECTIONS.names), folder / "rejections.parquet")


def _render_sheet(images: pa.Table, pixels: Sequence[Path], path: Path) -> None:
    """Render rejected images by reason, most frequent first, and at the end some of the images kept."""
    rows = images.select(["image_url", "reason", "detail", "image_id"]).to_pylist()
    totals = Counter(row["reason"] or _KEPT for row in rows)
    # Sampled by hash: the first in alphabetical order would come from one folder.
    rows.sort(key=lambda row: hash_draw(0, "contact sheet", row["image_url"]))
    chosen: dict[str, list[dict[str, Any]]] = {
        name: [] for name in sorted(totals, key=lambda name: (name == _KEPT, -totals[name], name))
    }
    for row in rows:
        group = chosen[row["reason"] or _KEPT]
        if len(group) < PER_GROUP:
            group.append(row)
    wanted = pa.array(
        sorted({row["image_id"] for group in chosen.values() for row in group if row["image_id"]})
    )
    jpegs: dict[str, bytes] = {}
    for file in pixels:
        table = pq.read_table(file, schema=PIXELS, filters=pc.field("image_id").isin(wanted))
        jpegs.update(zip(table["image_id"].to_pylist(), table["jpeg"].to_pylist(), strict=True))
    contact_sheet(
        {
            name: [SheetImage(row["image_url"], row["detail"], jpegs.get(row["image_id"])) for row in group]
            for name, group in chosen.items()
        },
        path,
        totals,
    )
