"""Synthetic versions of the publishers' files that the recipe `paper` needs, from a seed, at any scale.

The built-in shop (`mmecinstruct.synthetic.shop`) is small and has images. A miniature has no images, but hundreds of
thousands of products and millions of reviews within minutes, with the dirt of the real files.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmecinstruct.core.disk_errors import explained
from mmecinstruct.core.errors import SourceError
from mmecinstruct.core.output_folder import MINIATURE, check_output
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
    """Write the raw files below `folder`; files of another miniature are replaced.

    The same seed and scale give the same bytes with any number of workers. Files that an earlier call with the same
    seed and scale has written are kept.

    Args:
        folder: The raw folder; it is created where it is missing.
        scale: 1 gives the publishers' own numbers of records (some 30 GB of text), 0.01 a hundredth.
        seed: The seed of all hash draws.
        workers: The number of processes.
        progress: Called with (finished files, all files).

    Returns:
        The uncompressed bytes by file name below the folder; for Parquet files their size.

    Raises:
        RecipeError: The scale is out of range.
        SourceError: The folder cannot be written, or has a file of such a name that is not synthetic. A publisher's
            file is never replaced.
        OutputError: Another command made the folder, or it cannot be written.
    """
    from mmecinstruct.sources.synthetic_files import SyntheticFiles
    from mmecinstruct.synthetic.raw_files.files import file_names, write_files

    volumes = volumes_at(scale)
    names = file_names(volumes)
    check_output(folder, MINIATURE)
    record = SyntheticFiles(folder)
    if foreign := record.foreign(names):
        raise SourceError(
            f"{folder / foreign[0]}: no miniature wrote this file, so it is not replaced; give another folder, or "
            "move it away"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        existing = record.begin(names, scale, seed)
        return write_files(
            folder, volumes, seed, workers=workers, progress=progress, existing=existing, on_done=record.put
        )
    except OSError as error:
        raise SourceError(
            f"out={folder} cannot be written: {explained(error)}, and run again: finished files are kept"
        ) from error
