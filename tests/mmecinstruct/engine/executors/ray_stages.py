"""Stages for the tests of the Ray executor, importable by its workers; run as a script, the driver of one of them."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmecinstruct.core.errors import MmecError, SourceError
from mmecinstruct.engine.executors import RayExecutor
from mmecinstruct.engine.stage import RUNTIME, Counts, Stage, WorkItem
from mmecinstruct.engine.workspace import Workspace
from mmecinstruct.pipeline.build import build
from mmecinstruct.recipe import load_recipe
from mmecinstruct.stages import measure_images, render

LOST = "node b"
SMALL_SHOP = ("sample.products=60",)
TASKS = ("category_classification", "answerability_prediction")
IMAGES, RENDERED = 8, 10  # per work item, so that a small shop has many


def write_number(payload: tuple[int, str], folder: Path) -> Counts:
    """Write a number; on the node that will be lost, only half of it, and never end."""
    number, log = payload
    node = os.environ["MMEC_TEST_NODE"]
    (folder / "number.txt").write_text("half")
    (Path(log) / f"{number}-{time.time_ns()}").write_text(node)
    if node == LOST:
        time.sleep(600)
    time.sleep(0.2)
    (folder / "number.txt").write_text(str(number))
    return Counts(1, 1, 0)


def fail_on_two(payload: tuple[int, str], folder: Path) -> Counts:
    number, log = payload
    (Path(log) / f"{number}-{time.time_ns()}").touch()
    if number == 2:
        raise SourceError("two.csv:2: not a number; mend the line")
    return Counts(1, 1, 0)


def fill_the_disk(payload: tuple[int, str], folder: Path) -> Counts:
    raise OSError(28, "No space left on device", "x.parquet")


def break_code(payload: tuple[int, str], folder: Path) -> Counts:
    raise KeyError("a fault of the program")


def die_on_two(payload: tuple[int, str], folder: Path) -> Counts:
    number, log = payload
    (Path(log) / f"{number}-{time.time_ns()}").touch()
    if number == 2:
        os._exit(9)
    return Counts(1, 1, 0)


@dataclass(frozen=True, kw_only=True)
class Numbers(Stage):
    """Call a function with (number, log) for six numbers."""

    name = "stage"
    version = 1

    log: str = field(metadata=RUNTIME)
    function: Callable[[tuple[int, str], Path], Counts] = field(metadata=RUNTIME)

    def items(self) -> Sequence[WorkItem]:
        return [WorkItem(f"{number:03d}", number) for number in range(6)]

    def work(self, item: WorkItem, folder: Path) -> Counts:
        return self.function((item.payload, self.log), folder)


def run_stage(name: str, workspace: Path, log: Path, address: str) -> None:
    """Run a stage of six work items over the cluster; print how it ended."""
    log.mkdir(exist_ok=True)
    store = Workspace(workspace)
    with store.lock(), RayExecutor(None, address, workspace=workspace, libraries=["pillow"]) as executor:
        try:
            stage = Numbers(log=str(log), function=globals()[name])
            (output,) = store.run_stages([stage], executor)
            end = {"numbers": [path.read_text() for path in output.files("number.txt")]}
        except (MmecError, LookupError) as error:
            end = {"error": type(error).__name__, "said": str(error)}
    print(json.dumps(end))


def build_small_shop(out: Path, workspace: Path, executor: str, address: str | None = None) -> None:
    """Build a small shop in many small work items; print each step."""
    measure_images.IMAGES_PER_ITEM, render.ITEM_ROWS = IMAGES, RENDERED

    def report(stage: str, done: int, total: int) -> None:
        print(stage, done, total, flush=True)

    recipe = load_recipe("sample", SMALL_SHOP)
    build(
        recipe,
        out,
        workspace=workspace,
        tasks=TASKS,
        workers=1 if executor == "local" else None,
        executor=executor,
        ray_address=address,
        report=report,
    )


if __name__ == "__main__":
    what, first, second, *rest = sys.argv[1:]
    if what == "build":
        build_small_shop(Path(first), Path(second), rest[0], *rest[1:])
    else:
        # As a module and not as __main__, so that workers find its functions.
        import ray_stages

        ray_stages.run_stage(what, Path(first), Path(second), rest[0])
