"""Find the local file of an image's URL or path.

Two kinds have a local file: a path below a folder that the recipe names, and a web address below a `mirror`, which maps
the start of an address to a folder. Paths come from untrusted tables, so nothing outside those folders is opened,
neither through `..` nor through a link.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mmecinstruct.core.errors import RecipeError
from mmecinstruct.images.settings import ImageSettings

# The reason of a web address that no mirror holds. A recipe that fetches downloads such addresses.
NO_LOCAL_COPY = "no_local_copy"


@dataclass(frozen=True, slots=True)
class LocatedImage:
    """A URL with its local file, or with the reason why it has none.

    Attributes:
        url: The URL or path as the table has it.
        path: The local file; None where there is none.
        reason: Machine-readable reason of a missing file, else empty.
        detail: The reason for a person.
        sha256: SHA-256 of the file, where it was computed.
        name: What names the image outside: of a path its form below the data root, else the URL.
    """

    url: str
    path: str | None
    reason: str = ""
    detail: str = ""
    sha256: str | None = None
    name: str = ""


class ImageLocator:
    """Locate images below the data roots, by the recipe's mirrors and folders.

    Args:
        settings: The recipe's mirrors and folders.
        roots: The data roots, in the order in which they are searched.

    Raises:
        RecipeError: A mirror's folder is below none of the roots.
    """

    def __init__(self, settings: ImageSettings, roots: Sequence[Path]) -> None:
        self._max_bytes = settings.max_bytes
        self._mirrors: list[tuple[str, list[Path]]] = []
        for mirror in sorted(settings.mirrors, key=lambda mirror: -len(mirror.url)):
            found = [path for root in roots for path in _folders(root, mirror.folder)]
            if not found:
                raise RecipeError(
                    f"images.mirrors: there is no folder '{mirror.folder}' below {', '.join(map(str, roots))}"
                )
            self._mirrors.append((mirror.url, [folder.resolve() for folder in found]))
        folders = [(root, root / folder) for root in roots for folder in settings.folders]
        self._folders = [folder.resolve() for _, folder in folders]
        # The name of a folder is the same below every data root.
        self._names: dict[Path, Path] = {}
        for root, folder in folders:
            self._names.setdefault(folder.resolve(), folder.relative_to(root))

    def locate(self, url: str) -> LocatedImage:
        """Return the local file of a URL or path. A bad URL gives a reason and raises nothing."""
        located = self._located(url)
        return located if located.name else replace(located, name=located.url)

    def _located(self, url: str) -> LocatedImage:
        if not _is_text(url):
            shown = url.encode("utf-8", "backslashreplace").decode()
            return LocatedImage(shown, None, "bad_path", "its name is not UTF-8; rename the file")
        if url.startswith("data:"):
            return LocatedImage(url[:100], None, "data_url", "data URLs are not accepted")
        if "://" not in url[:12]:
            return self._named(_first_file(url, url, self._folders, self._max_bytes), url)
        try:
            parts = urlsplit(url)
        except ValueError:
            # The error's text quotes the URL, which may hold a password.
            return LocatedImage(url, None, "bad_path", "not a web address")
        scheme = parts.scheme.lower()
        if scheme in ("http", "https"):
            for prefix, folders in self._mirrors:
                if url.startswith(prefix):
                    relative = unquote(parts.path)[len(unquote(urlsplit(prefix).path)) :]
                    return _first_file(url, relative, folders, self._max_bytes)
            return LocatedImage(
                url, None, NO_LOCAL_COPY, "a web address below none of the recipe's images.mirrors"
            )
        if scheme == "file":
            path = unquote(parts.path)
            return self._named(_first_file(url, path, self._folders, self._max_bytes), path)
        return LocatedImage(url, None, "unknown_scheme", f"{scheme} addresses are not read")

    def _named(self, located: LocatedImage, path: str) -> LocatedImage:
        """Return the image with its path below the data root as its name, where it is in one of the folders."""
        for folder, below in self._names.items():
            try:
                whole = (folder / path).resolve()
                relative = whole.relative_to(folder)
            # Outside, too long, a loop of links, a NUL byte.
            except (OSError, RuntimeError, ValueError):
                continue
            if located.path not in (None, str(whole)):
                continue
            # A link keeps its own name.
            if not os.path.isabs(path) and ".." not in Path(path).parts:
                relative = Path(path)
            return replace(located, name=(below / relative).as_posix())
        return located


def _is_text(name: str) -> bool:
    """Return whether a name is valid Unicode; file names and JSON strings may hold lone surrogates."""
    return name.isascii() or not any("\ud800" <= character <= "\udfff" for character in name)


def _folders(root: Path, pattern: str) -> list[Path]:
    if Path(pattern) == Path("."):
        return [root]
    return [path for path in sorted(root.glob(pattern)) if path.is_dir()]


def _first_file(url: str, relative: str, folders: Sequence[Path], max_bytes: int) -> LocatedImage:
    outside = False
    for folder in folders:
        try:
            path = (folder / relative).resolve()
            if not path.is_relative_to(folder):
                outside = True
            # The target of a link.
            elif not _is_text(str(path)):
                return LocatedImage(url, None, "bad_path", "it links to a name that is not UTF-8")
            elif path.is_file():
                if not os.access(path, os.R_OK):
                    return LocatedImage(url, None, "unreadable_file", "no permission to read it")
                # Before anything reads it: even its hash would take as long as the file is large.
                size = path.stat().st_size
                if size > max_bytes:
                    return LocatedImage(url, None, "too_many_bytes", f"{size} bytes, at most {max_bytes}")
                return LocatedImage(url, str(path))
        # A name that is too long, or a folder without permission.
        except OSError as error:
            return LocatedImage(url, None, "bad_path", error.strerror or type(error).__name__)
        except RuntimeError:
            return LocatedImage(url, None, "bad_path", "a loop of symbolic links")
        # A NUL byte.
        except ValueError as error:
            return LocatedImage(url, None, "bad_path", str(error))
    if outside:
        return LocatedImage(url, None, "outside_folders", "the path is outside the recipe's folders")
    return LocatedImage(url, None, "dead_path", "there is no such file")
