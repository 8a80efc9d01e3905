"""Do models use their images? A matrix on the sample shop: fusions with and without LoRA, text alone, and a ceiling.

    python benchmarks/fusion_proof.py OUT [--tasks cc,psi] [--seeds 0,1] [--only cc-xattn-0 …] [--samples 400]

Every run trains on the same samples in the same number of steps. Image models start from an alignment of their own
fusion and seed, on images of the train split. Each model is scored on the test samples whose answer needs the image:
with their own images, with those of other samples, and with none. It is scored on the other samples with their own
images. `told` is the ceiling: a text model that reads a description of the image (kind, colour, pattern, shape in
words).

The matrix may be stopped at any time and resumes when started again. Two processes may work on one matrix, on different
runs. The table is written after each run.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.schemas.samples import published_schema
from mmecinstruct.tasks import TASKS

ATTRIBUTES = ("shape", "pattern", "colour", "fine_category")
LONG_NAMES = {"cc": "category_classification", "psi": "product_substitute_identification"}
BUILD = (
    ("sizes", "{train: 4000, validation: 100, test: 1500, test_ood: 200}"),
    ("tasks.product_relation_prediction.sizes", "null"),
    ("tasks.sequential_recommendation.sizes", "{train: 2000, validation: 50, test: 1500, test_ood: 400}"),
)


@dataclass(frozen=True)
class Way:
    """A column of the matrix."""

    name: str
    fusion: str
    lora: bool
    described: bool = False


WAYS = (
    Way("text", "text", True),
    Way("told", "text", True, described=True),
    Way("xattn", "xattn", False),
    Way("xattn-lora", "xattn", True),
    Way("concat", "concat", False),
    Way("concat-lora", "concat", True),
)


def run(command: list[str], log: Path) -> None:
    """Run a command with its output in a log file; the end of the log is shown when it fails."""
    with log.open("a") as stream:
        done = subprocess.run(
            [sys.executable, "-m", *command], stdout=stream, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{log.read_text()[-3000:]}")


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file."""
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def build(out: Path, products: int) -> Path:
    """Build the sample's dataset once; return the table of its products' attributes."""
    settings = [word for name, value in BUILD for word in ("--set", f"{name}={value}")]
    settings += ["--set", f"sample.products={products}"]
    folders = ("--out", str(out / "dataset"), "--workspace", str(out / "workspace"))
    run(["mmecinstruct", "build", *folders, *settings], out / "build.log")
    (table,) = (out / "workspace").glob("stages/synthetic_shop/*/tables/latents/products.parquet")
    return table


def describe_images(dataset: Path, catalogue: Path, out: Path, tasks: list[str]) -> None:
    """Write a copy of the dataset without images, in which each input describes its product's image in words."""
    rows = pq.read_table(catalogue, columns=["asin", *ATTRIBUTES]).to_pylist()
    words = {row["asin"]: " ".join(str(row[name]) for name in ATTRIBUTES) for row in rows}
    for task in tasks:
        for source in sorted((dataset / LONG_NAMES[task]).glob("*.parquet")):
            target = out / LONG_NAMES[task] / source.name
            if target.is_file():
                continue
            described = []
            for row in pq.read_table(source).to_pylist():
                owner = next(iter(row["image_product_ids"] or []), "").partition(":")[2]
                if owner in words:
                    content = json.loads(row["input"])
                    content["the image shows"] = words[owner]
                    row["input"] = json.dumps(content, ensure_ascii=False)
                described.append({**row, "images": [], "image_roles": []})
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_suffix(".partial")
            pq.write_table(pa.Table.from_pylist(described, schema=published_schema()), partial)
            partial.rename(target)


def align(out: Path, catalogue: Path, fusion: str, seed: int, options: argparse.Namespace) -> Path:
    """Align the adapters of a fusion once; return the adapter folder."""
    folder = out / f"aligned-{fusion}-{seed}"
    with alone(out / f"{folder.name}.lock"):
        run(
            [
                *("caslie_model", "align", "--data", str(out / "dataset"), "--out", str(folder), "--resume"),
                *("--catalogue", str(catalogue), "--id-column", "asin", "--attributes", ",".join(ATTRIBUTES)),
                *("--preset", options.preset, "--fusion", fusion, "--set", f"seed={seed}"),
                *("--set", f"images={options.aligned_images}", "--set", f"tasks=[{options.tasks}]"),
                *("--set", f"epochs={options.align_epochs:g}", "--set", "max_train_tokens=null"),
                *("--set", f"precision={options.precision}"),
            ],
            out / f"{folder.name}.log",
        )
    return folder


