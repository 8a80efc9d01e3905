"""Download publishers' raw files into the raw folder: resumed, checked, each once. Files that are there are checked."""

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
