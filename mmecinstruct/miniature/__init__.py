"""Every publisher's files as the recipe `paper` needs them, drawn from a seed, at any scale.

The built-in shop (`mmecinstruct.sample_shop`) is small and has pictures; a miniature has none, but hundreds of
thousands of products and millions of reviews in a few minutes, with the dirt that the real files have.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

__all__ = ["MARK", "write_miniature"]

MARK = "miniature.json"  # tells a folder of drawn files from one of files that somebody has fetched


def write_miniature(
    folder: Path,
    scale: float,
    seed: int = 0,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Write the raw files below `folder`, those of an earlier miniature replaced; return each file's bytes of text.

    folder: the raw folder, which is made where it is missing. scale: 1 gives the publishers' own numbers of records
    (some 33 GB of text), 0.01 a hundredth. The same seed and scale give the same bytes with any number of workers.
    progress: called with (finished files, all files). Returns the uncompressed bytes by the file's name below the
    folder; of Parquet files their size.

    Raises RecipeError for a scale out of range, SourceError where the folder has a file of such a name that no
    miniature wrote: a publisher's own is never replaced.
    """
    from mmecinstruct.errors import SourceError
    from mmecinstruct.hashing import canonical_json
    from mmecinstruct.miniature.files import file_names, write_files
    from mmecinstruct.miniature.volumes import volumes_at
    from mmecinstruct.workspace import write_atomically

    volumes = volumes_at(scale)
    there = [name for name in file_names(volumes) if (folder / name).exists()]
    if there and not (folder / MARK).exists():
        raise SourceError(
            f"{folder} has {there[0]}, which no miniature wrote (there is no {MARK}); give another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / MARK, (canonical_json({"scale": scale, "seed": seed}) + "\n").encode())
    return write_files(folder, volumes, seed, workers=workers, progress=progress)
