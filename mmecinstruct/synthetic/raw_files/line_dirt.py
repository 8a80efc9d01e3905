"""Lines that are no records: blank lines, truncated lines, lines that are not UTF-8."""

from __future__ import annotations

import numpy as np

from mmecinstruct.synthetic.raw_files.fragments import Ids
from mmecinstruct.synthetic.raw_files.hash_draws import Numbers
from mmecinstruct.synthetic.raw_files.world import World

# Blank, truncated, not UTF-8.
_SHARES = (1 / 200_000, 1 / 200_000, 1 / 400_000)
# Each kind occurs once early in a file, so that the smallest file has all of them.
_FIRST_AT = 40


class LineDirt:
    """Dirty lines before the records of one file."""

    def __init__(self, world: World, file: str, start: str, rest: str) -> None:
        """Add the dirty lines of a file to the world's fragments.

        Args:
            world: The world of the file.
            file: The purpose of the file's hash draws.
            start: The start of the file's lines, up to a quote.
            rest: The continuation of the truncated line.
        """
        self._draws, self._file = world.draws, file
        self._lines = world.fragments.add_all(
            [b"", b"\n", f"{start}{rest}\n".encode(), start.encode() + b'caf\xe9"]}\n']
        )

    def before(self, records: Numbers) -> Ids:
        """Return the dirty line before each record, mostly none."""
        kinds = self._draws.kinds(_SHARES, f"{self._file} lines", records)
        early = (records - _FIRST_AT) // 10 + 1
        return self._lines[np.where((records % 10 == 0) & (early > 0) & (early < 4), early, kinds)]
