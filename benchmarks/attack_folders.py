"""Wrong folders: outputs that are another command's, damaged stages, places that cannot be written or read."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from attack_pairs import merged
from attack_runs import Attack, Bench, Finding, NotTried, difference, digest, last_line, lost, wrong
from attack_shop import (
    build_command,
    built,
    built_digest,
    dataset,
    evaluate_command,
    finetune_command,
    shop,
    trained,
)
from attack_tables import found

GROUP = "wrong folders"
CHECKED = (
    "no file that another command or a person made is changed or removed; a damaged stage is named, or the result is "
    "the undisturbed one; exit status 1 with a message and no traceback"
)


def evaluated(bench: Bench) -> Path:
    def make() -> Path:
        out = bench.scratch / "evaluated-some"
        bench.done(evaluate_command(bench, out, trained(bench)[0], "--limit", "2"), bench.scratch)
        return out

    return bench.once("evaluated some", make)


def checked(bench: Bench) -> Path:
    def make() -> Path:
        out = bench.scratch / "checked"
        command = [
            "mmec",
            "images",
            str(shop(bench) / "images"),
            "--out",
            str(out),
            "--workspace",
            str(out) + "-work",
        ]
        bench.done(command, bench.scratch)
        return out

    return bench.once("checked images", make)


MADE: dict[str, Callable[[Bench], Path]] = {
    "a dataset": dataset,
    "an adapter": lambda bench: trained(bench)[0],
    "an evaluation": evaluated,
    "a merged model": merged,
    "checked images": checked,
    "the shop's own folder": shop,
}


def writers(bench: Bench, out: Path, work: Path) -> dict[str, list[str]]:
    """Return the commands that write a folder, by name."""
    model = trained(bench)[0]
    return {
        "build": build_command(bench, out, work),
        "images": [
            "mmec",
            "images",
            str(shop(bench) / "images"),
            "--out",
            str(out),
            "--workspace",
            str(work),
        ],
        "miniature": ["mmec", "miniature", "--out", str(out), "--scale", "0.0001"],
        "pull": [
            "mmec",
            "pull",
            "--recipe",
            "paper",
            "--only",
            "esci",
            "--data",
            str(out),
            "--mirror",
            "http://127.0.0.1:9/",
            "--set",
            "pull.retries=0",
        ],
        "finetune": finetune_command(bench, out),
        "finetune --resume": finetune_command(bench, out, "text", "--resume"),
        "finetune --overwrite": finetune_command(bench, out, "text", "--overwrite"),
        "evaluate": evaluate_command(bench, out, model, "--limit", "2"),
        "evaluate --overwrite": evaluate_command(bench, out, model, "--limit", "2", "--overwrite"),
        "merge": ["caslie_model", "merge", str(model), "--out", str(out)],
    }


WRITERS = (
    "build",
    "images",
    "miniature",
    "pull",
    "finetune",
    "finetune --resume",
    "finetune --overwrite",
    "evaluate",
    "evaluate --overwrite",
    "merge",
)
# What may replace its own kind's folder, and is therefore no attack.
OWN = {
    ("build", "a dataset"),
    ("images", "checked images"),
    ("finetune", "an adapter"),
    ("finetune --resume", "an adapter"),
    ("finetune --overwrite", "an adapter"),
    ("evaluate", "an evaluation"),
    ("evaluate --overwrite", "an evaluation"),
    # Raw files and results may lie beside a person's own.
    ("evaluate", "the shop's own folder"),
    ("evaluate --overwrite", "the shop's own folder"),
    ("pull", "the shop's own folder"),
    ("miniature", "the shop's own folder"),
}


def output_attack(writer: str) -> Callable[[Bench, Path], Sequence[Finding]]:
    """Return an attack that gives a command's --out what other commands made."""

    def attack(bench: Bench, folder: Path) -> Sequence[Finding]:
        findings = []
        for what, make in MADE.items():
            if (writer, what) in OWN:
                continue
            out = folder / what.replace(" ", "-").replace("'", "")
            shutil.copytree(make(bench), out)
            findings.append(
                found(
                    f"{writer} into {what}",
                    lambda out=out, what=what: untouched(bench, folder, writer, out, what),
                )
            )
        return findings

    return attack


def untouched(bench: Bench, folder: Path, writer: str, out: Path, what: str) -> None:
    before = digest(out)
    ran = bench.run(writers(bench, out, folder / f"work-{out.name}")[writer], folder)
    # A raw folder is a place for several pulls: their lock may stay.
    after = {name: value for name, value in digest(out).items() if not name.startswith(".mmec-pull")}
    changed = [name for name, value in before.items() if after.get(name) != value]
    if changed:
        raise lost(f"changed or removed {len(changed)} files of {what}: {', '.join(changed[:3])}")
    if ran.code == 0:
        raise wrong(f"exit 0, and its files lie among those of {what}")
    if after != before:
        raise wrong(f"refused, but left {difference(after, before)}")


