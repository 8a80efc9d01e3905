r"""Measure the speed of fine-tuning: ours against TRL's SFTTrainer, and against features computed in every step.

    python -m venv /tmp/venv-trl && /tmp/venv-trl/bin/pip install torch==… transformers==… peft==… trl  (ours' versions)
    taskset -c 0 env OMP_NUM_THREADS=1 python benchmarks/training.py --trl-python /tmp/venv-trl/bin/python \
        [--data FOLDER] [--few] [--results benchmarks/results]

SmolLM2-135M in float32 on samples of all seven tasks, the same number of each; LoRA (rank 16, all linear layers, no
dropout) on text, and cross-attention without LoRA on images. Without --data a dataset of the sample shop is built.

Every contestant is a process of its own with one thread, which trains in its turns: a turn is an epoch of the same
samples. Its first step comes before all turns and is not counted. Rounds of turns are repeated until the time is up, at
least twice and in reverse order every second time; each turn is compared with ours of the same round.

    text                    our finetune
    text, packed            packing=true: the samples of a batch share rows
    xattn and LoRA          our finetune with images (EfficientNet-Lite0); the peers have none
    trl                     SFTTrainer with its defaults, the loss on completions, in shuffled batches
    trl, same batches       the same in our batches, which are sorted by length as its own group_by_length would
    trl, no checkpointing   and without gradient checkpointing, which is its default
    trl, padding-free       and with the batch in one row

Processor seconds are compared, since other work may share the machine; wall-clock seconds are recorded as well.
Losses are compared step by step where batches are the same. SFTTrainer's defaults of bfloat16 and of its schedule are
replaced by ours: float32, and the same rates. Liger's kernels (Triton) and flash attention do not run on a CPU.

    EfficientNet, cached                  images, features from the cache as any run of ours
    EfficientNet, recomputed              the same, but each batch is decoded and encoded when it is made
    EfficientNet, recomputed by Trainer   the same model in transformers' Trainer as it comes, features in float32
    SigLIP, cached / recomputed           an encoder of SigLIP base's shape with random weights, images of 224 pixels
    SigLIP 384, cached / recomputed       the same with images of 384 pixels, as the presets' own encoder takes

The cache keeps features in 16 bits; the second rounds its own in the same way, so that losses can be compared.
SFTTrainer does not train this model: it replaces the model's forward pass by its own, and images come in
through that.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.dataset as parquet
import pyarrow.parquet as pq
from training_page import markdown

from caslie_model.backbones.language_model import locate
from caslie_model.batching.order import batch_order
from caslie_model.config.presets import finetune_config
from caslie_model.prompts.encoder import Encoded, PromptFormat
from caslie_model.prompts.templates import packaged_templates
from caslie_model.training.finetune import select_samples
from mmecinstruct.schemas.samples import published_schema

SEED = 0
# At most; the learning rate falls over so many.
ROUNDS = 20
HERE = Path(__file__).parent
OURS = ("text", "text, packed", "xattn and LoRA")
PEERS = ("trl", "trl, same batches", "trl, no checkpointing", "trl, padding-free")
SEEING = ("EfficientNet, cached", "EfficientNet, recomputed", "EfficientNet, recomputed by Trainer")
SEEING_MORE = ("SigLIP, cached", "SigLIP, recomputed", "SigLIP 384, cached", "SigLIP 384, recomputed")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
SHARES = {"text": 0.6, "images": 0.4}  # of the time
BUILD = (
    "sample.products=600",
    "sizes={train: 40, validation: 10, test: 10, test_ood: 10}",
)

Result = dict[str, Any]


def build(folder: Path) -> Path:
    """Build a small dataset of the sample shop; return its folder."""
    settings = [word for setting in BUILD for word in ("--set", setting)]
    command = [sys.executable, "-m", "mmecinstruct", "build", "--out", str(folder / "built")]
    subprocess.run(
        [*command, "--workspace", str(folder / "workspace"), *settings],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return folder / "built"


def cut(source: Path, target: Path, preset: str, per_task: int) -> None:
    """Write a dataset of the training samples that are used, so that only their images are encoded."""
    config = finetune_config(
        preset, [], data=str(source), out=target / "unused", samples_per_task=per_task, seed=SEED
    )
    samples = select_samples(config)
    for task in config.tasks:
        ids = [sample.id for sample in samples if sample.task == task]
        if len(ids) < per_task:
            raise SystemExit(f"{source}: {task} has only {len(ids)} training samples")
        files = sorted((source / task).glob("train-*.parquet"))
        rows = parquet.dataset(files).to_table(filter=parquet.field("id").isin(ids))
        path = target / task / "train-00000-of-00001.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(rows.cast(published_schema()), path)


def write_job(folder: Path, preset: str, batch_size: int, epochs: int) -> Result:
    """Write what all contestants train on and how; return it."""
    from transformers import AutoTokenizer

    data = folder / "data"
    config = finetune_config(preset, [], data=str(data), out=folder / "unused", seed=SEED)
    model = locate(config.base_model)
    prompts = PromptFormat(
        AutoTokenizer.from_pretrained(model), *packaged_templates(), config.answers, config.max_length
    )
    rows = prompts.encode_all(select_samples(config))
    planned = planned_batches(rows, batch_size)
    job = {
        "preset": preset,
        "data": str(data),
        "model": model,
        "max_length": config.max_length,
        "rows": [{"prompt": row.prompt, "target": row.target} for row in rows],
        "orders": {
            "planned": [planned] * epochs,
            "random": [shuffled_batches(len(rows), batch_size, number) for number in range(epochs)],
        },
        "settings": {
            "lora": {"rank": 16, "alpha": 32, "dropout": 0.0, "target_modules": "all-linear"},
            "optimiser": {
                "learning_rate": config.lr,
                "lr_scheduler_type": "cosine",
                "warmup_steps": 0,
                "weight_decay": config.weight_decay,
                "max_grad_norm": config.max_grad_norm,
                "seed": SEED,
            },
        },
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    return job


def planned_batches(rows: Sequence[Encoded], batch_size: int) -> list[list[int]]:
    """Return the batches of an epoch in the order of our finetune."""
    lengths = [len(row.prompt) + len(row.target) for row in rows]
    order = batch_order([row.sample.id for row in rows], lengths, batch_size, 1, None, SEED)
    return [list(batch) for batch in order.batches]


def shuffled_batches(count: int, batch_size: int, epoch: int) -> list[list[int]]:
    """Return the batches of an epoch in random order, as a Trainer makes them by default."""
    order = random.Random(f"{SEED} {epoch}").sample(range(count), count)
    return [order[start : start + batch_size] for start in range(0, count, batch_size)]


class Contestant:
    """A process that trains in its turns."""

    def __init__(self, name: str, python: Path, folder: Path) -> None:
        script = HERE / ("training_peers.py" if name in PEERS else "training_ways.py")
        self.name = name
        self.turns: list[Result] = []
        self._log = (folder / f"{name}.log").open("w")
        self._process = subprocess.Popen(
            [str(python), str(script), str(folder / "job.json"), name],
            env={**os.environ, **ONE_THREAD, **OFFLINE},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.about = self._read_message()

    def take_turn(self) -> None:
        """Train an epoch."""
        self._send("go")
        self.turns.append(self._read_message())

    def leave(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._send("stop")
        self._process.wait(timeout=120)
        self._log.close()

    def _send(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def _read_message(self) -> Result:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"'{self.name}' ended:\n{Path(self._log.name).read_text()[-3000:]}")
        return dict(json.loads(line))


def race(names: Sequence[str], args: argparse.Namespace, folder: Path, minutes: float) -> Result:
    """Let contestants take turns until the minutes are up, two rounds at least; return their reports."""
    begin = time.monotonic()
    contestants: list[Contestant] = []
    longest = 0.0
    try:
        for name in names:
            contestants.append(
                Contestant(name, args.trl_python if name in PEERS else Path(sys.executable), folder)
            )
            print(f"{name}: ready", file=sys.stderr, flush=True)
        for number in range(args.rounds):
            start = time.monotonic()
            if number > 1 and start - begin + longest > minutes * 60:
                break
            for each in contestants[:: -1 if number % 2 else 1]:
                each.take_turn()
                took = each.turns[-1]
                print(
                    f"{each.name}: {took['seconds']:.1f} s, {took['cpu']:.1f} of the processor",
                    file=sys.stderr,
                    flush=True,
                )
            longest = max(longest, time.monotonic() - start)
    finally:
        for each in contestants:
            each.leave()
    return {each.name: {**each.about, "turns": each.turns} for each in contestants}


def with_recorded_races(result: Result, recorded: Result) -> Result:
    """Return the result with the races of an earlier run that this one left out, if they ran the same samples."""
    same = all(result[name] == recorded.get(name) for name in ("preset", "batch", "samples", "tokens", "few"))
    kept = {name: recorded[name] for name in SHARES if same and name in recorded and name not in result}
    return {**result, **kept, "of_an_earlier_run": sorted(kept)}


def main() -> None:
    """Run all contestants and write training.json and training.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trl-python", type=Path, help="of an environment with trl; without it no peer runs")
    parser.add_argument("--data", type=Path, help="a dataset folder; without it one is built")
    parser.add_argument("--preset", default="smollm2-135m", help="tiny: random weights, to try it out")
    parser.add_argument("--per-task", type=int, default=2, help="samples of each of the seven tasks")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="at most")
    parser.add_argument(
        "--minutes",
        type=float,
        default=14,
        help="of all; a third round is begun only if it would end by then",
    )
    parser.add_argument("--few", action="store_true", help="one round of one sample per task, to try it out")
    parser.add_argument("--only", nargs="*", default=[], help="contestants by name")
    parser.add_argument("--results", type=Path)
    args = parser.parse_args()
    if args.few:
        args.rounds, args.per_task, args.batch = 1, 1, 1
    if args.per_task * 7 % args.batch:
        parser.error(f"--batch {args.batch} does not divide {args.per_task * 7} samples")
    result: Result = {
        "load_before": [round(one, 1) for one in os.getloadavg()],
        "few": args.few,
        "preset": args.preset,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cut(args.data or build(folder), folder / "data", args.preset, args.per_task)
        job = write_job(folder, args.preset, args.batch, args.rounds)
        lengths = [len(row["prompt"]) + len(row["target"]) for row in job["rows"]]
        result |= {
            "batch": args.batch,
            "samples": len(lengths),
            "tokens": sum(lengths),
            "lengths": [min(lengths), max(lengths)],
        }
        # Images first: filling the cache is timed in the contestant whose page reports it.
        races = {"images": (*SEEING, *SEEING_MORE), "text": (*OURS, *(PEERS if args.trl_python else ()))}
        for title, every in races.items():
            names = [one for one in every if not args.only or one in args.only]
            if names:
                result[title] = race(names, args, folder, args.minutes * SHARES[title])
    result["load_after"] = [round(one, 1) for one in os.getloadavg()]
    recorded = args.results / "training.json" if args.results else None
    if recorded is not None and recorded.is_file():
        result = with_recorded_races(result, json.loads(recorded.read_text(encoding="utf-8")))
    page = "\n".join(markdown(result)) + "\n"
    sys.stdout.write(page)
    if args.results:
        (args.results / "training.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (args.results / "training.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
