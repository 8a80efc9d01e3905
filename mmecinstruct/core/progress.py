"""The type of progress callbacks."""

from __future__ import annotations

from collections.abc import Callable

# Step, finished work items, all work items.
Report = Callable[[str, int, int], None]
