"""The publishers' files that the recipe `paper` needs, drawn from a seed, at any scale.

The built-in shop (`mmecinstruct.synthetic.shop`) is small and has images; a miniature has none, but hundreds of
thousands of products and millions of reviews in a few minutes, with the dirt that the real files have.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmecinstruct.core.errors import SourceError
from mmecinstruct.synthetic.raw_files.volumes import volumes_at

__all__ = ["write_miniature"]


def write_miniature(
    folder: Path,
    scale: float,
    seed: int = 0,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Write the raw files below `folder`, those of another miniature replaced; return each file's bytes of text.

    folder: the raw folder, which is made where it is missing. scale: 1 gives the publishers' own numbers of records
    (some 30 GB of text), 0.01 a hundredth. The same seed and scale give the same bytes with any number of workers.
    Files that an earlier call with them has drawn are kept as they are. progress: called with (finished files, all
    files). Returns the uncompressed bytes by the file's name below the folder; of Parquet files their size.

    Raises RecipeError for a scale out of range, SourceError where the folder cannot be written or has a file of such a
    name that no miniature wrote: a publisher's own is never replaced.
    """
    from mmecinstruct.sources.synthetic_files import SyntheticFiles
    from mmecinstruct.synthetic.raw_files.files import file_names, write_files

    volumes = volumes_at(scale)
    names = file_names(volumes)
    drawn = SyntheticFiles(folder)
    if foreign := drawn.foreign(names):
        raise SourceError(
            f"{folder / foreign[0]}: no miniature wrote this file, so it is not replaced; give another folder, or "
            "move it away"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = drawn.begin(names, scale, seed)
        return write_files(
            folder, volumes, seed, workers=workers, progress=progress, there=there, done=drawn.put
        )
    except OSError as error:
        named = f" ({error.filename})" if error.filename else ""
        raise SourceError(
            f"{folder} cannot be written: {error.strerror or error}{named}; mend it or give another folder, and run "
            "again: finished files are kept"
        ) from error
