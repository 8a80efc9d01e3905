"""Run stages in a workspace, one after another or side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mmecinstruct.core.errors import SourceError
from mmecinstruct.core.progress import Report
from mmecinstruct.engine.executors import Executor
from mmecinstruct.engine.stage import Stage, StageOutput
from mmecinstruct.engine.workspace import Workspace


class Run:
    """A workspace with workers, and the outputs of the stages that ran so far.

    Args:
        workspace: where finished stages are kept; the caller holds its lock.
        executor: what works on the items of a stage.
        progress: called with the stage, its finished work items and all of them.
        workers: processes on this machine; also threads for hashing files.
    """

    def __init__(
        self, workspace: Workspace, executor: Executor, progress: Report | None = None, workers: int = 1
    ) -> None:
        self.workspace = workspace
        self.executor = executor
        self.progress = progress
        self.workers = workers
        self.outputs: list[StageOutput] = []

    def run(self, stage: Stage) -> StageOutput:
        """Return the output of a stage, running its missing work items."""
        return self.run_all([stage])[0]

    def run_all(self, stages: Sequence[Stage]) -> list[StageOutput]:
        """Return the outputs of stages that do not need each other, running them side by side."""
        outputs = self.workspace.run_stages(stages, self.executor, self.progress)
        self.outputs += outputs
        return outputs

    def step_progress(self, step: str) -> Callable[[int, int], None] | None:
        """Return the progress callback, called with (done, all), of a step that is no stage."""
        progress = self.progress
        return None if progress is None else lambda done, total: progress(step, done, total)

    def file_fingerprints(self, paths: Sequence[Path]) -> list[str]:
        """Return the SHA-256 of files outside the workspace. Raises SourceError where one cannot be read."""
        try:
            return self.workspace.file_fingerprints(paths, self.workers)
        except OSError as error:
            raise SourceError(f"{error.filename}: cannot be read: {error.strerror}") from error
