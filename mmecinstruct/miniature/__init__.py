"""Every publisher's files as the recipe `paper` needs them, drawn from a seed, at any scale.

The built-in shop (`mmecinstruct.sample_shop`) is small and has pictures; a miniature has none, but hundreds of
thousands of products and millions of reviews in a few minutes, with the dirt that the real files have.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

__all__ = ["write_miniature"]


def write_miniature(
    folder: Path,
    scale: float,
    seed: int = 0,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Write the raw files below `folder`, those of the same names replaced; return each file's bytes of text.

    folder: the raw folder, which is made where it is missing. scale: 1 gives the publishers' own numbers of records
    (about 35 GB of text), 0.01 a hundredth. The same seed and scale give the same bytes with any number of workers.
    progress: called with (finished files, all files). Returns the uncompressed bytes by the file's name below the
    folder; of Parquet files their size.

    Raises RecipeError for a scale out of range.
    """
    from mmecinstruct.miniature.files import write_files
    from mmecinstruct.miniature.volumes import volumes_at

    return write_files(folder, volumes_at(scale), seed, workers=workers, progress=progress)
