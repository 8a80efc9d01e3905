"""Two commands at once into one folder: one of them wins or is refused, and nothing mixes."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from attack_runs import Attack, Bench, Digest, Fault, Ran, beside, difference, digest, lost, wrong
from attack_shop import (
    Row,
    build_command,
    built,
    built_digest,
    dataset,
    evaluate_command,
    finetune_command,
    rows_of,
    shop,
    trained,
)

GROUP = "two at once"
OFFSETS = 12
CHECKED = (
    "the folder is byte for byte that of one of the two undisturbed commands, `validate` is clean, nothing is left "
    "beside it"
)


def both(bench: Bench, folder: Path, commands: Sequence[list[str]], offset: float) -> list[Ran]:
    """Run two commands, the second one some seconds after the first; return how they ended."""
    with ExitStack() as stack:
        started = []
        for number, command in enumerate(commands):
            running = stack.enter_context(bench.start(command, folder))
            started.append(running)
            if number == 0:
                running.sleep(offset)
        ran = [running.ended() for running in started]
    if not any(one.code == 0 for one in ran):
        raise wrong(f"neither of the two succeeded: {ran[0].said.splitlines()[-1:]}")
    return ran


def is_one_of(found: Digest, undisturbed: Sequence[Digest], doubt: str = "") -> None:
    """Raise a fault of the kind `mixed` unless a folder is, byte for byte, that of one undisturbed command."""
    differences = [difference(found, right) for right in undisturbed]
    if "" not in differences:
        raise Fault("mixed", f"the folder is that of neither command{doubt} ({min(differences, key=len)})")


def check_dataset(bench: Bench, folder: Path, undisturbed: Sequence[Digest]) -> None:
    """Raise a fault unless `out` is one undisturbed build, valid, and without leftovers beside it."""
    valid = bench.run(["mmec", "validate", str(folder / "out")], folder)
    is_one_of(digest(folder / "out"), undisturbed, "" if valid.code else "; `validate` calls it valid")
    if valid.code:
        raise lost(f"`validate`: {valid.out.strip().splitlines()[:1]}")
    if left := beside(folder, "out", "workspace", "workspace-0", "workspace-1"):
        raise wrong(f"left beside --out: {', '.join(left)}")


def builds(
    offset: float, recipes: Sequence[str], *, warm: bool, shared: bool = False
) -> Callable[[Bench, Path], None]:
    """Return an attack by two builds.

    Args:
        offset: the seconds between their starts, as a share of a build's duration.
        recipes: of the first and the second.
        warm: whether their stages are finished, so that both assemble their folder at once.
        shared: whether they have one workspace.
    """

    def attack(bench: Bench, folder: Path) -> None:
        seconds = built(bench)[1]
        commands = []
        for number, name in enumerate(recipes):
            workspace = folder / ("workspace" if shared else f"workspace-{number}")
            if warm:
                shutil.copytree(built(bench, name)[0] / "workspace", workspace, dirs_exist_ok=True)
            commands.append(build_command(bench, folder / "out", workspace, name))
        both(bench, folder, commands, offset * seconds)
        check_dataset(bench, folder, [built_digest(bench, name) for name in set(recipes)])

    return attack


def trainings(bench: Bench, folder: Path) -> None:
    """Two trainings that differ in their learning rate."""
    rates = ("lr=5e-3", "lr=1e-4")

    def undisturbed(rate: str) -> Digest:
        def make() -> Digest:
            out = bench.scratch / f"undisturbed-{rate}"
            bench.done(finetune_command(bench, out, "text", "--set", rate), bench.scratch)
            return digest(out, "*.safetensors")

        return bench.once(f"trained {rate}", make)

    right = [undisturbed(rate) for rate in rates]
    commands = [finetune_command(bench, folder / "out", "text", "--set", rate) for rate in rates]
    if all(ran.code == 0 for ran in both(bench, folder, commands, 0.3)):
        raise lost("both trainings succeeded into one folder: one of them is gone")
    found = digest(folder / "out", "*.safetensors")
    is_one_of(found, right)
    winner = rates[right.index(found)]
    saved = (folder / "out" / "config.yaml").read_text()
    rate = float(winner.removeprefix("lr="))
    if not any(line.startswith("lr:") and float(line.split()[1]) == rate for line in saved.splitlines()):
        raise Fault("mixed", f"config.yaml is not of the training whose weights are there ({winner})")


def evaluations(bench: Bench, folder: Path) -> None:
    """Two evaluations of one adapter."""
    model = trained(bench)[0]
    both(bench, folder, [evaluate_command(bench, folder / "out", model)] * 2, 0.2)
    check_answers(bench, folder / "out")


def same_answer(one: Row, other: Row) -> bool:
    """Return whether two answers are the same, up to what other batches change by rounding."""
    scores = [row.get("scores") or {} for row in (one, other)]
    rest = [{name: value for name, value in row.items() if name != "scores"} for row in (one, other)]
    if rest[0] != rest[1] or scores[0].keys() != scores[1].keys():
        return False
    return all(math.isclose(scores[0][name], scores[1][name], abs_tol=1e-3) for name in scores[0])


def check_answers(bench: Bench, out: Path) -> None:
    """Raise a fault unless an evaluation has each answer once, the same as undisturbed, and the same figures."""

    def make() -> Path:
        folder = bench.scratch / "evaluated"
        bench.done(evaluate_command(bench, folder, trained(bench)[0]), bench.scratch)
        return folder

    right = bench.once("evaluated", make)
    answers = [sorted(rows_of(one / "predictions.jsonl"), key=lambda row: row["id"]) for one in (out, right)]
    if len(answers[0]) != len(answers[1]) or not all(map(same_answer, *answers)):
        raise lost(
            f"{len(answers[0])} answers, other than the {len(answers[1])} of an undisturbed evaluation"
        )
    tables = [(one / "metrics.md").read_bytes() for one in (out, right)]
    if tables[0] != tables[1]:
        raise lost("other metrics than those of an undisturbed evaluation")


def merges(bench: Bench, folder: Path) -> None:
    """Two merges of one adapter."""
    right = merged(bench)
    both(
        bench,
        folder,
        [["caslie_model", "merge", str(trained(bench)[0]), "--out", str(folder / "out")]] * 2,
        0.1,
    )
    is_one_of(digest(folder / "out"), [digest(right)])
    if left := beside(folder, "out"):
        raise wrong(f"left beside --out: {', '.join(left)}")


def merged(bench: Bench) -> Path:
    """Return an adapter and its base model as one folder, undisturbed."""

    def make() -> Path:
        out = bench.scratch / "merged"
        bench.done(["caslie_model", "merge", str(trained(bench)[0]), "--out", str(out)], bench.scratch)
        return out

    return bench.once("merged", make)


def features_command(bench: Bench) -> list[str]:
    """Return the command that fills a cache with the features of the dataset's images."""
    return [
        "caslie_model",
        "features",
        "--data",
        str(dataset(bench)),
        "--encoder",
        "random:tiny-vit",
        "--batch-size",
        "4",
    ]


