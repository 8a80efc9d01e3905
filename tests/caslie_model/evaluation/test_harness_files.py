"""Exported files, read as dashboards read those of lm-evaluation-harness."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score

from caslie_model.config.presets import evaluate_config
from caslie_model.evaluation.evaluate import evaluate
from caslie_model.evaluation.harness_files import INVALID
from caslie_model.inference.select_samples import select_samples

# Columns of a row of samples_*.jsonl.
COLUMNS = {
    *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
    *("doc_hash", "prompt_hash", "target_hash", "acc"),
}


def files_of(out: Path) -> tuple[dict[str, Any], dict[str, Path]]:
    (results,) = (out / "lm-eval").glob("results_*.json")
    # The name of the task stands between the first and the last underscore.
    samples = {
        path.name.partition("_")[2].rpartition("_")[0]: path for path in (out / "lm-eval").glob("samples_*")
    }
    return json.loads(results.read_text()), samples


@pytest.fixture(scope="module")
def exported(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Answers that are right, wrong and unreadable in turn."""
    folder = tmp_path_factory.mktemp("exported")
    asked = {"data": str(dataset), "tasks": ["sa", "ap", "mpc"], "splits": ["test", "test_ood"]}
    file = folder / "answers.jsonl"
    samples = list(select_samples(evaluate_config(out=folder, predictions=file, **asked)).samples)
    with file.open("w") as stream:
        for number, sample in enumerate(samples):
            wrong = next(label for label in sample.labels if label != sample.output)
            text = (sample.output, f"So the answer is {sample.output}.", wrong, "who knows")[number % 4]
            print(json.dumps({"id": sample.id, "text": text}), file=stream)
    metrics = evaluate(
        evaluate_config(out=folder / "e", predictions=file, export=["lm-eval"], **asked)
    ).metrics
    return folder / "e", metrics


def test_figures_of_the_rows_are_those_of_the_results(exported: tuple[Path, dict[str, Any]]) -> None:
    out, metrics = exported
    results, samples = files_of(out)
    whole = {f"{row['task']}_{row['split']}": row for row in metrics["results"] if row["part"] == "all"}
    assert set(whole) == set(samples) == set(results["results"])
    for name, path in samples.items():
        rows = pd.read_json(path, lines=True)
        assert set(rows.columns) >= COLUMNS
        given = rows["filtered_resps"].str[0]
        target = rows["target"]
        shown = results["results"][name]
        assert rows["acc"].mean() == pytest.approx(shown["acc,none"], abs=1e-12)
        assert accuracy_score(target, given) == pytest.approx(whole[name]["accuracy"], abs=1e-12)
        if whole[name]["metric"] == "macro F1":
            labels = sorted({*target, *given} - {INVALID})
            macro = f1_score(target, given, labels=labels, average="macro")
            assert macro == pytest.approx(whole[name]["macro_f1"], abs=1e-12)
            assert macro == pytest.approx(shown["f1_macro,none"], abs=1e-12)
        if whole[name]["metric"] == "F1":
            # As documented: no answer counts as the opposite of the right one.
            read = given.where(given != INVALID, target.map({"yes": "no", "no": "yes"}))
            assert f1_score(target, read, pos_label="yes") == pytest.approx(shown["f1,none"], abs=1e-12)
        assert rows["doc_id"].tolist() == list(range(len(rows)))
        assert results["n-samples"][name]["effective"] == len(rows)


def test_results_have_the_keys_that_readers_take(
    exported: tuple[Path, dict[str, Any]], dataset: Path
) -> None:
    out, _ = exported
    results, samples = files_of(out)
    assert set(results) >= {
        *(
            "results",
            "group_subtasks",
            "configs",
            "versions",
            "n-shot",
            "higher_is_better",
            "n-samples",
            "config",
        ),
        *("git_hash", "date", "task_hashes", "model_source", "model_name", "model_name_sanitized"),
    }
    for key in (
        "group_subtasks",
        "configs",
        "versions",
        "n-shot",
        "higher_is_better",
        "n-samples",
        "task_hashes",
    ):
        assert set(results[key]) == set(samples), key
    stderr = results["results"]["sentiment_analysis_test"]["acc_stderr,none"]
    share = results["results"]["sentiment_analysis_test"]["acc,none"]
    assert stderr == pytest.approx((share * (1 - share) / 11) ** 0.5)
    for path in [*samples.values(), *(out / "lm-eval").glob("results_*")]:
        assert str(dataset.parent) not in path.read_text()


def test_datasets_loads_the_samples(exported: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    out, _ = exported
    _, samples = files_of(out)
    loaded = datasets.load_dataset(
        "json", data_files=str(samples["sentiment_analysis_test"]), split="train", cache_dir=str(tmp_path)
    )
    assert loaded.num_rows == 12
    assert loaded[0]["arguments"]["gen_args_0"]["arg_0"].startswith("Answer the question")


def test_likelihoods_are_pairs_for_each_option(dataset: Path, tmp_path: Path) -> None:
    asked = {"model": "random:tiny", "base_only": True, "scoring": "likelihood", "limit": 3, "tasks": ["sa"]}
    config = evaluate_config(
        data=str(dataset), out=tmp_path / "e", splits=["test"], device="cpu", export=["lm-eval"], **asked
    )
    metrics = evaluate(config).metrics
    results, samples = files_of(tmp_path / "e")
    rows = pd.read_json(samples["sentiment_analysis_test"], lines=True)
    best = rows["filtered_resps"].map(lambda pairs: "ABCDE"[max(range(5), key=lambda n: float(pairs[n][0]))])
    whole = next(row for row in metrics["results"] if row["part"] == "all")
    assert (best == rows["target"]).mean() == whole["accuracy"]
    assert results["configs"]["sentiment_analysis_test"]["output_type"] == "multiple_choice"
    evaluate(config)
    assert len(list((tmp_path / "e" / "lm-eval").iterdir())) == 2  # files of the first call are gone
