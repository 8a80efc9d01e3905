"""The type of progress callbacks."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str, int, int], None]  # step, what is done of it, what there is to do
