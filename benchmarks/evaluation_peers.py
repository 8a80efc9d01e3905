r"""Ours beside lm-evaluation-harness: the same model, samples, prompts and batch size.

    python -m venv /tmp/venv-lm-eval && /tmp/venv-lm-eval/bin/pip install "lm_eval[hf]==0.4.13" torch transformers
    python benchmarks/evaluation_peers.py --data DATASET --peer-python /tmp/venv-lm-eval/bin/python

DATASET is a dataset folder (`mmec build --tasks all` without sources builds the sample). The harness gets tasks of its
own kind: a YAML file each, with local JSON data that has our exact prompts and, for likelihood, our exact options with
the token that ends an answer (multiple_choice), or our number of new tokens and that token as stop (generate_until).

Both are processes with the same number of threads that load the model once. They take turns: a part of the samples is
answered by one, then by the other, and who is first alternates. Only answering is timed, from texts to answers:
`LM.loglikelihood` and `LM.generate_until` there, `LocalPredictor.prepare` and `.answer` here; each chooses which
samples of a part make a batch. The ratio of each part is recorded, its spread is that of the parts. The harness's
accuracy and macro F1 are its own (`acc`, and scikit-learn's macro F1 as the aggregation of `f1`), ours are computed
from the same answers.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads take no CPU seconds

from training_turns import Line

# Task, how answers are written, samples, samples of a part.
LIKELIHOOD = (
    ("sentiment_analysis", "text", 60, 16),
    ("category_classification", "text", 24, 8),
    ("sequential_recommendation", "text", 2, 1),
    ("product_substitute_identification", "text", 30, 20),
)
GENERATION = (
    ("product_substitute_identification", "text", 120, 40),
    ("multiclass_product_classification", "letter", 120, 40),
    ("sentiment_analysis", "letter", 120, 40),
)
AGGREGATION = """from sklearn.metrics import f1_score


def macro_f1(items):
    golds, predictions = zip(*items)
    return f1_score(golds, predictions, average="macro")
"""
Result = dict[str, Any]


# -- the harness, which imports nothing of the project -----------------------------------------------------


def in_turns(line: Line, answer: Callable[[list[Any]], list[Any]], part: int) -> Callable[..., list[Any]]:
    """Return a method of a harness's model that waits before each part of the documents and tells what it took."""

    def answer_parts(requests: list[Any], **options: Any) -> list[Any]:
        answers = []
        documents = list(dict.fromkeys(request.doc_id for request in requests))
        for start in range(0, len(documents), part):
            chosen = set(documents[start : start + part])
            asked = [request for request in requests if request.doc_id in chosen]
            line.may_go_on()
            wall, cpu = time.perf_counter(), time.process_time()
            answers += answer(asked)
            line.send(seconds=time.perf_counter() - wall, cpu_seconds=time.process_time() - cpu)
        return answers

    return answer_parts


