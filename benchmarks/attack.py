"""Attack the commands: kills, full disks, two at once, hostile inputs. What is lost, what is wrong?

    python benchmarks/attack.py --out benchmarks/results/attack.json
    python benchmarks/attack.py --only kills --only 'two at once' --seed 7
    python benchmarks/attack.py --quick

Everything goes through `python -m mmecinstruct` and `python -m caslie_model` in processes of their own. All inputs are
generated, servers are on 127.0.0.1. A try is judged by what lies on the disk afterwards, compared byte by byte with
what an undisturbed command leaves, by memory and processes seen from outside, and by planted marks; never by the
command's own word alone. A line on stderr per try; exit status 1 where anything was lost, mixed or wrong.

Linux only. Bounded: no try begins after 23 minutes (--minutes), each command is ended after 150 seconds. The parts:
attack_runs.py (run, disturb, compare), attack_shop.py (inputs), and a module per group.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# The servers that stand in for the Hub and for publishers are those of the tests.
sys.path.insert(0, str(ROOT))

import attack_disks  # noqa: E402
import attack_folders  # noqa: E402
import attack_images  # noqa: E402
import attack_kills  # noqa: E402
import attack_models  # noqa: E402
import attack_pairs  # noqa: E402
import attack_tables  # noqa: E402
import attack_texts  # noqa: E402
import attack_web  # noqa: E402
from attack_runs import Attack, Bench, Fault, Finding, NotTried  # noqa: E402

GROUPS = {
    module.GROUP: module
    for module in (
        attack_kills,
        attack_disks,
        attack_pairs,
        attack_images,
        attack_web,
        attack_tables,
        attack_texts,
        attack_models,
        attack_folders,
    )
}
MARKS = ("<!-- attack: begin -->", "<!-- attack: end -->")
OUTCOMES = ("survived", "lost", "mixed", "wrong", "not tried")


@dataclass(frozen=True)
class Try:
    """A row of the record. of: the attack; some attacks have several tries."""

    group: str
    attack: str
    outcome: str
    reason: str
    seconds: float
    of: str


def made(attack: Attack, bench: Bench, number: int) -> list[Try]:
    """Make an attack in a folder of its own; return its tries."""
    began = time.monotonic()
    if began > bench.deadline:
        return [Try(attack.group, attack.name, "not tried", "the time was over", 0.0, attack.name)]
    folder = bench.scratch / "tries" / f"{number:03}"
    folder.mkdir(parents=True)
    try:
        findings = attack.run(bench, folder) or [Finding(attack.name)]
    except Fault as fault:
        findings = [Finding(attack.name, fault)]
    except NotTried as why:
        return [Try(attack.group, attack.name, "not tried", str(why), 0.0, attack.name)]
    except Exception as error:  # noqa: BLE001 - a fault that the attack did not foresee is a fault
        findings = [Finding(attack.name, Fault("wrong", f"unforeseen: {type(error).__name__}: {error}"))]
    seconds = (time.monotonic() - began) / len(findings)
    tries = [
        Try(
            attack.group,
            one.name,
            one.fault.kind if one.fault else "survived",
            str(one.fault or ""),
            seconds,
            attack.name,
        )
        for one in findings
    ]
    if all(one.outcome == "survived" for one in tries):
        shutil.rmtree(folder, ignore_errors=True)
    return tries


def run_all(attacks: list[Attack], bench: Bench, jobs: int) -> list[Try]:
    """Make the attacks, some at once, those that must be alone at the end."""
    tries: list[Try] = []
    for alone in (False, True):
        chosen = [(number, one) for number, one in enumerate(attacks) if one.alone == alone]
        with ThreadPoolExecutor(1 if alone else jobs) as pool:
            try:
                for results in pool.map(lambda pair: made(pair[1], bench, pair[0]), chosen):
                    for one in results:
                        tries.append(one)
                        reason = f": {one.reason}" if one.reason else ""
                        print(
                            f"{one.outcome:9} {one.group}, {one.attack}{reason}", file=sys.stderr, flush=True
                        )
            except BaseException:
                # Ctrl-C: the pool waits for its threads.
                bench.stop()
                raise
    return tries


def is_survived(attack: Attack, record: dict[str, Any]) -> bool:
    """Return whether a record has an attack, and all its tries were survived."""
    rows = [one for one in record["tries"] if (one["group"], one["of"]) == (attack.group, attack.name)]
    return bool(rows) and all(one["outcome"] == "survived" for one in rows)


def joined(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """Return an earlier record with those attacks replaced that were made again, and the commit of these."""
    again = {(one["group"], one["of"]) for one in later["tries"]}
    kept = [one for one in earlier["tries"] if (one["group"], one["of"]) not in again]
    order = list(GROUPS)
    rows = sorted([*kept, *later["tries"]], key=lambda one: order.index(one["group"]))
    run = {name: later[name] for name in ("commit", "seconds")}
    return {
        **earlier,
        "again": [*earlier.get("again", []), {**run, "tries": len(later["tries"])}],
        "tries": rows,
    }


def commit() -> str:
    """Return the commit of the code, with a mark where files differ from it."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip() or "unknown"


def memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def summary(record: dict[str, Any]) -> list[str]:
    """Return the lines that sum up the record: where it was made, and a table with a row per group."""
    tries = [Try(**one) for one in record["tries"]]
    lines = [
        "",
        f"`attack.py`, seed {record['seed']}, commit {record['commit']}: {len(tries)} tries in "
        f"{record['seconds'] / 60:.0f} minutes on {record['cores']} cores, {record['memory'] / 1e9:.0f} GB, "
        f"{record['system']}, Python {record['python']}.",
        *(
            f"{run['tries']} of them were made again after mends, at commit {run['commit']} in "
            f"{run['seconds'] / 60:.0f} minutes more: what had not been survived, or not been made for lack of time, "
            "and what shares its runs."
            for run in record.get("again", [])
        ),
        "",
        "| attack | tries | survived | lost | mixed | wrong | not tried | what was checked |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for group in dict.fromkeys(one.group for one in tries):
        counts = Counter(one.outcome for one in tries if one.group == group)
        cells = [str(counts[outcome]) for outcome in OUTCOMES]
        total = sum(counts.values())
        lines.append(f"| {group} | {total} | {' | '.join(cells)} | {GROUPS[group].CHECKED} |")
    lines += [
        "",
        "Lost: data, or the way to go on. Mixed: a folder that no single command would have written. Wrong: a "
        "traceback, another exit status than 0 and 1, too much memory or time, hostile text let through, a message "
        "without the remedy.",
    ]
    return lines


def as_markdown(record: dict[str, Any]) -> str:
    """Return the record as a page: the summary, and each try that was not survived."""
    lines = ["# What the commands survive", *summary(record)]
    tries = [Try(**one) for one in record["tries"]]
    faults = [one for one in tries if one.outcome != "survived"]
    if faults:
        lines += ["", "## Not survived", "", "| attack | outcome | reason |", "|---|---|---|"]
        lines += [
            f"| {one.group}: {cell(one.attack)} | {one.outcome} | {cell(one.reason)} |" for one in faults
        ]
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    """Return a text that is fit for a cell of a table: no markup, no line's end."""
    shown = "".join(one if one.isprintable() else "?" for one in text)
    return shown.replace("|", "\\|").replace("<", "&lt;").encode("utf-8", "replace").decode()


def main() -> int:
    """Make the attacks and write the record; return 1 where one was not survived."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", action="append", metavar="GROUP", help=f"one of: {', '.join(GROUPS)}; repeatable"
    )
    parser.add_argument("--match", help="only attacks whose name has this text")
    parser.add_argument("--quick", action="store_true", help="a few of each group, in about two minutes")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and of the inputs")
    parser.add_argument("--minutes", type=float, default=23.0, help="after which no further try begins")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="attacks at once")
    parser.add_argument("--scratch", type=Path, help="where to write; what was not survived stays there")
    parser.add_argument(
        "--again",
        type=Path,
        metavar="RECORD",
        help="make only those attacks of an earlier record again that were not survived or not made; the new record "
        "has both commits",
    )
    parser.add_argument("--out", type=Path, help="write the record here (.json), and a page beside it")
    parser.add_argument(
        "--page", type=Path, help="a page of the documentation that gets the table, between its marks"
    )
    options = parser.parse_args()
    if unknown := set(options.only or ()) - set(GROUPS):
        parser.error(f"--only {', '.join(sorted(unknown))}: there are {', '.join(GROUPS)}")
    if options.scratch is not None:
        options.scratch.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="attack-", dir=options.scratch)).resolve()
    began = time.monotonic()
    bench = Bench(scratch, options.seed, began + 60 * options.minutes)
    try:
        attacks = [one for group in options.only or GROUPS for one in GROUPS[group].attacks(bench)]
        attacks = [
            one
            for one in attacks
            if (one.quick or not options.quick) and (not options.match or options.match in one.name)
        ]
        earlier = json.loads(options.again.read_text(encoding="utf-8")) if options.again else None
        if earlier is not None:
            attacks = [one for one in attacks if not is_survived(one, earlier)]
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        tries = run_all(attacks, bench, options.jobs)
    finally:
        for server in bench.servers:
            server.__exit__(None, None, None)
        if options.scratch is None:
            shutil.rmtree(scratch, ignore_errors=True)
    # Paths of this machine have no place in the record.
    cleaned = [{**asdict(one), "reason": one.reason.replace(str(scratch), "…")} for one in tries]
    record = {
        "seed": options.seed,
        "commit": commit(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": memory_bytes(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "seconds": time.monotonic() - began,
        "tries": cleaned,
    }
    if earlier is not None:
        record = joined(earlier, record)
    page = as_markdown(record)
    print(page)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        options.out.with_suffix(".md").write_text(page, encoding="utf-8")
    if options.page:
        before, _, rest = options.page.read_text(encoding="utf-8").partition(MARKS[0])
        after = rest.partition(MARKS[1])[2]
        shown = "\n".join([MARKS[0], *summary(record), "", MARKS[1]])
        options.page.write_text(before + shown + after, encoding="utf-8")
    return 0 if all(one["outcome"] in ("survived", "not tried") for one in record["tries"]) else 1


if __name__ == "__main__":
    sys.exit(main())