def one(out: Path, catalogue: Path, task: str, way: Way, seed: int, options: argparse.Namespace) -> None:
    """Train one model of the matrix and score it."""
    name = f"{task}-{way.name}-{seed}"
    data = out / ("told" if way.described else "dataset")
    log = out / f"{name}.log"
    command = [
        *("caslie_model", "finetune", "--data", str(data), "--out", str(out / name), "--resume"),
        *("--preset", options.preset, "--fusion", way.fusion, "--tasks", task, "--set", f"seed={seed}"),
        *("--set", f"samples_per_task={options.samples}", "--set", "max_train_tokens=null"),
        *("--set", f"epochs={options.epochs}", "--set", f"precision={options.precision}"),
    ]
    if way.fusion != "text":
        command += ["--set", f"init_from={align(out, catalogue, way.fusion, seed, options)}"]
        if way.lora:
            command.append("--lora")
    run(command, log)
    for images in ("own",) if way.fusion == "text" else ("own", "shuffled", "none"):
        # Samples that need no image are scored with their own images only.
        for subset in ("visual-critical", "text") if images == "own" else ("visual-critical",):
            run(
                [
                    *("caslie_model", "evaluate", "--model", str(out / name), "--data", str(data)),
                    *("--out", str(out / f"{name}-{images}-{subset}"), "--tasks", task, "--splits", "test"),
                    *("--subset", subset, "--limit", str(options.scored), "--scoring", "likelihood"),
                    *("--set", f"precision={options.precision}", "--set", "batch_size=1"),
                    *(["--set", f"images={images}"] if images != "own" else []),
                ],
                log,
            )


def table(out: Path) -> Iterator[str]:
    """Yield the table of finished runs in Markdown."""
    yield "| task | model | seed | images | needs image | 95 % | told by text alone | text suffices | 95 % |"
    yield "|---|---|---:|---|---:|---|---:|---:|---|"
    for folder in sorted(out.glob("*-visual-critical/metrics.json")):
        name = folder.parent.name.removesuffix("-visual-critical")
        task, *way, seed, images = name.split("-")
        critical = scores(folder)
        rest = scores(out / f"{name}-text" / "metrics.json")
        cells = [
            task,
            "-".join(way),
            seed,
            images,
            *accuracy_cells(critical),
            bound(critical),
            *accuracy_cells(rest),
        ]
        yield f"| {' | '.join(cells)} |"


def scores(file: Path) -> dict[str, Any]:
    """Return the figures of the one part that an evaluation scored."""
    if not file.is_file():
        return {}
    results = json.loads(file.read_text())["results"]
    return next((dict(result) for result in results if result["part"] == "all"), {})


def accuracy_cells(result: dict[str, Any]) -> tuple[str, str]:
    """Return accuracy and its interval as cells of the table."""
    if not result:
        return "", ""
    low, high = result["accuracy_interval"]
    return f"{result['accuracy']:.3f}", f"{low:.3f}–{high:.3f}"


def bound(result: dict[str, Any]) -> str:
    """Return the best accuracy from text alone as a cell of the table."""
    known = result.get("text_only_accuracy")
    return "" if known is None else f"{known:.3f}"


def main() -> int:
    """Run the missing models of the matrix and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--tasks", default="cc,psi")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--preset", default="smollm2-135m")
    parser.add_argument("--products", type=int, default=6500, help="of the sample shop")
    parser.add_argument("--samples", type=int, default=400, help="training samples of each run")
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--aligned-images", type=int, default=3000)
    parser.add_argument("--align-epochs", type=float, default=1)
    parser.add_argument("--scored", type=int, default=150, help="test samples of each part")
    parser.add_argument("--precision", default="bfloat16", help="or float32, which takes half as long again")
    parser.add_argument("--only", nargs="*", default=[], help="runs by name: cc-xattn-0")
    options = parser.parse_args()
    tasks = options.tasks.split(",")
    unknown = [task for task in tasks if LONG_NAMES.get(task) not in TASKS]
    if unknown:
        parser.error(f"--tasks: {', '.join(unknown)} is not one of {', '.join(LONG_NAMES)}")
    options.out.mkdir(parents=True, exist_ok=True)
    with alone(options.out / "data.lock"):
        catalogue = build(options.out, options.products)
        describe_images(options.out / "dataset", catalogue, options.out / "told", tasks)
    for seed in map(int, options.seeds.split(",")):
        for task in tasks:
            for way in WAYS:
                if not options.only or f"{task}-{way.name}-{seed}" in options.only:
                    print(f"{task}-{way.name}-{seed}", file=sys.stderr, flush=True)
                    one(options.out, catalogue, task, way, seed, options)
                    (options.out / "table.md").write_text("\n".join(table(options.out)) + "\n")
    print("\n".join(table(options.out)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
