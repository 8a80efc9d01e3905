r"""Test the sample for leaks: a TF-IDF classifier over the whole training text against `text_only_accuracy`.

A visual-critical sample has the best accuracy that text alone allows. If a classifier trained on all training text
scores more than that on the visual-critical samples of both test splits, the generator leaks.

For the tasks with fixed answers the classifier has the words of each input field, and the pairs of words of two fields;
for the tasks with candidates it scores each candidate by the candidate's words, their pairs with the input's words, and
how many words they share. Logistic regression over TF-IDF, so every textual regularity that is linear in these is
found.

    mmec build --out FOLDER --set sample.products=6500 \
        --set "sizes={train: 4000, validation: 100, test: 1500, test_ood: 200}" \
        --set tasks.product_relation_prediction.sizes=null \
        --set "tasks.sequential_recommendation.sizes={train: 2000, validation: 50, test: 1500, test_ood: 400}"
    python benchmarks/text_only_leak.py FOLDER [--json RESULT]

exits 1 when on a task with at least 400 visual-critical test samples the upper 95 % bound of the accuracy is
not below the mean text_only_accuracy plus 5 points.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from caslie_model.evaluation.metrics import wilson_interval
from mmecinstruct.tasks import TASKS

TOLERANCE = 0.05
ENOUGH = 400
TEST_SPLITS = ("test", "test_ood")
COLUMNS = ["id", "input", "options", "output", "visual_critical", "text_only_accuracy"]

Row = dict[str, Any]


def words(text: str) -> list[str]:
    """Return the lower-case words of a text, short ones and numbers too."""
    return re.findall(r"\w+", text.lower())


def pairs(prefix: str, left: list[str], right: list[str]) -> Iterator[str]:
    """Yield the pairs of words of two texts as features."""
    return (f"{prefix}:{a}|{b}" for a, b in itertools.product(sorted(set(left)), sorted(set(right))))


def input_fields(row: Row) -> dict[str, list[str]]:
    """Return the words of each input field; a list is one field."""
    value = json.loads(row["input"])
    if isinstance(value, list):
        return {"items": words(" ".join(value))}
    return {key: words(" ".join(text) if isinstance(text, list) else text) for key, text in value.items()}


def fixed_features(row: Row) -> list[str]:
    """Return the features of a sample whose answers are the same for all samples of its task."""
    fields = input_fields(row)
    found = [f"{key}={word}" for key, text in fields.items() for word in text]
    found += [f"{key}={a} {b}" for key, text in fields.items() for a, b in itertools.pairwise(text)]
    if len(fields) == 2 and "document" not in fields:
        (_, left), (_, right) = sorted(fields.items())
        found += pairs("pair", left, right)
        found += [f"both={word}" for word in set(left) & set(right)]
        found.append(f"shared={len(set(left) & set(right))}")
    return found


def candidate_features(row: Row, option: str) -> list[str]:
    """Return the features of one candidate of a sample."""
    text = [word for field in input_fields(row).values() for word in field]
    candidate = words(option)
    found = [f"option={word}" for word in candidate]
    found += pairs("pair", text, candidate)
    counts = [text.count(word) for word in set(candidate)]
    found += [f"shared={sum(count > 0 for count in counts)}", f"most={max(counts, default=0)}"]
    return found


def classifier() -> Any:
    """Return TF-IDF over hashed features and a logistic regression."""
    return make_pipeline(
        FeatureHasher(2**20, input_type="string", alternate_sign=False),
        TfidfTransformer(sublinear_tf=True),
        LogisticRegression(C=10.0, max_iter=2000),
    )


def fit_and_predict(task: str, train: list[Row], test: list[Row]) -> list[str]:
    """Return the predicted letter, yes or no of each test row."""
    if TASKS[task].labels is not None:
        model = classifier().fit([fixed_features(row) for row in train], [row["output"] for row in train])
        return list(model.predict([fixed_features(row) for row in test]))

    def rated(rows: list[Row]) -> tuple[list[list[str]], list[int]]:
        features = [candidate_features(row, option[3:]) for row in rows for option in row["options"]]
        right = [int(option[0] == row["output"]) for row in rows for option in row["options"]]
        return features, right

    model = classifier().fit(*rated(train))
    scores = iter(model.predict_proba(rated(test)[0])[:, 1])
    return [row["options"][int(np.argmax([next(scores) for _ in row["options"]]))][0] for row in test]


def read_rows(folder: Path, task: str, split: str) -> list[Row]:
    """Return the rows of a split without images."""
    return [
        row
        for path in sorted((folder / task).glob(f"{split}-*.parquet"))
        for row in pq.read_table(path, columns=COLUMNS).to_pylist()
    ]


def measure(folder: Path, task: str) -> dict[str, Any] | None:
    """Return the classifier's accuracy on both parts of a task's test splits, or None without data."""
    train = read_rows(folder, task, "train")
    test = [row for split in TEST_SPLITS for row in read_rows(folder, task, split)]
    if not train or not test:
        return None
    predictions = fit_and_predict(task, train, test)
    result: dict[str, Any] = {"train": len(train)}
    for name, critical in (("visual_critical", True), ("text", False)):
        part = [
            (row, prediction)
            for row, prediction in zip(test, predictions, strict=True)
            if row["visual_critical"] is critical
        ]
        if not part:
            continue
        right = sum(row["output"] == prediction for row, prediction in part)
        low, high = wilson_interval(right, len(part))
        best = float(np.mean([row["text_only_accuracy"] for row, _ in part]))
        result[name] = {
            "samples": len(part),
            "right": right,
            "accuracy": right / len(part),
            "interval": [low, high],
            "mean_text_only_accuracy": best,
        }
        if critical:
            result[name]["no_leak"] = high < best + TOLERANCE
    return result


def main() -> int:
    """Print one line per task; return 1 when a task leaks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    results = {task: found for task in TASKS if (found := measure(arguments.folder, task))}
    print("task  part  samples  accuracy [95 % interval]  mean text_only_accuracy  outcome")
    leaks = False
    for task, result in results.items():
        for part in ("visual_critical", "text"):
            entry = result.get(part)
            if entry is None:
                continue
            outcome = ""
            if part == "visual_critical":
                enough = entry["samples"] >= ENOUGH
                outcome = "no leak" if entry["no_leak"] else "LEAK" if enough else "too few samples"
                leaks |= enough and not entry["no_leak"]
            low, high = entry["interval"]
            print(
                f"{task}  {part}  {entry['samples']}  {entry['accuracy']:.3f} [{low:.3f}, {high:.3f}]  "
                f"{entry['mean_text_only_accuracy']:.3f}  {outcome}"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return int(leaks)


if __name__ == "__main__":
    sys.exit(main())
