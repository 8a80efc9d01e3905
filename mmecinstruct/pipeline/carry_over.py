"""Take over into a new dataset folder what no build wrote: files of people, and files that they changed."""

from __future__ import annotations

import filecmp
import glob
import itertools
import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.dataset.card_parts import CardParts, part_hashes
from mmecinstruct.dataset.manifest import CARD, MANIFEST, read_card, read_manifest
from mmecinstruct.dataset.shards import looks_like_shard


class CarryOver:
    """What is taken over from the older folder in the place of a new one.

    Attributes:
        card: The older card, whose text of people the new card keeps; None where there is none or it is not valid.
        renamed: Files that are kept under another name: path in the older folder -> path in the new one.
    """

    def __init__(self, out: Path) -> None:
        self.card: CardParts | None = None
        self.renamed: dict[str, str] = {}
        self._written: Mapping[str, str | None] = {}
        self._done: set[str] = set()
        try:
            manifest = read_manifest(out)
        except DatasetError:
            # There is no older dataset.
            return
        card_now = ""
        # A card that is not valid, or of which a generated part was edited, is kept under another name. A card of an
        # earlier version does not tell.
        with suppress(OSError, ValueError):
            self.card = read_card(out)
            if part_hashes(self.card) == manifest.card:
                card_now = sha256_file(out / CARD)
        self._written = {
            **{entry.path: entry.sha256 for entry in manifest.files},
            MANIFEST: None,
            CARD: card_now,
        }

    def __call__(self, old: Path, new: Path) -> None:
        """Take over everything of the old folder that the new one lacks; what was taken over before stays.

        Raises:
            OSError: A file cannot be read or written.
        """
        self._root = new
        self._take_folder(old, new, "")

    def warnings(self) -> list[str]:
        """Return a warning for each file that is kept under another name."""
        return [
            f"{path} {self._reason(path)}: what it held is kept as {kept}"
            for path, kept in self.renamed.items()
        ]

    def _reason(self, path: str) -> str:
        if path == CARD:
            return "is the card of an earlier version, or a generated part of it was edited"
        return "was changed since its build" if path in self._written else "is a name for files of builds"

    def _take_folder(self, old: Path, new: Path, prefix: str) -> None:
        for entry in sorted(os.scandir(old), key=lambda entry: entry.name):
            path = prefix + entry.name
            source = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                target = new / entry.name
                if path in self.renamed:
                    target = self._root / self.renamed[path]
                elif os.path.lexists(target) and (target.is_symlink() or not target.is_dir()):
                    target = self._other_name(source, target, path)
                if not any(source.iterdir()):
                    target.mkdir(parents=True, exist_ok=True)
                self._take_folder(source, target, f"{path}/")
            elif path not in self._done:
                self._done.add(path)
                if self._is_ours(source, path):
                    continue
                target = new / entry.name
                if path in self._written or os.path.lexists(target) or looks_like_shard(path):
                    if _is_kept(source):
                        continue
                    target = self._other_name(source, target, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                _take(source, target)

    def _is_ours(self, file: Path, path: str) -> bool:
        """Return whether a build wrote the file and nobody changed it."""
        if path not in self._written:
            return False
        expected = self._written[path]
        return expected is None or (file.is_file() and sha256_file(file) == expected)

    def _other_name(self, source: Path, target: Path, path: str) -> Path:
        """Return a name that is free beside both paths. No config of a card takes it for a shard."""
        names = (f"{target.name}.kept{number if number > 1 else ''}" for number in itertools.count(1))
        free = (
            name
            for name in names
            if not any(os.path.lexists(beside.with_name(name)) for beside in (source, target))
        )
        found = target.with_name(next(free))
        self.renamed[path] = found.relative_to(self._root).as_posix()
        return found


def _is_kept(file: Path) -> bool:
    """Return whether an earlier build has kept the same content under another name."""
    if file.is_symlink() or not file.is_file():
        return False
    kept = [one for one in file.parent.glob(f"{glob.escape(file.name)}.kept*") if one.is_file()]
    return any(filecmp.cmp(file, one, shallow=False) for one in kept)


def _take(source: Path, target: Path) -> None:
    """Make the same file at another place of the file system; a link stays a link."""
    if source.is_symlink():
        target.symlink_to(os.readlink(source))
        return
    try:
        os.link(source, target)
    except OSError:
        # A file system without hard links.
        if not stat.S_ISREG(source.lstat().st_mode):
            raise
        shutil.copy2(source, target)
