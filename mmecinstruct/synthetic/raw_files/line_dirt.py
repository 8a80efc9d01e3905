"""Lines that are no records: blank ones, ones that break off, ones that are not UTF-8."""

from __future__ import annotations

import numpy as np

from mmecinstruct.synthetic.raw_files.draws import Numbers
from mmecinstruct.synthetic.raw_files.fragments import Ids
from mmecinstruct.synthetic.raw_files.world import World

_SHARES = (1 / 200_000, 1 / 200_000, 1 / 400_000)  # blank, broken off, not UTF-8
_FIRST_AT = 40  # each kind stands early in a file once, so that the smallest file has them


class LineDirt:
    """What stands before the lines of one file.

    start: how its lines begin, up to a quote; rest: how the line that breaks off goes on.
    """

    def __init__(self, world: World, file: str, start: str, rest: str) -> None:
        self._draws, self._file = world.draws, file
        self._lines = world.fragments.add_all(
            [b"", b"\n", f"{start}{rest}\n".encode(), start.encode() + b'caf\xe9"]}\n']
        )

    def before(self, records: Numbers) -> Ids:
        """Return what stands before each record, mostly nothing."""
        kinds = self._draws.kinds(_SHARES, f"{self._file} lines", records)
        early = (records - _FIRST_AT) // 10 + 1
        return self._lines[np.where((records % 10 == 0) & (early > 0) & (early < 4), early, kinds)]
