"""What a folder remembers of the files that a miniature drew into it.

So no publisher's own file is taken for a drawn one and replaced, no drawn one for its publisher's, and a drawing that
was interrupted goes on with the files that are missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mmecinstruct.core.files import write_atomically

MARK = "miniature.json"  # the record's name in the folder
DRAWING_VERSION = 1  # raised whenever the same seed and scale draw other bytes than before


class SyntheticFiles:
    """The files that stand in a folder's record: of each its bytes on disk and of text, None while it is drawn."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kind: dict[str, Any] = {}
        self._sizes: dict[str, tuple[int, int] | None] = {}
        try:
            content = json.loads((folder / MARK).read_text(encoding="utf-8"))
            sizes = {name: None if size is None else _two(size) for name, size in content["files"].items()}
            self._kind, self._sizes = {key: content[key] for key in ("version", "scale", "seed")}, sizes
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            pass  # no record, or none that can be read: then nothing that lies there counts as drawn

    def among(self, names: Iterable[str]) -> list[str]:
        """Return which of the names stand for files that a miniature drew and nobody has replaced since."""
        return [name for name in names if name in self._sizes and self._is_as_drawn(name)]

    def foreign(self, names: Iterable[str]) -> list[str]:
        """Return which of the names stand for files that no miniature drew."""
        there = [name for name in names if (self._folder / name).exists()]
        drawn = set(self.among(there))
        return [name for name in there if name not in drawn]

    def begin(self, names: Sequence[str], scale: float, seed: int) -> dict[str, int]:
        """Save that files are being drawn; return those that are there already, with their bytes of text."""
        kind = {"version": DRAWING_VERSION, "scale": scale, "seed": seed}
        there = set(self.among(names)) if kind == self._kind else set()
        found = {name: size[1] for name in names if name in there and (size := self._sizes[name]) is not None}
        self._kind = kind
        self._sizes.update({name: None for name in names if name not in found})
        self._save()
        return found

    def put(self, name: str, text: int) -> None:
        """Save that a file is there, whole, with so many bytes of text."""
        self._sizes[name] = ((self._folder / name).stat().st_size, text)
        self._save()

    def _is_as_drawn(self, name: str) -> bool:
        size, path = self._sizes[name], self._folder / name
        # Of one that is being drawn there is the old or the new file: both are drawn.
        return path.is_file() and (size is None or size[0] == path.stat().st_size)

    def _save(self) -> None:
        content = {**self._kind, "files": {name: self._sizes[name] for name in sorted(self._sizes)}}
        write_atomically(self._folder / MARK, (json.dumps(content, indent=1) + "\n").encode())


def _two(values: Any) -> tuple[int, int]:
    on_disk, text = values
    return int(on_disk), int(text)
