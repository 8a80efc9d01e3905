"""`kill -9` of the whole process group, and Ctrl-C, at random moments: the same command again gives the same result."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from attack_pairs import is_one_of
from attack_runs import Attack, Bench, beside, digest, last_line, lost, wrong
from attack_shop import built_digest
from attack_targets import TARGETS, Prepare

GROUP = "kills"
CHECKED = (
    "the same command again (a training with `--resume`) ends with 0; datasets, weights, features, answers, raw files "
    "are byte for byte those of an undisturbed command; `validate` is clean; nothing else is left; a dataset that is "
    "being replaced is whole at any moment; after Ctrl-C no traceback and no process is left"
)
TIMES = {
    "build": 8,
    "assemble": 8,
    "replace a dataset": 6,
    "images": 4,
    "pull": 4,
    "features": 3,
    "finetune": 5,
    "align": 3,
    "evaluate": 4,
    "merge": 3,
    "push": 3,
}
INTERRUPTED = ("build", "assemble", "images", "pull", "features", "finetune", "evaluate", "merge")
# Moments after a command's end do not count: an earlier one is tried.
TURNS = 4


def disturbed(prepare: Prepare, number: int, how: signal.Signals) -> Callable[[Bench, Path], None]:
    """Return an attack that sends a signal to a command at a moment of its own."""

    def attack(bench: Bench, folder: Path) -> None:
        share = bench.moments(f"{GROUP} {prepare.__name__} {how} {number}").random()
        for turn in range(TURNS):
            inner = folder / str(turn)
            inner.mkdir()
            if once(bench, inner, prepare, share / 2**turn, how):
                return
        raise wrong("the command was over before it could be disturbed")

    return attack


def once(bench: Bench, folder: Path, prepare: Prepare, share: float, how: signal.Signals) -> bool:
    """Disturb a command, go on and check; return whether it was disturbed before its end."""
    with prepare(bench, folder) as prepared:
        with bench.start(prepared.command, folder, environment=prepared.environment) as running:
            in_time = prepared.disturbable(running) and running.sleep(share * prepared.spread)
            running.signal(how)
            ran = running.ended(orderly=False)
        prepared.release()
        if not in_time or ran.code == 0:
            return False
        if how == signal.SIGINT:
            # 130 is what a shell says of a command that Ctrl-C ended.
            if ran.code not in (1, 130, -signal.SIGINT):
                raise wrong(f"Ctrl-C: exit {ran.code}: {last_line(ran.said)}")
            if "Traceback (most recent" in ran.said:
                raise wrong(f"Ctrl-C: traceback: {last_line(ran.said)}")
        if prepare is TARGETS["replace a dataset"]:
            check_whole(bench, folder)
        prepared.go_on(bench, folder)
    return True


def check_whole(bench: Bench, folder: Path) -> None:
    """Raise a fault where neither --out nor what was renamed beside it is a whole dataset."""
    right = [built_digest(bench, name) for name in ("other", "recipe")]
    folders = [folder / name for name in ("out", *beside(folder, "out", "workspace"))]
    if not any(digest(one) in right for one in folders if one.is_dir()):
        raise lost("the dataset that was being replaced is gone, and the new one is not there")
    if (folder / "out").exists():
        is_one_of(digest(folder / "out"), right)


def attacks(bench: Bench) -> list[Attack]:
    """Return the attacks of this group."""
    found = []
    for name, times in TIMES.items():
        for number in range(times):
            attack = disturbed(TARGETS[name], number, signal.SIGKILL)
            quick = number == 0 and name in ("build", "assemble", "finetune", "pull")
            found.append(Attack(GROUP, f"kill -9 of {name}, {number + 1}", attack, quick=quick))
    found += [
        Attack(GROUP, f"Ctrl-C in {name}", disturbed(TARGETS[name], 0, signal.SIGINT), quick=name == "build")
        for name in INTERRUPTED
    ]
    return found
