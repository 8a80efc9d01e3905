"""A stage defined in this file alone: run in processes, cached, and run again when a field changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from mmecinstruct.core.duckdb import DEFAULT_BUDGET, Budget
from mmecinstruct.core.settings import Settings
from mmecinstruct.engine.executors import LocalExecutor
from mmecinstruct.engine.run import Run
from mmecinstruct.engine.stage import RUNTIME, Counts, Files, Stage, StageOutput, WorkItem, only
from mmecinstruct.engine.workspace import Workspace


class WordSettings(Settings):
    """Settings; the stage below reads the first."""

    least: int = 3
    unread: int = 0


@dataclass(frozen=True, kw_only=True)
class CountWords(Stage):
    """Write how many words of each text are long enough."""

    name = "count_words"
    version = 1
    libraries = ("pyarrow",)

    texts: Files
    settings: WordSettings
    budget: Budget = field(default=DEFAULT_BUDGET, metadata=RUNTIME)

    def items(self) -> Sequence[WorkItem]:
        return [WorkItem(path.stem, path) for path in self.texts.paths]

    def work(self, item: WorkItem, folder: Path) -> Counts:
        words = item.payload.read_text().split()
        kept = sum(len(word) >= self.settings.least for word in words)
        (folder / "words.txt").write_text(str(kept))
        return Counts(len(words), kept, len(words) - kept)


@pytest.fixture
def stage(tmp_path: Path) -> CountWords:
    paths = tuple(tmp_path / f"{number}.txt" for number in range(4))
    for number, path in enumerate(paths):
        path.write_text("a big word " * number)
    return CountWords(texts=Files(paths, {"texts": "abc"}), settings=WordSettings())


def run(folder: Path, *stages: Stage, workers: int = 1) -> list[StageOutput]:
    store = Workspace(folder)
    with store.lock(), LocalExecutor(workers) as executor:
        done = Run(store, executor, workers=workers)
        outputs = [done.run(stage) for stage in stages]
        assert done.outputs == outputs
        return outputs


def words(output: StageOutput) -> list[str]:
    return [path.read_text() for path in output.files("words.txt")]


def test_a_stage_runs_in_processes_and_is_cached(tmp_path: Path, stage: CountWords) -> None:
    (first,) = run(tmp_path / "w", stage, workers=2)
    assert (first.cached, words(first)) == (False, ["0", "2", "4", "6"])
    assert (first.records, first.kept, first.rejected) == (18, 12, 6)
    (second,) = run(tmp_path / "w", stage, workers=2)
    assert (second.cached, second.fingerprint) == (True, first.fingerprint)


def test_a_changed_field_runs_the_stage_again(tmp_path: Path, stage: CountWords) -> None:
    changed = replace(stage, settings=WordSettings(least=4))
    first, second = run(tmp_path / "w", stage, changed)
    assert (second.cached, words(second)) == (False, ["0", "1", "2", "3"])
    assert first.fingerprint != second.fingerprint


def test_paths_and_runtime_fields_change_no_fingerprint(stage: CountWords) -> None:
    moved = replace(stage, texts=Files((), stage.texts.fingerprints), budget=Budget(1, 1))
    assert moved.fingerprint() == stage.fingerprint()


def test_other_files_versions_and_libraries_change_the_fingerprint(
    stage: CountWords, monkeypatch: pytest.MonkeyPatch
) -> None:
    fingerprints = {stage.fingerprint(), replace(stage, texts=Files((), {"texts": "def"})).fingerprint()}
    monkeypatch.setattr(CountWords, "version", 2)
    fingerprints.add(stage.fingerprint())
    monkeypatch.setattr("mmecinstruct.engine.stage.library_version", lambda library: "0")
    fingerprints.add(stage.fingerprint())
    assert len(fingerprints) == 4


def test_only_keeps_the_named_settings(stage: CountWords) -> None:
    assert only(WordSettings(least=4, unread=1), ["least"]) == WordSettings(least=4)


@dataclass(frozen=True, kw_only=True)
class HoldsPath(Stage):
    name = "holds_path"
    version = 1

    value: object


def test_a_path_outside_files_has_no_fingerprint() -> None:
    with pytest.raises(AssertionError, match="no fingerprint of a PosixPath"):
        HoldsPath(value={"folder": [Path("x")]}).fingerprint()


def test_sets_have_one_order_in_a_fingerprint() -> None:
    one, two = (HoldsPath(value=frozenset(names)) for names in (("a", "b"), ("b", "a")))
    assert one.fingerprint() == two.fingerprint()


def test_files_of_stages_hold_their_fingerprints(tmp_path: Path, stage: CountWords) -> None:
    (output,) = run(tmp_path / "w", stage)
    files = Files.of([output], "words.txt")
    assert files == Files.of(output, "words.txt")
    assert files.fingerprints == {"count_words": output.fingerprint}
    assert len(files.paths) == 4