def run_peer(folder: Path) -> None:
    """Answer the tasks in a folder."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "hf")}
    line = Line()
    import lm_eval
    import torch
    import transformers
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    torch.set_num_threads(job["threads"])
    model = HFLM(
        pretrained=job["model"], batch_size=job["batch_size"], dtype="float32", device="cpu", backend="causal"
    )
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    methods = {"likelihood": "loglikelihood", "generate": "generate_until"}
    answer = {name: getattr(model, name) for name in methods.values()}
    line.send(
        lm_eval=lm_eval.__version__, torch=torch.__version__, transformers=transformers.__version__
    )  # ready
    for task in job["tasks"]:
        method = methods[task["scoring"]]
        setattr(model, method, in_turns(line, answer[method], task["part"]))
        result = lm_eval.simple_evaluate(
            model=model, tasks=[task["name"]], task_manager=manager, bootstrap_iters=0, log_samples=True
        )
        samples = sorted(result["samples"][task["name"]], key=lambda each: each["doc_id"])
        line.send(
            metrics={
                name.partition(",")[0]: value
                for name, value in result["results"][task["name"]].items()
                if isinstance(value, float)
            },
            answers=[each["resps"] for each in samples],
        )


# -- ours --------------------------------------------------------------------------------------------------


def write_task(folder: Path, task: Result, encoded: Sequence[Any], prompts: Sequence[str], ends: Any) -> None:
    """Write a task of the harness: its data and its settings."""
    import yaml

    is_likelihood = task["scoring"] == "likelihood"
    rows = []
    for each, prompt in zip(encoded, prompts, strict=True):
        labels = list(each.answers)
        row: Result = {"prompt": prompt, "target": labels.index(each.sample.output)}
        if is_likelihood:
            row["choices"] = [ends.decode(tokens) for tokens in each.answers.values()]
        rows.append(row)
    data = folder / f"{task['name']}.json"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    settings: Result = {
        "task": task["name"],
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "doc_to_text": "prompt",
        "doc_to_target": "target",
        "target_delimiter": "",
    }
    if is_likelihood:
        settings |= {"output_type": "multiple_choice", "doc_to_choice": "choices"}
        metrics = (
            "metric_list:\n"
            "- {metric: acc, aggregation: mean, higher_is_better: true}\n"
            "- metric: f1\n  aggregation: !function aggregation.macro_f1\n  higher_is_better: true\n"
        )
    else:
        settings |= {
            "output_type": "generate_until",
            "generation_kwargs": {
                "until": [ends.eos_token],
                "max_gen_toks": task["new_tokens"],
                "do_sample": False,
            },
        }
        metrics = "metric_list:\n- {metric: exact_match, aggregation: mean, higher_is_better: true}\n"
    (folder / f"{task['name']}.yaml").write_text(yaml.safe_dump(settings) + metrics, encoding="utf-8")


def answer_part(predictor: Any, samples: Sequence[Any]) -> Result:
    """Return our predictions by sample id, and what they took."""
    from caslie_model.inference.questions import Question

    wall, cpu = time.perf_counter(), time.process_time()
    prepared = predictor.prepare([Question(each, ()) for each in samples])
    predictions = {
        each.question.sample.id: prediction
        for batch in predictor.answer(prepared)
        for each, prediction in batch
    }
    return {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "predictions": predictions,
    }


def compare(task: Result, ours: Result, peer: Result, encoded: Sequence[Any]) -> Result:
    """Return which answers are equal, and both sides' figures from the same answers."""
    from caslie_model.evaluation.metrics import confusion, primary

    different = []
    theirs: list[str] = []
    right = [each.sample.output for each in encoded]
    largest = 0.0
    for each, responses in zip(encoded, peer["answers"], strict=True):
        prediction = ours[each.sample.id]
        if task["scoring"] == "likelihood":
            scores = {
                label: float(response[0][0]) for label, response in zip(each.answers, responses, strict=True)
            }
            label = max(scores, key=scores.__getitem__)
            theirs.append(label)
            # They count the line break before the answer to the option: the same for all options.
            shift = [prediction.scores[name] - scores[name] for name in scores]
            largest = max(largest, max(shift) - min(shift))
            if label != prediction.label:
                ranked = sorted(scores.values())
                different.append(
                    {
                        "sample": each.sample.id,
                        "ours": prediction.label,
                        "theirs": label,
                        "lead": ranked[-1] - ranked[-2],
                    }
                )
        else:
            [[text]] = responses
            theirs.append(text.strip())
            if text.strip() != prediction.text:
                different.append(
                    {
                        "sample": each.sample.id,
                        "ours": prediction.text,
                        "theirs": text.strip(),
                        "alone": prediction.alone,
                    }
                )
    result: Result = {
        "samples": len(encoded),
        "equal": len(encoded) - len(different),
        "different": different,
        "decided_alone": sum(ours[each.sample.id].alone for each in encoded),
        "harness_metrics": peer["metrics"],
    }
    if task["scoring"] == "likelihood":
        labels = sorted({label for each in encoded for label in each.sample.labels})
        counts = confusion(right, theirs, labels)
        # The harness knows positions, which are the labels' order in each of our samples.
        result |= {
            "largest_difference": largest,
            "our_metrics_of_their_answers": {
                "acc": float(primary("accuracy", counts, labels)),
                "f1": float(primary("macro F1", counts, labels)),
            },
        }
    return result


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, least and most."""
    return {
        "median": round(statistics.median(values), 2),
        "least": round(min(values), 2),
        "most": round(max(values), 2),
    }


def prepare(options: argparse.Namespace, folder: Path) -> list[Result]:
    """Load our model, choose samples, and write the harness's tasks."""
    from dataclasses import replace

    from caslie_model.adapters.loading import load_for_evaluation
    from caslie_model.config.presets import evaluate_config
    from caslie_model.data.samples import first_by_hash, read_samples
    from caslie_model.inference.local_predictor import LocalPredictor
    from caslie_model.inference.predict import GENERATION_SLACK

    config = evaluate_config(
        model=options.model, data=options.data, out="unused", base_only=True, answers="text", device="cpu"
    )
    text = load_for_evaluation(config)
    tasks = []
    chosen = [("likelihood", *each) for each in LIKELIHOOD] + [("generate", *each) for each in GENERATION]
    for scoring, name, answers, count, part in chosen:
        if not f"{scoring}_{name}".startswith(options.only or ""):
            continue
        loaded = replace(text, prompt_format=replace(text.prompt_format, answers=answers))
        count = max(1, round(count * options.share))
        samples = first_by_hash(read_samples(options.data, name, "test"), count, 0, "compared samples")
        encoded = [loaded.prompt_format.encode(each) for each in samples]
        prompts = [loaded.prompt_format.render(each) for each in samples]
        tokenizer = loaded.tokenizer
        for each, prompt in zip(encoded, prompts, strict=True):
            for tokens in each.answers.values():
                whole = tokenizer(prompt + tokenizer.decode(tokens)).input_ids
                assert tuple(whole) == (*each.prompt, *tokens), each.sample.id
        task: Result = {"name": f"{scoring}_{name}", "task": name, "scoring": scoring, "answers": answers}
        task |= {"part": part, "new_tokens": max(each.answer_room for each in encoded) + GENERATION_SLACK}
        write_task(folder, task, encoded, prompts, tokenizer)
        settings = config.model_copy(update={"scoring": scoring, "batch_size": options.batch_size})
        tasks.append({**task, "predictor": LocalPredictor(loaded, settings), "encoded": encoded})
    (folder / "aggregation.py").write_text(AGGREGATION, encoding="utf-8")
    job = {
        "model": text.model.name_or_path,
        "threads": options.threads,
        "batch_size": options.batch_size,
        "tasks": [{name: task[name] for name in ("name", "scoring", "part")} for task in tasks],
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    return tasks


def measure(options: argparse.Namespace, folder: Path) -> Result:
    """Let both answer in turns."""
    import torch

    torch.set_num_threads(options.threads)
    tasks = prepare(options, folder)
    answer_part(tasks[0]["predictor"], [each.sample for each in tasks[0]["encoded"][:2]])  # warms up
    results: Result = {}
    with subprocess.Popen(
        [options.peer_python, __file__, "--peer", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    ) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None

        def heard() -> Result:
            line = peer.stdout.readline()  # type: ignore[union-attr]
            if not line:
                raise SystemExit("the harness ended; its messages are above")
            return dict(json.loads(line))

        versions = heard()
        for task in tasks:
            samples = [each.sample for each in task["encoded"]]
            load = [round(each, 1) for each in os.getloadavg()]
            predictions: Result = {}
            parts: list[Result] = []
            for start in range(0, len(samples), task["part"]):
                part = samples[start : start + task["part"]]
                times = {}
                for side in ("ours", "theirs") if len(parts) % 2 else ("theirs", "ours"):
                    if side == "ours":
                        times[side] = answer_part(task["predictor"], part)
                        predictions |= times[side].pop("predictions")
                    else:
                        peer.stdin.write("go\n")
                        peer.stdin.flush()
                        times[side] = heard()
                parts.append(times)
                print(
                    task["name"],
                    start,
                    {side: round(each["seconds"], 2) for side, each in times.items()},
                    file=sys.stderr,
                )
            result = compare(task, predictions, heard(), task["encoded"])
            for unit in ("seconds", "cpu_seconds"):
                result[unit] = {
                    side: round(sum(each[side][unit] for each in parts), 1) for side in ("ours", "theirs")
                }
                result[f"theirs_by_ours_{unit}"] = spread(
                    [each["theirs"][unit] / each["ours"][unit] for each in parts]
                )
            result["load"] = [load, [round(each, 1) for each in os.getloadavg()]]
            results[task["name"]] = {"answers": task["answers"], "parts": len(parts), **result}
    return {
        "model": options.model,
        "batch_size": options.batch_size,
        "threads": options.threads,
        "versions": versions,
        "results": results,
    }


def page(record: Result) -> str:
    """Return the result as Markdown."""

    def shown(each: dict[str, float]) -> str:
        return f"{each['median']} [{each['least']}, {each['most']}]"

    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    lines = [
        "# Beside lm-evaluation-harness",
        "",
        f"`evaluation_peers.py`: {record['model']}, float32, batches of {record['batch_size']}, {record['threads']} "
        f"thread(s) of a machine of {os.cpu_count()} cores that others use: CPU seconds are the fairer measure; "
        f"{versions}. Seconds are sums; ratios are the median [least, most] of the parts in which both took turns, and "
        "above 1 where ours is faster.",
        "",
        "| task | answers | samples | parts | load | seconds: ours | theirs | theirs / ours | of CPU seconds | equal "
        "answers | decided alone | accuracy and macro F1 of their answers: theirs | ours |",
        "|---|---|---:|---:|---|---:|---:|---|---|---:|---:|---|---|",
    ]
    for name, each in record["results"].items():
        theirs = each["harness_metrics"]
        ours = each.get("our_metrics_of_their_answers", {})
        figures = [
            f"{found['acc']:.6f}, {found['f1']:.6f}" if "acc" in found else "" for found in (theirs, ours)
        ]
        lines.append(
            f"| {name.replace('_', ' ')} | {each['answers']} | {each['samples']} | {each['parts']} | "
            f"{each['load'][0][0]} to {each['load'][1][0]} | "
            f"{each['seconds']['ours']} | {each['seconds']['theirs']} | {shown(each['theirs_by_ours_seconds'])} | "
            f"{shown(each['theirs_by_ours_cpu_seconds'])} | {each['equal']} | {each['decided_alone']} | "
            f"{' | '.join(figures)} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data")
    parser.add_argument("--peer-python", help="Python of the environment with lm_eval")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--share", type=float, default=1.0, help="of the samples; 2: over 200 of likelihood")
    parser.add_argument("--only", help="tasks whose name here starts so; the others' results are kept")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results"))
    parser.add_argument("--peer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer is not None:
        run_peer(options.peer)
        return
    with tempfile.TemporaryDirectory() as folder:
        record = measure(options, Path(folder))
    options.results.mkdir(parents=True, exist_ok=True)
    earlier = options.results / "evaluation_peers.json"
    if options.only is not None and earlier.is_file():
        record["results"] = json.loads(earlier.read_text(encoding="utf-8"))["results"] | record["results"]
    (options.results / "evaluation_peers.json").write_text(
        json.dumps(record, indent=1) + "\n", encoding="utf-8"
    )
    (options.results / "evaluation_peers.md").write_text(page(record), encoding="utf-8")


if __name__ == "__main__":
    main()