def foreign_neighbours(bench: Bench, folder: Path) -> Sequence[Finding]:
    """Folders of a person's beside --out whose names are those of temporary ones."""
    findings = []
    for ending in (".out.partial", ".out.old", "out.partial", "out.old", ".out.tmp", "out.tmp"):
        inner = folder / ending.replace(".", "-")
        (inner / ending).mkdir(parents=True)
        (inner / ending / "thesis.txt").write_text("ten years")
        for what in ("build", "images", "merge"):
            command = writers(bench, inner / "out", inner / "work")[what]

            def check(command: list[str] = command, inner: Path = inner, ending: str = ending) -> None:
                bench.run(command, inner)
                if not (inner / ending / "thesis.txt").is_file():
                    raise lost(f"{ending}, a person's folder, was deleted")

            findings.append(found(f"{what} beside a foreign {ending}", check))
            shutil.rmtree(inner / "out", ignore_errors=True)
            (inner / ending / "thesis.txt").parent.mkdir(exist_ok=True)
            (inner / ending / "thesis.txt").write_text("ten years")
    return findings


def carried_files(bench: Bench, folder: Path) -> Sequence[Finding]:
    """Files of a person's within a dataset, and an edited card: a rebuild keeps them."""
    findings = []
    for name, text in (("LICENSE", "CC0"), ("captions/a.jsonl", "{}\n"), ("notes.txt", "mine")):
        out = folder / name.replace("/", "-") / "out"
        shutil.copytree(dataset(bench), out)
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(text)

        def check(out: Path = out, name: str = name, text: str = text) -> None:
            work = out.parent / "workspace"
            shutil.copytree(built(bench, "other")[0] / "workspace", work)
            ran = bench.run(build_command(bench, out, work, "other"), out.parent)
            if not (out / name).is_file() or (out / name).read_text() != text:
                raise lost(f"{name} was deleted by a rebuild")
            if ran.code:
                raise wrong(f"the rebuild is refused: {last_line(ran.said)}")
            right = built_digest(bench, "other")
            if differing := difference(
                {key: value for key, value in digest(out).items() if key != name}, right
            ):
                raise wrong(differing)

        findings.append(found(f"a rebuild over {name}", check))
    return findings


# Damaged stages. The change of the recipe makes a later stage read the damaged one.
STAGES = {
    "parse-00-catalog": "curate.min_language_score=0.81",
    "curate_products": "duplicates.title_similarity=0.86",
    "images": "images.min_side=33",
    "deduplicate": "split={train: 0.5, validation: 0.1, test: 0.4}",
    "task-sentiment_analysis": "sizes.train=50",
    "split-sentiment_analysis": "sizes.train=49",
    "select": "instructions.held_out=4",
    "render-sentiment_analysis": "publish.shard_rows=10",
    "shards": "",
}


def damage_attack(stage: str) -> Callable[[Bench, Path], Sequence[Finding]]:
    """Return an attack that damages a finished stage before a build that reads it."""

    def attack(bench: Bench, folder: Path) -> Sequence[Finding]:
        change = ["--set", STAGES[stage]] if STAGES[stage] else []
        right_folder = folder / "right"
        right_folder.mkdir()
        bench.done(
            [*build_command(bench, right_folder / "out", right_folder / "workspace"), *change], right_folder
        )
        right = digest(right_folder / "out")
        findings = []
        for how in ("a flipped byte", "cut short", "zeros of the same size", "deleted"):
            inner = folder / how.replace(" ", "-")
            inner.mkdir()
            shutil.copytree(built(bench)[0] / "workspace", inner / "workspace")

            def check(inner: Path = inner, how: str = how) -> None:
                files = [
                    p for p in (inner / "workspace" / "stages" / stage).rglob("*.parquet") if p.stat().st_size
                ]
                if not files:
                    raise wrong(f"there is no stage {stage} to damage")
                for file in files:
                    damage(file, how)
                command = [*build_command(bench, inner / "out", inner / "workspace"), *change]
                ran = bench.run(command, inner)
                if ran.code:
                    if stage not in ran.said:
                        raise wrong(f"the message does not name the stage: {last_line(ran.said)}")
                    shutil.rmtree(inner / "workspace" / "stages" / stage)
                    bench.done(command, inner)
                if differing := difference(digest(inner / "out"), right):
                    valid = bench.run(["mmec", "validate", str(inner / "out")], inner).code == 0
                    doubt = "; `validate` calls it valid" if valid else ""
                    raise lost(f"built from the damaged stage without a word{doubt} ({differing})")

            findings.append(found(f"{stage}: {how}", check))
        return findings

    return attack


