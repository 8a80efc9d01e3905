"""Download publishers' raw files into the raw folder: resumed, checked, each once. Files that are there are checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmecinstruct.core.lazy import lazy_names

if TYPE_CHECKING:
    from mmecinstruct.web.raw_files.plan import PlannedFile, PullPlan, choose, hand_lines
    from mmecinstruct.web.raw_files.progress import Listener, show_pull
    from mmecinstruct.web.raw_files.report import PulledFile, PullReport
    from mmecinstruct.web.raw_files.run import plan_pull, pull

__all__ = [
    "Listener",
    "PlannedFile",
    "PullPlan",
    "PullReport",
    "PulledFile",
    "choose",
    "hand_lines",
    "plan_pull",
    "pull",
    "show_pull",
]

# The settings of this room are read without its HTTP libraries.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "PlannedFile": "mmecinstruct.web.raw_files.plan",
            "PullPlan": "mmecinstruct.web.raw_files.plan",
            "choose": "mmecinstruct.web.raw_files.plan",
            "hand_lines": "mmecinstruct.web.raw_files.plan",
            "Listener": "mmecinstruct.web.raw_files.progress",
            "show_pull": "mmecinstruct.web.raw_files.progress",
            "PulledFile": "mmecinstruct.web.raw_files.report",
            "PullReport": "mmecinstruct.web.raw_files.report",
            "plan_pull": "mmecinstruct.web.raw_files.run",
            "pull": "mmecinstruct.web.raw_files.run",
        },
    )
