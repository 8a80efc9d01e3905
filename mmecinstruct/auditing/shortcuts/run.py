"""Run the guessers: sample the files in workers, then guess task by task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mmecinstruct.auditing.files import SampleFile
from mmecinstruct.auditing.shortcuts.guessers import guess_all
from mmecinstruct.auditing.shortcuts.result import MIN_ROWS, Guess, Shortcuts, Unguessed, make_guess
from mmecinstruct.auditing.shortcuts.samples import (
    SamplesPayload,
    SamplesRead,
    read_samples,
    sampled_path,
    within_limits,
)
from mmecinstruct.auditing.shortcuts.task_samples import MAX_LABELS, Part, labels_of
from mmecinstruct.core.progress import Report
from mmecinstruct.engine.executors import Executor
from mmecinstruct.schemas.samples import SPLITS, TRAIN


@dataclass(frozen=True)
class TaskPayload:
    """Guess the answers of one task.

    Attributes:
        task: Name of the task.
        read: Its files, in the order of the folder.
        work: Folder of their samples.
        tolerance: What the lower end of a blind guesser's interval may exceed chance by.
    """

    task: str
    read: tuple[SamplesRead, ...]
    work: Path
    tolerance: float


def find_shortcuts(
    folder: Path,
    files: Sequence[SampleFile],
    work: Path,
    executor: Executor,
    tolerance: float,
    report: Report | None = None,
) -> Shortcuts:
    """Let all guessers guess the answers of every task and split but train.

    Of one split of a task at most `samples.MAX_ROWS` rows are read, chosen by hash, so that the time has a bound.

    Args:
        folder: The dataset folder.
        files: Its files of samples.
        work: An empty folder for the samples.
        executor: Runs the reading and the guessing.
        tolerance: What the lower end of a blind guesser's interval may exceed chance by.
        report: Called with (step, finished work, all work).

    Returns:
        The guesses in the order of the files' tasks.

    Raises:
        DatasetError: A file cannot be read.
    """
    read = []
    for done, entry in enumerate(
        executor.run(read_samples, [SamplesPayload(folder, file, work) for file in files]), start=1
    ):
        read.append(entry)
        if report:
            report("audit: guessers' samples", done, len(files))
    read.sort(key=lambda entry: entry.file.number)
    tasks = list(dict.fromkeys(file.task for file in files))
    payloads = [
        TaskPayload(task, tuple(entry for entry in read if entry.file.task == task), work, tolerance)
        for task in tasks
    ]
    found: dict[str, Shortcuts] = {}
    for done, (task, result) in enumerate(executor.run(guess_task, payloads), start=1):
        found[task] = result
        if report:
            report("audit: guessers", done, len(tasks))
    return Shortcuts(
        tuple(guess for task in tasks for guess in found[task].guesses),
        tuple(part for task in tasks for part in found[task].unguessed),
    )


def guess_task(payload: TaskPayload) -> tuple[str, Shortcuts]:
    """Return the task's name and what the guessers scored on each of its splits but train."""
    rows = {split: _rows(payload, split) for split in SPLITS}
    if any(row["options"] for part in rows.values() for row in part):
        rows = {split: [row for row in part if row["options"]] for split, part in rows.items()}
    unguessed, guessed = [], []
    for split in SPLITS:
        files = [entry for entry in payload.read if entry.file.split == split]
        if not files or split == TRAIN:
            continue
        units = len({row["unit"] for row in rows[split]})
        if units < MIN_ROWS:
            why = f"{len(rows[split])} rows of {units} users, queries or articles, fewer than {MIN_ROWS}"
            unguessed.append(Unguessed(payload.task, split, files[0].why or why))
        else:
            guessed.append(split)
    labels = labels_of(payload.task, [row for part in rows.values() for row in part]) if guessed else ()
    if len(labels) > MAX_LABELS:
        why = f"more than {MAX_LABELS} different answers and no options"
        unguessed += [Unguessed(payload.task, split, why) for split in guessed]
        guessed = []
    train, parts = Part(rows[TRAIN], labels), {split: Part(rows[split], labels) for split in guessed}
    return payload.task, Shortcuts(tuple(_guesses(payload, train, parts)), tuple(unguessed))


def _guesses(payload: TaskPayload, train: Part, parts: Mapping[str, Part]) -> Iterator[Guess]:
    from threadpoolctl import threadpool_limits

    if not parts:
        return
    # All splits at once, so that a guesser learns once.
    together = Part([row for part in parts.values() for row in part.rows], train.labels)
    # The order of additions, and so the last digits, depend on the number of threads.
    with threadpool_limits(limits=1):
        right = {name: together.right(scores) for name, scores in guess_all(train, together).items()}
    start = 0
    for split, part in parts.items():
        rows, chance = len(part.rows), part.chance(train)
        units = len({row["unit"] for row in part.rows})
        for guesser, shares in right.items():
            yield make_guess(
                payload.task,
                split,
                guesser,
                float(shares[start : start + rows].sum()),
                rows,
                units,
                chance,
                payload.tolerance,
            )
        start += rows


def _rows(payload: TaskPayload, split: str) -> list[dict[str, Any]]:
    """Return the sampled rows of a split, ordered by their hashes, with their places in the whole split."""
    found, start = [], 0
    files = [entry for entry in payload.read if entry.file.split == split]
    total = sum(entry.rows for entry in files)
    for entry in files:
        path = sampled_path(payload.work, entry.file)
        if path.is_file():
            for row in pq.read_table(path).to_pylist():
                number = start + row["row"]
                found.append({**row, "row": number, "place": number / total})
        start += entry.rows
    return within_limits(found)
