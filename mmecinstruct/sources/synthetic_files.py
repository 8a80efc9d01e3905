"""The record of synthetic files in a folder, written by `mmec miniature`.

The record keeps a publisher's own file from being replaced by a synthetic one, and a synthetic file from being taken
for its publisher's. It also lets an interrupted `mmec miniature` continue with the missing files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mmecinstruct.core.files import write_atomically

# The record's name in the folder.
RECORD = "miniature.json"
# Raised whenever the same seed and scale give other bytes than before.
GENERATOR_VERSION = 2


class SyntheticFiles:
    """The synthetic files of a folder: of each the bytes on disk and of text, None while the file is being written."""

    def __init__(self, folder: Path) -> None:
        """Read the record of a folder, if there is one."""
        self._folder = folder
        self._kind: dict[str, Any] = {}
        self._sizes: dict[str, tuple[int, int] | None] = {}
        try:
            content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            sizes = {name: None if size is None else _two(size) for name, size in content["files"].items()}
            self._kind, self._sizes = {key: content[key] for key in ("version", "scale", "seed")}, sizes
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            # No record, or none that can be read: no file in the folder counts as synthetic.
            pass

    def among(self, names: Iterable[str]) -> list[str]:
        """Return which of the names are synthetic files that nobody has replaced since."""
        return [name for name in names if name in self._sizes and self._is_unchanged(name)]

    def foreign(self, names: Iterable[str]) -> list[str]:
        """Return which of the names are existing files that are not synthetic."""
        there = [name for name in names if (self._folder / name).exists()]
        synthetic = set(self.among(there))
        return [name for name in there if name not in synthetic]

    def begin(self, names: Sequence[str], scale: float, seed: int) -> dict[str, int]:
        """Record that files are about to be written; return those that exist already, with their bytes of text.

        Args:
            names: All files of the miniature, as paths below the folder.
            scale: The scale of the miniature.
            seed: The seed of the miniature.
        """
        kind = {"version": GENERATOR_VERSION, "scale": scale, "seed": seed}
        there = set(self.among(names)) if kind == self._kind else set()
        found = {name: size[1] for name in names if name in there and (size := self._sizes[name]) is not None}
        self._kind = kind
        self._sizes.update({name: None for name in names if name not in found})
        self._save()
        return found

    def put(self, name: str, text: int) -> None:
        """Record that a file is complete.

        Args:
            name: The file's path below the folder.
            text: The uncompressed bytes of the file.
        """
        self._sizes[name] = ((self._folder / name).stat().st_size, text)
        self._save()

    def _is_unchanged(self, name: str) -> bool:
        size, path = self._sizes[name], self._folder / name
        # While a file is being written, the old or the new one is there: both are synthetic.
        return path.is_file() and (size is None or size[0] == path.stat().st_size)

    def _save(self) -> None:
        content = {**self._kind, "files": {name: self._sizes[name] for name in sorted(self._sizes)}}
        write_atomically(self._folder / RECORD, (json.dumps(content, indent=1) + "\n").encode())


def _two(values: Any) -> tuple[int, int]:
    on_disk, text = values
    return int(on_disk), int(text)
