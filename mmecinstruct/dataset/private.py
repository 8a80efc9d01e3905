"""Check that a dataset folder publishes no path of a machine, and no URL with a user or a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from mmecinstruct.core.errors import YamlError
from mmecinstruct.core.parquet import read_parts
from mmecinstruct.core.shown import is_private_path, published_url
from mmecinstruct.core.yaml_text import read_yaml
from mmecinstruct.dataset.manifest import AUDIT, CARD, MANIFEST, MAX_TEXT_BYTES, RECIPE, STATISTICS
from mmecinstruct.dataset.problems import ProblemLog
from mmecinstruct.dataset.shards import REJECTIONS_PATH
from mmecinstruct.schemas.rejections import public_rejections
from mmecinstruct.schemas.tables import PUBLISHED_REJECTIONS

# Ends where JSON, YAML or Markdown end it.
_URL = re.compile(r"(?i)\b(?:[a-z][a-z0-9+.-]{1,20}://|file:/)[^\s\"'<>`)\]}|\\]+")
_SHOWN = 200


def private_url(url: str) -> tuple[str, str] | None:
    """Return the problem of a URL or path that is not fit to publish, None where it is."""
    if is_private_path(url):
        return "path_private", f"{published_url(url, _SHOWN)} is an absolute path, or leads out of the folder"
    public = published_url(url, len(url) * 3)
    # A character that is not printable is no secret; it is published as %1B, which is longer.
    if public != url and (url.isprintable() or len(public) < len(url)):
        return "url_secret", f"the URL {public[:_SHOWN]} has a user, a password, a token or a signature"
    return None


def check_private(folder: Path, log: ProblemLog) -> None:
    """Check the folder's texts, recipe and rejections. Samples are checked row by row with `private_url`."""
    for name in (CARD, RECIPE, STATISTICS, AUDIT, MANIFEST):
        file = folder / name
        try:
            if file.stat().st_size > MAX_TEXT_BYTES:
                continue
            text = file.read_text(encoding="utf-8")
        except (OSError, ValueError):
            continue  # reported elsewhere
        for url in dict.fromkeys(match[0].rstrip(".,;:") for match in _URL.finditer(text)):
            if found := private_url(url):
                log.add(name, *found)
    for path in _paths_of_recipe(folder / RECIPE):
        if found := private_url(path):
            log.add(RECIPE, *found)
    _check_rejections(folder, log)


def _paths_of_recipe(file: Path) -> Iterator[str]:
    """Yield values of `path`, `folder` and the like."""
    try:
        content = read_yaml(file, MAX_TEXT_BYTES)
    except YamlError:
        return
    todo = [("", content)]
    while todo:
        key, value = todo.pop()
        if isinstance(value, dict):
            todo += [(str(name), inner) for name, inner in value.items()]
        elif isinstance(value, list):
            todo += [(key, inner) for inner in value]
        elif isinstance(value, str) and key.rstrip("s") in ("path", "folder", "file"):
            yield value


def _check_rejections(folder: Path, log: ProblemLog) -> None:
    if not (folder / REJECTIONS_PATH).is_file():
        return
    row = 0
    try:
        for part in read_parts(folder / REJECTIONS_PATH):
            # A folder of an earlier version has fewer columns.
            names = part.schema.names
            if not pa.schema(one for one in PUBLISHED_REJECTIONS if one.name in names).equals(part.schema):
                return
            public = public_rejections(part)
            for name in names:
                for place, (text, shown) in enumerate(
                    zip(part[name].to_pylist(), public[name].to_pylist(), strict=True)
                ):
                    if text != shown:
                        log.add(
                            REJECTIONS_PATH, "rejection_private", f"{name} should be {shown!r}", row + place
                        )
            row += part.num_rows
    except (OSError, ValueError, pa.ArrowException) as error:
        log.add(REJECTIONS_PATH, "parquet_unreadable", str(error))
