"""Measure time, memory and disk of a whole build of `--recipe paper` from synthetic files.

    python benchmarks/paper_recipe.py FOLDER [--scale 0.2] [--workers 2] [--results benchmarks/results]

Generates the miniature below FOLDER (as `mmec miniature`; an existing one is used again), builds the recipe at its full
sample counts in a process of its own, and records time, memory and disk of each stage. Memory is the sum over all
processes of the build, with shared pages counted once (proportional set size), sampled twice a second. A stage lasts
from the end of the previous one to the writing of its manifest; stages that run in parallel (mostly parsing) share one
line.

Linux only. A scale of 1 is the real volume; the default is a fifth of it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from process_memory import Measurements, watched

from mmecinstruct.synthetic.raw_files import write_miniature

Result = dict[str, Any]
# Manifests this close together were written by stages that ran side by side.
ALIKE_SECONDS = 0.05


def build(folder: Path, workers: int) -> Result:
    """Build the recipe from nothing; return what it took."""
    workspace, out = folder / "workspace", folder / "data"
    for old in (workspace, out):
        shutil.rmtree(old, ignore_errors=True)
    command = [
        *(sys.executable, "-m", "mmecinstruct", "build", "--recipe", "paper", "--data", str(folder / "raw")),
        *("--tasks", "all", "--out", str(out), "--workspace", str(workspace), "--workers", str(workers)),
    ]
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    with (folder / "build.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        with watched(process.pid, 0.5) as measured:
            code = process.wait()
            end = time.time()
    if code:
        raise SystemExit((folder / "build.log").read_text()[-3000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = list(stages(workspace, measured, begin, end))  # before a second run marks them as used
    again = time.time()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    statistics = json.loads((out / "statistics.json").read_text(encoding="utf-8"))
    sizes = {
        task: {split: entry["chosen"] for split, entry in splits.items()}
        for task, splits in statistics["sizes"].items()
    }
    return {
        "seconds": end - begin,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "memory": max(amount for _, amount in measured),
        "seconds_again": time.time() - again,
        "workspace": size_of(workspace),
        "dataset": size_of(out),
        "samples": sizes,
        "stages": found,
    }


def stages(workspace: Path, measured: Measurements, begin: float, end: float) -> Iterator[Result]:
    """Yield name, seconds, memory and disk of each stage, in the order in which they were finished."""
    manifests = sorted(workspace.glob("stages/*/*/manifest.json"), key=lambda path: path.stat().st_mtime)
    groups: list[list[Path]] = []
    for path in manifests:
        if groups and path.stat().st_mtime - groups[-1][-1].stat().st_mtime < ALIKE_SECONDS:
            groups[-1].append(path)
        else:
            groups.append([path])
    start = begin
    for group in groups:
        stop = group[-1].stat().st_mtime
        names = [path.parent.parent.name for path in group]
        manifests = [json.loads(path.read_text(encoding="utf-8")) for path in group]
        yield {
            "name": names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}",
            "seconds": stop - start,
            "memory": max((amount for when, amount in measured if start <= when <= stop), default=0),
            "disk": sum(size_of(path.parent) for path in group),
            "records": sum(each["records"] for each in manifests),
        }
        start = stop
    left = max((amount for when, amount in measured if start <= when), default=0)
    yield {"name": "audit, folder", "seconds": end - start, "memory": left, "disk": 0, "records": 0}


def size_of(folder: Path) -> int:
    """Return the bytes of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def markdown(result: Result) -> Iterator[str]:
    """Yield the lines of the recorded page."""
    built, rows = result["build"], sum(sum(each.values()) for each in result["build"]["samples"].values())
    yield "# What the paper's recipe takes"
    yield ""
    yield (
        f"`paper_recipe.py`: `mmec build --recipe paper` at its full sample counts, from a miniature of scale "
        f"{result['scale']} ({result['text'] / 1e9:.1f} GB of text, {result['raw'] / 1e9:.1f} GB as it lies there), "
        f"{result['workers']} workers on {result['cores']} cores; load of the machine before {result['load_before']} "
        f"and after {result['load_after']}."
    )
    yield ""
    yield (
        f"* **{built['seconds']:.0f} s** ({built['cpu']:.0f} s of the processors), **{built['memory'] / 1e9:.2f} GB** "
        f"of memory at most; {rows:,} samples; a second run {built['seconds_again']:.1f} s."
    )
    yield (
        f"* Disk: {built['workspace'] / 1e6:.0f} MB of workspace, {built['dataset'] / 1e6:.0f} MB of dataset "
        "(images by reference)."
    )
    yield ""
    yield "| task | train | validation | test | test_ood |"
    yield "|---|---:|---:|---:|---:|"
    for task, sizes in built["samples"].items():
        cells = [
            f"{sizes[name]:,}" if name in sizes else ""
            for name in ("train", "validation", "test", "test_ood")
        ]
        yield f"| {task} | {' | '.join(cells)} |"
    yield ""
    yield "| stage | seconds | memory MB | disk MB | records |"
    yield "|---|---:|---:|---:|---:|"
    for stage in built["stages"]:
        yield (
            f"| {stage['name']} | {stage['seconds']:.1f} | {stage['memory'] / 1e6:.0f} | {stage['disk'] / 1e6:.1f} | "
            f"{stage['records']:,} |"
        )


def main() -> None:
    """Generate the files, build, and write paper_recipe.json and paper_recipe.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", type=float, default=0.2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    raw, raw_record = args.folder / "raw", args.folder / "raw.json"
    known = json.loads(raw_record.read_text()) if raw_record.is_file() else {}
    if known.get("scale") != args.scale:
        text = sum(write_miniature(raw, args.scale, workers=args.workers).values())
        known = {"scale": args.scale, "text": text}
        raw_record.write_text(json.dumps(known))
    result: Result = {
        **known,
        "raw": size_of(raw),
        "workers": args.workers,
        "cores": len(os.sched_getaffinity(0)),
    }
    result["load_before"] = [round(one, 1) for one in os.getloadavg()]
    result["build"] = build(args.folder, args.workers)
    result["load_after"] = [round(one, 1) for one in os.getloadavg()]
    page = "\n".join(markdown(result)) + "\n"
    sys.stdout.write(page)
    if args.results:
        (args.results / "paper_recipe.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (args.results / "paper_recipe.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
