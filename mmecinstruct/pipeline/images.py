"""Images on the road: found on disk or fetched, then measured, then judged."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmecinstruct.core.errors import SourceError
from mmecinstruct.core.hashing import fingerprint
from mmecinstruct.core.parquet import write_table
from mmecinstruct.engine.executors.local import cores
from mmecinstruct.engine.run import Run
from mmecinstruct.engine.stage import Shard, StageOutput
from mmecinstruct.engine.workspace import SNAPSHOTS
from mmecinstruct.images.locate import NO_LOCAL_COPY, ImageLocator, LocatedImage
from mmecinstruct.images.settings import JUDGING, MEASURING, NAMING, REFUSING
from mmecinstruct.pipeline import work
from mmecinstruct.pipeline.work import CuratedTables

IMAGES_PER_SHARD = 256
TAKEN_DOWN = "taken_down"

_LOCATED = pa.schema([(name, pa.string()) for name in ("url", "path", "reason", "detail", "sha256")])


def read_images(
    run: Run, tables: CuratedTables, products: StageOutput, roots: Sequence[Path]
) -> tuple[StageOutput, tuple[Path, ...]]:
    """Find or fetch, measure and judge every image that a curated product or review names.

    Returns the stage that judged, and the files of pixels; of a recipe that reads no image, the stage that took the
    URLs as they are, and no files.
    """
    if not run.recipe.images.read:
        return reference_images(run, tables, products), ()
    groups = _image_groups(tables)
    located = locate_images(run, groups, roots)
    measured = measure_images(run, located)
    judged = judge_images(run, measured, tables.products, products.fingerprint)
    return judged, tuple(measured.files("pixels.parquet"))


def reference_images(run: Run, tables: CuratedTables, products: StageOutput) -> StageOutput:
    """Take the URLs of products and reviews for their images: nothing is looked for, asked for or measured."""
    settings, taken_down = run.recipe.images, frozenset(run.takedowns.urls)
    curated = {output.name: output.fingerprint for output in run.outputs if output.name == "curate_reviews"}
    return run.stage(
        "references",
        work.reference_images_work,
        [
            Shard(
                "all",
                work.ReferencesPayload(tables.products, tables.reviews, settings, taken_down, run.budget()),
            ),
        ],
        {**settings.part(NAMING), "taken_down": sorted(taken_down)},
        {"products": products.fingerprint, **curated},
        ["duckdb"],
    )


def not_honoured(run: Run) -> list[str]:
    """Return what the takedown list asks for and a build that reads no image cannot do."""
    images = len(run.takedowns.images)
    if run.recipe.images.read or not images:
        return []
    return [
        f"the takedown list names {images} images by their bytes, which nobody reads (images.read: false); list "
        "their URLs too: mmec takedown add url URL"
    ]


def _image_groups(tables: CuratedTables) -> list[list[str]]:
    groups: list[list[str]] = []
    for path in (*tables.products, *tables.reviews):
        column = pq.read_table(path, columns=["image_urls"])["image_urls"]
        groups.extend(urls for urls in column.to_pylist() if urls)
    return groups


def forget_taken_down(run: Run, parsed: Sequence[StageOutput], tables: CuratedTables) -> int:
    """Remove from the store what was fetched for products on the takedown list alone; return the number of objects.

    The list names products by id; only a build knows which URLs are theirs, and which of them others share.
    """
    from mmecinstruct.web.images import FETCHED_FOLDER, candidate_urls, forget_images

    folder = run.workspace.folder / FETCHED_FOLDER
    if not run.takedowns.products or not folder.is_dir():
        return 0
    theirs: list[str] = []
    listed = pc.field("product_id").isin(sorted(run.takedowns.products))
    for name, column in (
        ("products", "image_urls"),
        ("reviews", "image_urls"),
        ("product_images", "image_url"),
    ):
        for path in (path for output in parsed for path in output.files(f"{name}.parquet")):
            for value in pq.read_table(path, columns=[column], filters=listed)[column].to_pylist():
                theirs.extend([value] if isinstance(value, str) else value or [])
    others = {url for urls in _image_groups(tables) for url in urls}
    return forget_images(folder, set(candidate_urls(theirs)) - set(candidate_urls(others)))


def locate_images(run: Run, groups: Sequence[Sequence[str]], roots: Sequence[Path]) -> list[LocatedImage]:
    """Return a file or a reason for each URL, in order of URL; groups: the URLs of each product or review.

    Where the recipe fetches, a URL that nobody had to ask for, since an earlier one of its group arrived, is left out.
    """
    locator = ImageLocator(run.recipe.images, roots)
    found = {url: locator.locate(url) for url in sorted({url for urls in groups for url in urls})}
    if run.recipe.fetch.enabled:
        missing = _without_local_copy(groups, found)
        fetched = fetch_images(run, missing)
        for url in {url for urls in missing for url in urls}:
            if run.takedowns.is_url(url):
                continue  # not asked for, but counted
            found.pop(url)
            if url in fetched:
                found[url] = fetched[url]
    for url in found:
        if run.takedowns.is_url(url):
            found[url] = LocatedImage(url, None, TAKEN_DOWN, "the URL is on the takedown list")
    return [found[url] for url in sorted(found)]


def _without_local_copy(
    groups: Sequence[Sequence[str]], found: dict[str, LocatedImage]
) -> list[tuple[str, ...]]:
    """Return the web addresses of each group that has no image on disk, each such group once, in order."""
    wanted = []
    for urls in groups:
        if not any(found[url].path for url in urls):
            wanted.append(tuple(url for url in urls if found[url].reason == NO_LOCAL_COPY))
    return sorted({urls for urls in wanted if urls})


def fetch_images(run: Run, groups: Sequence[Sequence[str]]) -> dict[str, LocatedImage]:
    """Fetch each group's images as the recipe says; return a file or a reason for each URL that was asked for.

    What the first build saw stays what later ones see, until a build with `retry_failed`. Only where there is another
    image to ask for is one decoded as soon as it arrives, to know whether the other is needed; the stage that
    measures decodes it again, since it also runs without the web, in processes, and for images on disk.
    """
    from mmecinstruct.images.measure import measure_image
    from mmecinstruct.images.urls import full_size_url
    from mmecinstruct.web.images import (
        FETCHED,
        FETCHED_FOLDER,
        FetchReport,
        ImageStore,
        candidate_urls,
        fetch_groups,
        frozen_snapshot,
    )

    recipe, folder = run.recipe, run.workspace.folder / FETCHED_FOLDER
    shown = [candidate_urls(urls) for urls in groups]
    candidates = [[url for url in urls if not run.takedowns.is_url(url)] for urls in shown]
    unwanted = {url for urls in groups for url in urls} - {url for urls in shown for url in urls}
    result = {
        url: LocatedImage(
            url, None, "placeholder", "known to show no product, or a still of a video; not asked for"
        )
        for url in unwanted
    }
    if not any(candidates):
        return result
    decoders = threading.BoundedSemaphore(cores())  # not one per thread: a large image takes its memory

    def refusal(content: bytes) -> str | None:
        with decoders:
            return measure_image(content, recipe.images).reason or None

    def fetch() -> FetchReport:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own about bombs and metadata: the caps are ours
            return fetch_groups(
                candidates,
                recipe.fetch,
                folder,
                accept=refusal if any(len(urls) > 1 for urls in candidates) else None,
                takedowns=run.takedowns,
                retry_failed=run.retry_failed,
                progress=run.progress("fetch"),
            )

    snapshot, run.fetched = frozen_snapshot(
        candidates,
        recipe.fetch,
        folder,
        fetch,
        depends_on={
            "refused": recipe.images.part(REFUSING),
            "taken_down": [sorted(run.takedowns.images), sorted(run.takedowns.urls)],
        },
        retry_failed=run.retry_failed,
    )
    store = ImageStore(folder)
    rows = {row["url"]: row for row in snapshot.to_pylist()}
    for url in {url for urls in groups for url in urls} - unwanted:
        # An image came at full size, or else, where that is no good, at the size that was named.
        tried = [rows[name] for name in dict.fromkeys((full_size_url(url), url)) if name in rows]
        arrivals = [row for row in tried if row["status"] == FETCHED]
        if arrivals:
            arrived = next((row for row in arrivals if not row["refused"]), arrivals[0])
            path = str(store.path(arrived["sha256"]))
            result[url] = LocatedImage(url, path, sha256=arrived["sha256"])
        elif tried:
            result[url] = LocatedImage(url, None, tried[-1]["reason"], tried[-1]["detail"])
    return result


def measure_images(run: Run, located: Sequence[LocatedImage]) -> StageOutput:
    """Decode, normalise and measure located images; write their pixels beside their measurements."""
    settings = run.recipe.images
    # The snapshot of the world that this build sees: an image that changes on disk changes its hash.
    snapshot = pa.Table.from_pylist([asdict(image) for image in _hashed(run, located)], schema=_LOCATED)
    mark = fingerprint(snapshot.drop_columns(["path"]).to_pylist())  # the same wherever the data lies

    def shards() -> list[Shard]:
        gone = [image.path for image in located if image.sha256 and not Path(image.path or "").is_file()]
        if gone:
            raise SourceError(
                f"{len(gone)} fetched images are no longer in the workspace ({gone[0]}, …); run again with "
                "--retry-failed to fetch them anew"
            )
        path = run.workspace.folder / SNAPSHOTS / f"{mark}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(snapshot, path)
        return [
            Shard(
                f"{start // IMAGES_PER_SHARD:06d}",
                work.ImagesPayload(path, start, min(start + IMAGES_PER_SHARD, snapshot.num_rows), settings),
            )
            for start in range(0, snapshot.num_rows, IMAGES_PER_SHARD)
        ]

    return run.stage(
        "images",
        work.measure_images_work,
        shards,
        settings.part(MEASURING),
        {"snapshot": mark},
        ["numpy", "pillow", "simplejpeg"],
    )


def _hashed(run: Run, located: Sequence[LocatedImage]) -> list[LocatedImage]:
    """Return images with the hash of their bytes, or refused where it is on the takedown list."""
    local = [image for image in located if image.path is not None and image.sha256 is None]
    hashes = dict(
        zip(
            (image.url for image in local),
            run.file_fingerprints([Path(str(image.path)) for image in local]),
            strict=True,
        )
    )
    found = []
    for image in located:
        if image.path is not None:
            image = replace(image, sha256=image.sha256 or hashes[image.url])
            if run.takedowns.is_image(image.sha256):
                image = LocatedImage(
                    image.url, None, TAKEN_DOWN, "the image is on the takedown list", image.sha256
                )
        found.append(image)
    return found


def judge_images(
    run: Run, measured: StageOutput, products: tuple[Path, ...], products_fingerprint: str
) -> StageOutput:
    """Judge measured images by the recipe's thresholds. products: files of CURATED_PRODUCTS."""
    settings = run.recipe.images
    return run.stage(
        "verdicts",
        work.judge_images_work,
        [
            Shard(
                "all",
                work.VerdictsPayload(
                    tuple(measured.files("images.parquet")), products, settings, run.budget()
                ),
            )
        ],
        settings.part(JUDGING),
        {"images": measured.fingerprint, "products": products_fingerprint},
        ["duckdb"],
    )
