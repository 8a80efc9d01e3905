"""A person's own images: read within the project's limits and normalised as a dataset's images are."""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from caslie_model.data.images import EmbeddedImage, SampleImage
from caslie_model.errors import ConfigError
from mmecinstruct.images.locate import NO_LOCAL_COPY, ImageLocator, LocatedImage
from mmecinstruct.images.settings import ImageSettings
from mmecinstruct.web.images import FETCHED, ImageStore, candidate_urls, fetch_groups
from mmecinstruct.web.images.settings import FetchSettings

# Large images take much memory.
_DECODERS = 2
_NOT_FETCHED = "not_fetched"


class FoundImage(NamedTuple):
    """The first image of a product that can be read, or why there is none."""

    image: EmbeddedImage | None
    reason: str


def embedded_image(content: bytes, role: str, settings: ImageSettings | None = None) -> FoundImage:
    """Return an image as datasets embed it: upright, RGB, at most as large as `mmec build` leaves it.

    Args:
        content: The bytes of a file.
        role: The item that it shows.
        settings: Its limits; None: those of a build.

    Returns:
        The image, or the reason why it cannot be read.
    """
    from mmecinstruct.images.measure import measure_image

    with warnings.catch_warnings():
        # Pillow's warnings about large images: our own limits apply.
        warnings.simplefilter("ignore")
        measured = measure_image(content, settings or ImageSettings())
    if measured.jpeg is None:
        return FoundImage(None, f"{measured.reason}: {measured.detail}")
    key = hashlib.sha256(measured.jpeg).hexdigest()
    return FoundImage(EmbeddedImage(SampleImage(role, key), measured.jpeg), "")


def read_own_images(given: Sequence[str], roles: Sequence[str]) -> tuple[EmbeddedImage, ...]:
    """Return images from files that are named by `FILE` or `ROLE=FILE`; without a role they take the next free one.

    Args:
        given: Files, with or without roles.
        roles: The roles that a question has, in order.

    Returns:
        The images in the order of the roles.

    Raises:
        ConfigError: A file is missing or no image, or the question has no such role left.
    """
    files: dict[str, str] = {}
    unnamed: list[str] = []
    for text in given:
        role, separator, file = text.partition("=")
        if not separator or role.strip() not in roles:
            unnamed.append(text)
        elif role.strip() in files:
            raise ConfigError(f"image {text}: '{role.strip()}' has an image already; give one for each")
        else:
            files[role.strip()] = file
    free = [role for role in roles if role not in files]
    if len(unnamed) > len(free):
        raise ConfigError(
            f"image {unnamed[len(free)]}: the question shows {len(roles)} at most, of {', '.join(roles)}; leave it "
            "out, or write ROLE=FILE"
        )
    files |= dict(zip(free, unnamed, strict=False))
    return tuple(_read_file(files[role], role, roles) for role in roles if role in files)


def _read_file(name: str, role: str, roles: Sequence[str]) -> EmbeddedImage:
    settings = ImageSettings()
    path = Path(name)
    try:
        if not path.is_file():
            before, separator, _ = name.partition("=")
            role_hint = f", and the question shows no '{before}', but {', '.join(roles)}" if separator else ""
            raise ConfigError(f"image {name}: there is no such file{role_hint}")
        if (size := path.stat().st_size) > settings.max_bytes:
            raise ConfigError(f"image {name}: {size:,} bytes, at most {settings.max_bytes:,}")
        found = embedded_image(path.read_bytes(), role, settings)
    except (OSError, ValueError) as error:
        raise ConfigError(f"image {name}: cannot be read: {error}") from error
    if found.image is None:
        raise ConfigError(f"image {name}: {found.reason}; give a JPEG, PNG or WebP file")
    return found.image


class OwnImages:
    """The images that a table names: files beside it, and web addresses, which are fetched where that is allowed."""

    def __init__(self, settings: ImageSettings, fetch: FetchSettings, root: Path, folder: Path) -> None:
        """Prepare to find images.

        Args:
            settings: Folders, mirrors and limits.
            fetch: Whether and how images are requested.
            root: The folder that paths are relative to and may not leave.
            folder: Where fetched images are stored.
        """
        self._settings, self._fetch, self._folder = settings, fetch, folder
        self._locator = ImageLocator(settings, [root.resolve()])
        self._fetched: dict[str, LocatedImage] = {}
        self._located = cache(self._locator.locate)

    def fetch(self, images: Sequence[Sequence[str]]) -> None:
        """Request the web addresses among the images of many products, each once; what was fetched is kept.

        Args:
            images: Paths and web addresses of each product, the best first.
        """
        web = [[url for url in urls if self._located(url).reason == NO_LOCAL_COPY] for urls in images]
        groups = [candidate_urls(urls) for urls in web if urls]
        if not groups or not self._fetch.enabled:
            return
        decoders = threading.BoundedSemaphore(_DECODERS)

        def rejection_of(content: bytes) -> str | None:
            with decoders:
                return embedded_image(content, "", self._settings).reason or None

        report = fetch_groups(groups, self._fetch, self._folder, wanted=1, accept=rejection_of)
        store = ImageStore(self._folder)
        for row in report.snapshot.to_pylist():
            if row["status"] == FETCHED:
                found = LocatedImage(row["url"], str(store.path(row["sha256"])))
            else:
                found = LocatedImage(row["url"], None, row["reason"], row["detail"])
            self._fetched[row["url"]] = found

    def find(self, urls: Sequence[str], role: str) -> FoundImage:
        """Return the first image of a product that can be read.

        Args:
            urls: Its paths and web addresses, the best first.
            role: The item that it shows.

        Returns:
            The image, or why the first of them cannot be read; both are empty for a product without images.
        """
        reason = ""
        for url in urls:
            located = self._located(url)
            if located.reason == NO_LOCAL_COPY:
                tried = [self._fetched[name] for name in candidate_urls([url]) if name in self._fetched]
                located = next(
                    (each for each in tried if each.path), tried[-1] if tried else self._unasked(url)
                )
            if located.path is None:
                reason = reason or f"{located.reason}: {located.detail}"
                continue
            try:
                found = embedded_image(Path(located.path).read_bytes(), role, self._settings)
            except OSError as error:
                found = FoundImage(None, f"unreadable_file: {error.strerror}")
            if found.image is not None:
                return found
            reason = reason or found.reason
        return FoundImage(None, reason)

    def _unasked(self, url: str) -> LocatedImage:
        detail = "a web address, and nobody allowed to fetch it: name a contact for the requests"
        return LocatedImage(url, None, _NOT_FETCHED, detail)
