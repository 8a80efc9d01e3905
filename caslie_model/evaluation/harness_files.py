"""Results in the shape of lm-evaluation-harness, which dashboards read: `results_*.json` and `samples_*.jsonl`.

A task and split is one task of the harness. An answer that is none has `[invalid]` as its filtered response, as the
harness writes where its filter finds nothing. Names stand for paths of this machine.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from caslie_model.config.evaluation import EvaluateConfig
from caslie_model.data.samples import Sample
from caslie_model.hub.public_names import public_json, public_name
from mmecinstruct.core.files import write_atomically
from mmecinstruct.version import __version__

FOLDER = "lm-eval"
INVALID = "[invalid]"
_METRICS = {"accuracy": "acc", "recall@1": "acc", "F1": "f1", "macro F1": "f1_macro"}


def write_harness_files(
    config: EvaluateConfig,
    metrics: Mapping[str, Any],
    samples: Sequence[Sample],
    records: Mapping[str, Mapping[str, Any]],
) -> list[Path]:
    """Write one file of results and a file of samples for each task and split; files of an earlier call go.

    Args:
        config: The settings of the evaluation.
        metrics: The content of metrics.json.
        samples: The evaluated samples.
        records: Records of predictions by id of the sample.

    Returns:
        The files, in the folder `lm-eval` of the evaluation.
    """
    now = datetime.now(UTC)
    folder = config.out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for old in [*folder.glob("results_*.json"), *folder.glob("samples_*.jsonl")]:
        old.unlink()
    stamp = now.replace(tzinfo=None).isoformat().replace(":", "-")
    whole = {_name(row): row for row in metrics["results"] if row["part"] == "all"}
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in whole}
    for sample in samples:
        name = f"{sample.task}_{sample.split}"
        record = records.get(sample.id, {"prediction": None})
        rows[name].append(sample_row(len(rows[name]), sample, record))
    written = {f"results_{stamp}.json": json.dumps(_results(config, metrics, whole, rows, now), indent=2)}
    for name, lines in rows.items():
        written[f"samples_{name}_{stamp}.jsonl"] = "\n".join(
            json.dumps(line, ensure_ascii=False) for line in lines
        )
    for file, text in written.items():
        write_atomically(folder / file, f"{text}\n".encode(errors="replace"))
    return [folder / file for file in written]


def sample_row(number: int, sample: Sample, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of samples_*.jsonl.

    Args:
        number: Its number within the task and split.
        sample: The sample.
        record: The record of its prediction.

    Returns:
        Fields by name, with the types that the harness writes.
    """
    options = [f"{letter}: {text}" for letter, text in sample.options.items()]
    doc = {
        "id": sample.id,
        "task": sample.task,
        "split": sample.split,
        "category": sample.category,
        "instruction": sample.instruction,
        "input": _input(sample),
        "options": options,
        "output": sample.output,
    }
    question = "\n".join([sample.instruction, _input(sample), *options])
    label = record.get("prediction") or INVALID
    scores = record.get("scores")
    if scores is None:
        text = record.get("text")
        arguments = [(question, "")]
        responses: list[Any] = [[label if text is None else text]]
        filtered: list[Any] = [label]
    else:
        arguments = [(question, answer) for answer in scores]
        # The harness writes pairs of log-likelihood and "is it the greedy answer" as texts.
        filtered = [[str(value), str(answer == label)] for answer, value in scores.items()]
        responses = [[pair] for pair in filtered]
    return {
        "doc_id": number,
        "doc": doc,
        "target": sample.output,
        "arguments": {
            f"gen_args_{index}": {"arg_0": text, "arg_1": answer}
            for index, (text, answer) in enumerate(arguments)
        },
        "resps": responses,
        "filtered_resps": filtered,
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": _hash(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": record.get("prompt") or _hash(question),
        "target_hash": _hash(sample.output),
        "acc": float(label == sample.output),
        "prediction": label,
    }


def _input(sample: Sample) -> str:
    lines = (f"{field.name}: {' | '.join(field.texts)}" for field in sample.fields)
    return "\n".join(line.removeprefix(": ") for line in lines)


def _results(
    config: EvaluateConfig,
    metrics: Mapping[str, Any],
    whole: Mapping[str, Mapping[str, Any]],
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    now: datetime,
) -> dict[str, Any]:
    provenance = metrics["provenance"]
    model = public_name(metrics["model"])
    shots = int(provenance.get("shots") or 0)
    figures = {name: _figures(row) for name, row in whole.items()}
    return public_json(
        {
            "results": {name: {"alias": name, **figures[name]} for name in whole},
            "group_subtasks": {name: [] for name in whole},
            "configs": {
                name: {
                    "task": name,
                    "dataset_path": metrics["public_data"],
                    "dataset_name": row["task"],
                    "test_split": row["split"],
                    "output_type": "multiple_choice"
                    if provenance["scoring"] == "likelihood"
                    else "generate_until",
                    "num_fewshot": shots,
                    "metric_list": [
                        {
                            "metric": metric,
                            "aggregation": "mean" if metric == "acc" else metric,
                            "higher_is_better": True,
                        }
                        for metric in _higher(row)
                    ],
                    "repeats": 1,
                    "should_decontaminate": False,
                    "metadata": {"version": 1.0, "unparsable": row["unparsable"], "missing": row["missing"]},
                }
                for name, row in whole.items()
            },
            "versions": dict.fromkeys(whole, 1.0),
            "n-shot": dict.fromkeys(whole, shots),
            "higher_is_better": {name: _higher(row) for name, row in whole.items()},
            "n-samples": {
                name: {"original": row["samples"], "effective": row["samples"]} for name, row in whole.items()
            },
            "config": {
                "model": "caslie_model",
                "model_args": f"pretrained={model}",
                "batch_size": config.batch_size,
                "batch_sizes": [],
                "device": config.device,
                "use_cache": None,
                "limit": config.limit,
                "bootstrap_iters": config.bootstrap_resamples,
                "gen_kwargs": {},
                "random_seed": config.seed,
                "model_dtype": provenance.get("precision"),
            },
            "git_hash": None,
            "date": now.timestamp(),
            "caslie_model_version": __version__,
            "task_hashes": {
                name: _hash(
                    "".join(row["doc_hash"] + row["prompt_hash"] + row["target_hash"] for row in lines)
                )
                for name, lines in rows.items()
            },
            "model_source": "caslie_model",
            "model_name": model,
            "model_name_sanitized": "".join(
                sign if sign.isalnum() or sign in "-_." else "_" for sign in model
            ),
            "system_instruction": None,
            "chat_template": None,
            "max_length": provenance.get("max_length"),
        }
    )


def _figures(row: Mapping[str, Any]) -> dict[str, Any]:
    accuracy, count = row["accuracy"], row["samples"]
    spread = math.sqrt(accuracy * (1 - accuracy) / (count - 1)) if count > 1 else "N/A"
    figures = {"acc,none": accuracy, "acc_stderr,none": spread}
    primary = _METRICS[row["metric"]]
    if primary != "acc":
        figures |= {f"{primary},none": row["primary"], f"{primary}_stderr,none": "N/A"}
    return figures


def _higher(row: Mapping[str, Any]) -> dict[str, bool]:
    return dict.fromkeys(("acc", _METRICS[row["metric"]]), True)


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['task']}_{row['split']}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
