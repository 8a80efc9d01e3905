"""Fetch publishers' raw files into the raw folder: resumed, checked, each once. Or find them where a user put them."""

from mmecinstruct.pull.plan import PlannedFile, PullPlan, choose, hand_lines
from mmecinstruct.pull.progress import Listener, show_pull
from mmecinstruct.pull.report import PulledFile, PullReport
from mmecinstruct.pull.run import plan_pull, pull

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
