"""Find the local file that a picture's URL or path stands for.

Two kinds have one: a path below a folder that the recipe names, and a web address below a `mirror`, a folder
that stands for the start of an address. Paths come from untrusted tables, so nothing outside those folders is
ever opened, through `..` or a link either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mmecinstruct.errors import RecipeError
from mmecinstruct.recipe import ImageSettings


@dataclass(frozen=True, slots=True)
class LocatedPicture:
    """A URL with its local file, or with the reason why it has none."""

    url: str
    path: str | None
    reason: str = ""
    detail: str = ""


class PictureLocator:
    """Locate pictures below the data roots, by the recipe's mirrors and folders."""

    def __init__(self, settings: ImageSettings, roots: Sequence[Path]) -> None:
        self._mirrors: list[tuple[str, list[Path]]] = []
        for mirror in sorted(settings.mirrors, key=lambda mirror: -len(mirror.url)):
            folders = [folder for root in roots for folder in sorted(root.glob(mirror.folder))]
            if not folders:
                raise RecipeError(
                    f"images.mirrors: there is no folder '{mirror.folder}' below {', '.join(map(str, roots))}"
                )
            self._mirrors.append((mirror.url, [folder.resolve() for folder in folders]))
        self._folders = [(root / folder).resolve() for root in roots for folder in settings.folders]

    def locate(self, url: str) -> LocatedPicture:
        """Return the local file of a URL or path; never raises for a bad one."""
        scheme = urlsplit(url).scheme.lower() if "://" in url[:12] or url.startswith("data:") else ""
        if scheme == "data":
            return LocatedPicture(url[:100], None, "data_url", "data URLs are refused")
        if scheme in ("http", "https"):
            for prefix, folders in self._mirrors:
                if url.startswith(prefix):
                    relative = unquote(urlsplit(url).path)[len(unquote(urlsplit(prefix).path)) :]
                    return _first_file(url, relative, folders)
            return LocatedPicture(
                url, None, "no_local_copy", "a web address below none of the recipe's images.mirrors"
            )
        if scheme == "file":
            return _first_file(url, unquote(urlsplit(url).path), self._folders)
        if scheme:
            return LocatedPicture(url, None, "unknown_scheme", f"{scheme} addresses are not read")
        return _first_file(url, url, self._folders)


def _first_file(url: str, relative: str, folders: Sequence[Path]) -> LocatedPicture:
    outside = False
    for folder in folders:
        try:
            path = (folder / relative).resolve()
            if not path.is_relative_to(folder):
                outside = True
            elif path.is_file():
                return LocatedPicture(url, str(path))
        except (OSError, ValueError) as error:  # name too long, NUL byte, loop of links
            return LocatedPicture(url, None, "bad_path", str(error))
    if outside:
        return LocatedPicture(url, None, "outside_folders", "the path leads out of the recipe's folders")
    return LocatedPicture(url, None, "dead_path", "there is no such file")