def damage(file: Path, how: str) -> None:
    content = bytearray(file.read_bytes())
    if how == "deleted":
        file.unlink()
        return
    if how == "a flipped byte":
        # In the middle of the columns: neither the magic numbers nor the footer.
        content[len(content) // 3] ^= 0x10
    elif how == "cut short":
        content = content[: len(content) // 2]
    else:
        content = bytearray(len(content))
    file.write_bytes(content)


# Places.


def places(bench: Bench, folder: Path) -> Sequence[Finding]:
    """Workspaces and outputs that cannot be written, made or named."""
    data = shop(bench)
    (folder / "file").write_text("mine")
    os.symlink("loop", folder / "loop")
    strange = os.fsdecode(b"not-utf-8-\xff")
    long = "x" * 300
    cases: dict[str, tuple[str, str]] = {
        "a workspace that is a link to itself": ("out", "loop"),
        "a workspace that is a file": ("out", "file"),
        "a workspace below a file": ("out", "file/below"),
        "a workspace that is not UTF-8": ("out", strange),
        "a workspace with a name of 300 letters": ("out", long),
        "a workspace in /proc": ("out", "/proc/attack"),
        "an --out that is a link to itself": ("loop", "work"),
        "an --out that is a file": ("file", "work"),
        "an --out below a file": ("file/below", "work"),
        "an --out that is not UTF-8": (strange + "-out", "work"),
        "an --out with a name of 300 letters": (long, "work"),
        "an --out in /proc": ("/proc/attack", "work"),
    }
    findings = []
    for name, (out, work) in cases.items():
        commands = {
            "build": build_command(bench, folder / out, folder / work),
            "images": [
                "mmec",
                "images",
                str(data / "images"),
                "--out",
                str(folder / out),
                "--workspace",
                str(folder / work),
            ],
        }
        if "--out" in name:
            commands["merge"] = ["caslie_model", "merge", str(trained(bench)[0]), "--out", str(folder / out)]
            commands["finetune"] = finetune_command(bench, folder / out)
            commands["evaluate"] = evaluate_command(bench, folder / out, trained(bench)[0], "--limit", "1")
        for what, command in commands.items():
            findings.append(found(f"{what}: {name}", lambda command=command: message(bench, folder, command)))
    return findings


def message(bench: Bench, folder: Path, command: list[str]) -> None:
    """Run a command that may succeed or has to say why it cannot."""
    ran = bench.run(command, folder)
    if (folder / "file").read_text() != "mine":
        raise lost("a file was overwritten")
    if ran.code and "rror" not in ran.said:
        raise wrong(f"exit {ran.code} without a message: {last_line(ran.said)}")


def limits(bench: Bench, folder: Path) -> Sequence[Finding]:
    """At most 64 open files; no room in the terminal's pipe."""
    findings = []
    for name, command in {
        "build": build_command(bench, folder / "out", folder / "work"),
        "images": writers(bench, folder / "out-images", folder / "work-images")["images"],
        "finetune": finetune_command(bench, folder / "out-model"),
        "evaluate": evaluate_command(bench, folder / "out-answers", trained(bench)[0], "--limit", "1"),
    }.items():

        def check(command: list[str] = command) -> None:
            ran = bench.run(command, folder, open_files=64)
            if ran.code:
                bench.done(command, folder)

        findings.append(found(f"{name}: 64 open files", check))
    return findings


def read_only(bench: Bench, folder: Path) -> Sequence[Finding]:
    """A finished build in a workspace that cannot be written."""
    work = folder / "workspace"
    shutil.copytree(built(bench)[0] / "workspace", work)
    shutil.copytree(dataset(bench), folder / "out")
    for options in (("--bind", str(work), str(work)), ("-o", "remount,ro,bind", str(work))):
        ran = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
        if ran.returncode:
            raise NotTried(f"no folder could be mounted read-only: {ran.stderr.strip()}")
    try:
        finished = build_command(bench, folder / "out", work)
        return [
            found("a finished build in a read-only workspace", lambda: bench.done(finished, folder) and None),
            found("another build in a read-only workspace", lambda: refused(bench, folder, work)),
        ]
    finally:
        subprocess.run(["umount", "-l", str(work)], check=False)


def refused(bench: Bench, folder: Path, work: Path) -> None:
    ran = bench.run(build_command(bench, folder / "out", work, "other"), folder)
    if ran.code == 0:
        raise wrong("a build wrote nowhere, and succeeded")
    if digest(folder / "out") != built_digest(bench):
        raise lost("the dataset that was there is another")


def attacks(bench: Bench) -> list[Attack]:
    """Return the attacks of this group."""
    return [
        *(Attack(GROUP, f"{name} into", output_attack(name), quick=name == "evaluate") for name in WRITERS),
        Attack(GROUP, "foreign neighbours", foreign_neighbours),
        Attack(GROUP, "a person's files in a dataset", carried_files, quick=True),
        *(
            Attack(GROUP, f"damaged {stage}", damage_attack(stage), quick=stage == "shards")
            for stage in STAGES
        ),
        Attack(GROUP, "places", places),
        Attack(GROUP, "limits", limits),
        Attack(GROUP, "read-only", read_only),
    ]
