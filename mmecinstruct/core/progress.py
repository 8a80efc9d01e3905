"""The type of progress callbacks."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str, int, int], None]  # stage, finished work items, all work items
