"""One build's fixed parts, and its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any

from mmecinstruct.auditing import AuditReport
from mmecinstruct.core.duckdb import Budget
from mmecinstruct.core.errors import SourceError
from mmecinstruct.core.progress import Report
from mmecinstruct.engine.executors import Executor
from mmecinstruct.engine.stage import Shard, StageOutput, StageWork
from mmecinstruct.engine.versions import KEPT_LIBRARIES, STAGE_VERSIONS
from mmecinstruct.engine.workspace import Workspace
from mmecinstruct.recipe import Recipe
from mmecinstruct.web.images import FetchReport, load_takedowns


@dataclass
class BuildReport:
    """What a build did, for a person and for statistics.json."""

    out: Path
    up_to_date: bool = False
    stages: list[dict[str, Any]] = field(default_factory=list)
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)  # stage -> what it counted beside rows
    sizes: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)  # task -> split -> wanted …
    missing: dict[str, list[str]] = field(default_factory=dict)  # task -> what it lacks
    audit: AuditReport | None = None  # what the splits share; None where nothing was written
    fetched: dict[str, int] = field(
        default_factory=dict
    )  # URLs asked for by this build, by what became of them
    left_out: tuple[str, ...] = ()  # sources that the recipe's licences do not allow, with why
    warnings: tuple[str, ...] = ()  # what may not be passed on, or could not be honoured
    taken_down: dict[str, int] = field(default_factory=dict)  # stage -> what the takedown list kept out
    cut_short: list[str] = field(default_factory=list)  # raw files that ended too early, and where


class Run:
    """One build's fixed parts, so that a stage is run by naming what is particular to it."""

    def __init__(
        self,
        recipe: Recipe,
        workspace: Workspace,
        executor: Executor,
        report: Report | None,
        retry_failed: bool = False,
        workers: int = 1,
    ) -> None:
        self.recipe = recipe
        self.workspace = workspace
        self.executor = executor
        self.report = report
        self.retry_failed = retry_failed
        self.workers = workers
        self.takedowns = load_takedowns(workspace.folder)
        self.fetched: FetchReport | None = None  # of the run that asked the web, if one was needed
        self.outputs: list[StageOutput] = []

    def stage(
        self,
        name: str,
        function: Callable[[Any, Path], Any],
        shards: Sequence[Shard] | Callable[[], Sequence[Shard]],
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        libraries: Sequence[str] = (),
    ) -> StageOutput:
        """Run one stage. `libraries` are those whose output the stage keeps: a new version runs it again."""
        return self.stages([self.planned(name, function, shards, settings, inputs, libraries)])[0]

    def planned(
        self,
        name: str,
        function: Callable[[Any, Path], Any],
        shards: Sequence[Shard] | Callable[[], Sequence[Shard]],
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        libraries: Sequence[str] = (),
    ) -> StageWork:
        """Return what `stage` would run, for `stages`."""
        unknown = set(libraries) - set(KEPT_LIBRARIES)
        if unknown:  # the nodes of a cluster would not be asked for their versions
            raise AssertionError(
                f"stage {name}: {', '.join(sorted(unknown))} is not in versions.KEPT_LIBRARIES"
            )
        versions = {library: library_version(library) for library in libraries}
        kind = name.partition("-")[0]
        return StageWork(
            name, STAGE_VERSIONS[kind], {**settings, "libraries": versions}, inputs, shards, function
        )

    def stages(self, stages: Sequence[StageWork]) -> list[StageOutput]:
        """Run stages that do not need each other, side by side."""
        outputs = self.workspace.run_stages(stages, self.executor, self.report)
        self.outputs += outputs
        return outputs

    def budget(self) -> Budget:
        """Return what the query of a stage may use, which has all cores: there is never another at the same time."""
        processes = 1 if self.workers == 1 else 1 + self.workers
        resources = self.recipe.resources
        return Budget(resources.query_bytes(processes), self.workers, resources.spill_bytes)

    def why_lacking(self, name: str) -> str:
        """Say in a few words why a table has no rows: it may be that none of them was drawn."""
        rows = sum(output.extra["all"]["rows"][name] for output in self.outputs if output.name == "sampling")
        if not rows:
            return f"no {name}"
        return (
            f"none of {rows} {name} was drawn: none has what a sample needs, or the recipe's sizes want none"
        )

    def progress(self, step: str) -> Callable[[int, int], None] | None:
        """Return what a step that is no stage calls with (done, all)."""
        report = self.report
        return None if report is None else lambda done, total: report(step, done, total)

    def file_fingerprints(self, paths: Sequence[Path]) -> list[str]:
        """Return the SHA-256 of files outside the workspace. Raises SourceError where one cannot be read."""
        try:
            return self.workspace.file_fingerprints(paths, self.workers)
        except OSError as error:
            raise SourceError(f"{error.filename}: cannot be read: {error.strerror}") from error
