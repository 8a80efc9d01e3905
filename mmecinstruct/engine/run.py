"""Run stages in a workspace, one after another or side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from mmecinstruct.core.errors import MmecError, RecipeError, SourceError
from mmecinstruct.core.progress import Report
from mmecinstruct.engine.executors import Executor
from mmecinstruct.engine.stage import Files, Stage, StageOutput
from mmecinstruct.engine.stage_folder import DamagedOutput
from mmecinstruct.engine.workspace import Workspace

Result = TypeVar("Result")


def until_sound(work: Callable[[], Result]) -> tuple[Result, list[str]]:
    """Do work anew as long as it finds a damaged file of a finished stage, whose stage then runs again.

    Args:
        work: Begins with a new `Run`; what is finished it finds in the workspace.

    Returns:
        The result, and a warning for each damaged file.

    Raises:
        DamagedOutput: A file was damaged a second time.
    """
    damaged: dict[Path, str] = {}
    while True:
        try:
            return work(), list(damaged.values())
        except DamagedOutput as error:
            if error.file in damaged:
                raise
            damaged[error.file] = (
                f"{error.file} was damaged and has been made anew; check the disk of the workspace"
            )


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
        self._read: list[Path] = []

    def run(self, stage: Stage) -> StageOutput:
        """Return the output of a stage, running its missing work items."""
        return self.run_all([stage])[0]

    def run_all(self, stages: Sequence[Stage]) -> list[StageOutput]:
        """Return the outputs of stages that do not need each other, running them side by side."""
        outputs = self.workspace.run_stages(stages, self.executor, self.progress)
        self.outputs += outputs
        return outputs

    def reads(self, *files: Files) -> None:
        """Note files of stages that a step reads which is no stage; `verify_read` compares their hashes."""
        self._read += [path for each in files for path in each.paths]

    def verify_read(self, more: Sequence[Path] = ()) -> None:
        """Compare the hashes of the files noted by `reads`, and of more. Raises DamagedOutput."""
        self.workspace.verify([*self._read, *more], self.executor)

    @contextmanager
    def damage_told(self) -> Iterator[None]:
        """Raise DamagedOutput instead of what a reader says of a damaged file of a finished stage."""
        try:
            yield
        except (RecipeError, SourceError):
            # The cause may be a file that a stage wrote, such as an image of the sample shop.
            self.verify_read()
            raise
        except MmecError:
            raise
        except Exception:
            self.verify_read([output.folder / path for output in self.outputs for path in output.hashes])
            raise

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