def images_of(out: Path) -> dict[str, object]:
    """Return what `mmec images` found: image, outcome and hashes by address; files by name where there is none."""
    import pyarrow.parquet as pq

    rows = pq.read_table(out / "images.parquet").to_pylist()
    return {row["image_url"]: row for row in rows}


def image_checks(bench: Bench, folder: Path) -> None:
    """Two checks of the same images in one workspace."""
    command = ["mmec", "images", str(shop(bench) / "images"), "--out", str(folder / "out"), "--workers", "1"]
    command += ["--workspace", str(folder / "workspace")]
    both(bench, folder, [command] * 2, 0.1)
    found = images_of(folder / "out")
    if len(found) != 60 or beside(folder, "out", "workspace"):
        raise Fault(
            "mixed", f"{len(found)} of 60 images, beside the folder {beside(folder, 'out', 'workspace')}"
        )


def attacks(bench: Bench) -> list[Attack]:
    """Return the attacks of this group."""
    numbers = bench.moments(GROUP)
    found = []
    for number in range(OFFSETS):
        warm = number % 3 != 0
        # A build whose stages are finished takes about half the time of a whole one, most of it assembling.
        offset = numbers.uniform(0.0, 0.25 if warm else 0.9)
        attack = builds(offset, ("recipe", "other"), warm=warm)
        name = f"two recipes, second after {offset:.2f} of a build{', stages finished' if warm else ''}"
        found.append(Attack(GROUP, name, attack, quick=number in (1, 2)))
    same = ("recipe", "recipe")
    found += [
        Attack(GROUP, "one recipe twice", builds(0.1, same, warm=False)),
        Attack(GROUP, "one recipe twice, stages finished", builds(0.05, same, warm=True)),
        Attack(
            GROUP, "one recipe twice, one workspace", builds(0.1, same, warm=False, shared=True), quick=True
        ),
        Attack(
            GROUP, "two recipes, one workspace", builds(0.2, ("recipe", "other"), warm=False, shared=True)
        ),
        Attack(GROUP, "two trainings", trainings),
        Attack(GROUP, "two evaluations", evaluations),
        Attack(GROUP, "two merges", merges),
        Attack(GROUP, "two image checks", image_checks),
    ]
    return found
