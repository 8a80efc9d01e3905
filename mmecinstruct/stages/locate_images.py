"""Find the images that curated tables name: on disk, or on the web. No stage: the result depends on files outside."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow.parquet as pq

from mmecinstruct.engine.executors.local import cores
from mmecinstruct.engine.run import Run
from mmecinstruct.images.locate import NO_LOCAL_COPY, ImageLocator, LocatedImage
from mmecinstruct.images.settings import CAPS, ImageSettings
from mmecinstruct.images.urls import full_size_url
from mmecinstruct.stages.files import CuratedTables
from mmecinstruct.web.images import (
    FETCHED,
    FETCHED_FOLDER,
    FetchReport,
    ImageStore,
    Takedowns,
    candidate_urls,
    fetch_groups,
    frozen_snapshot,
)
from mmecinstruct.web.images.settings import FetchSettings

TAKEN_DOWN = "taken_down"
Found = dict[str, LocatedImage]  # by URL


@dataclass(frozen=True)
class ImageSources:
    """The disk folders and web settings from which images are taken.

    Attributes:
        settings: local folders and mirrors, and the caps of images to fetch.
        fetch: whether and how the web is asked.
        roots: folders that together are the data root.
        takedowns: images that no build may hold.
        retry_failed: ask again for what failed for a reason that passes.
    """

    settings: ImageSettings
    fetch: FetchSettings
    roots: Sequence[Path]
    takedowns: Takedowns
    retry_failed: bool = False


@dataclass(frozen=True)
class LocatedImages:
    """The located images.

    Attributes:
        images: In order of URL; the URL of a local path is its form below the data root.
        fetched: Of the run that asked the web, if one was needed.
        names: That form, of the paths that tables name in another.
    """

    images: list[LocatedImage]
    fetched: FetchReport | None = None
    names: Mapping[str, str] = field(default_factory=dict)


def image_groups(tables: CuratedTables) -> list[list[str]]:
    """Return the image URLs of each product and review that has any."""
    groups: list[list[str]] = []
    for path in (*tables.products.paths, *tables.reviews.paths):
        column = pq.read_table(path, columns=["image_urls"])["image_urls"]
        groups.extend(urls for urls in column.to_pylist() if urls)
    return groups


def locate_images(run: Run, groups: Sequence[Sequence[str]], image_sources: ImageSources) -> LocatedImages:
    """Return a file with the hash of its bytes, or a reason, for each URL.

    Where the recipe fetches, a URL that was not asked for, since an earlier one of its group arrived, is left out.

    Args:
        run: its workspace has the store of fetched images.
        groups: the URLs of each product or review.
        image_sources: where images may come from.
    """
    locator, takedowns = ImageLocator(image_sources.settings, image_sources.roots), image_sources.takedowns
    found = {url: locator.locate(url) for url in sorted({url for urls in groups for url in urls})}
    report = None
    if image_sources.fetch.enabled:
        missing = _without_local_copy(groups, found)
        arrived, report = fetch_images(run, missing, image_sources)
        for url in {url for urls in missing for url in urls}:
            if takedowns.is_url(url):
                continue  # not asked for, but counted
            found.pop(url)
            if url in arrived:
                found[url] = arrived[url]
    names = {url: image.name for url, image in found.items() if image.name not in ("", url)}
    for url in found:
        if takedowns.is_url(url) or takedowns.is_url(names.get(url, url)):
            found[url] = LocatedImage(url, None, TAKEN_DOWN, "the URL is on the takedown list")
    named = {names.get(url, url): replace(image, url=names.get(url, url)) for url, image in found.items()}
    return LocatedImages(_hashed(run, [named[url] for url in sorted(named)], takedowns), report, names)


def _without_local_copy(groups: Sequence[Sequence[str]], found: Found) -> list[tuple[str, ...]]:
    """Return the web addresses of each group that has no image on disk, each such group once, in order."""
    wanted = []
    for urls in groups:
        if not any(found[url].path for url in urls):
            wanted.append(tuple(url for url in urls if found[url].reason == NO_LOCAL_COPY))
    return sorted({urls for urls in wanted if urls})


def fetch_images(
    run: Run, groups: Sequence[Sequence[str]], image_sources: ImageSources
) -> tuple[Found, FetchReport | None]:
    """Fetch each group's images; return a file or a reason for each URL that was asked for.

    Later builds get the outcomes of the first one, until a build with `retry_failed`.
    """
    takedowns, folder = image_sources.takedowns, run.workspace.folder / FETCHED_FOLDER
    shown = [candidate_urls(urls) for urls in groups]
    candidates = [[url for url in urls if not takedowns.is_url(url)] for urls in shown]
    unwanted = {url for urls in groups for url in urls} - {url for urls in shown for url in urls}
    detail = "known to show no product, or a still of a video; not asked for"
    found = {url: LocatedImage(url, None, "placeholder", detail) for url in unwanted}
    if not any(candidates):
        return found, None
    snapshot, report = frozen_snapshot(
        candidates,
        image_sources.fetch,
        folder,
        lambda: _ask_the_web(run, candidates, folder, image_sources),
        depends_on={
            "refused": image_sources.settings.part(CAPS),
            "taken_down": [sorted(takedowns.images), sorted(takedowns.urls)],
        },
        retry_failed=image_sources.retry_failed,
    )
    rows = {row["url"]: row for row in snapshot.to_pylist()}
    asked = {url for urls in groups for url in urls} - unwanted
    return found | _arrived(asked, rows, ImageStore(folder)), report


def _ask_the_web(
    run: Run, candidates: Sequence[Sequence[str]], folder: Path, image_sources: ImageSources
) -> FetchReport:
    """Fetch the first good image of each list of URLs into the store.

    Only where there is another image to ask for is one decoded as soon as it arrives, to know whether the other is
    needed. The stage that measures decodes it again, since it also runs without the web, in processes, and for images
    on disk.
    """
    from mmecinstruct.images.measure import measure_image

    # Fewer than the threads: a large image takes much memory.
    decoders = threading.BoundedSemaphore(cores())

    def rejection_of(content: bytes) -> str | None:
        with decoders:
            return measure_image(content, image_sources.settings).reason or None

    with warnings.catch_warnings():
        # Pillow's warnings about large images and metadata: our own caps apply.
        warnings.simplefilter("ignore")
        return fetch_groups(
            candidates,
            image_sources.fetch,
            folder,
            accept=rejection_of if any(len(urls) > 1 for urls in candidates) else None,
            takedowns=image_sources.takedowns,
            retry_failed=image_sources.retry_failed,
            progress=run.step_progress("fetch"),
        )


def _arrived(asked: Collection[str], rows: Mapping[str, Mapping[str, str]], store: ImageStore) -> Found:
    """Return a file or a reason for each URL. rows: the snapshot by URL."""
    found = {}
    for url in asked:
        # An image is there at full size or, if that is not valid, at the size of its URL.
        tried = [rows[name] for name in dict.fromkeys((full_size_url(url), url)) if name in rows]
        arrivals = [row for row in tried if row["status"] == FETCHED]
        if arrivals:
            row = next((row for row in arrivals if not row["refused"]), arrivals[0])
            found[url] = LocatedImage(url, str(store.path(row["sha256"])), sha256=row["sha256"])
        elif tried:
            found[url] = LocatedImage(url, None, tried[-1]["reason"], tried[-1]["detail"])
    return found


def _hashed(run: Run, located: Sequence[LocatedImage], takedowns: Takedowns) -> list[LocatedImage]:
    """Return images with the hash of their bytes, or a reason where it is on the takedown list."""
    local = [image for image in located if image.path is not None and image.sha256 is None]
    digests = run.file_fingerprints([Path(str(image.path)) for image in local])
    hashes = dict(zip((image.url for image in local), digests, strict=True))
    found = []
    for image in located:
        if image.path is not None:
            image = replace(image, sha256=image.sha256 or hashes[image.url])
            if takedowns.is_image(image.sha256):
                detail = "the image is on the takedown list"
                image = LocatedImage(image.url, None, TAKEN_DOWN, detail, image.sha256)
        found.append(image)
    return found
