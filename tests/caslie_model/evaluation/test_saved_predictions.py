"""Predictions of files: ours, those of other programs, and damaged ones. No model is loaded."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from caslie_model.config.evaluation import EvaluateConfig
from caslie_model.config.presets import evaluate_config
from caslie_model.data.samples import Sample
from caslie_model.errors import ConfigError, RunError
from caslie_model.evaluation.evaluate import evaluate
from caslie_model.inference.select_samples import select_samples, target_fingerprint


def config(dataset: Path, out: Path, **fields: Any) -> EvaluateConfig:
    defaults: dict[str, Any] = {"tasks": ["sa", "ap"], "splits": ["test"], "device": "cpu"}
    return evaluate_config(data=str(dataset), out=out, **{**defaults, **fields})


@pytest.fixture(scope="module")
def answered(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of `evaluate` with a model."""
    out = tmp_path_factory.mktemp("answered") / "run"
    return evaluate(config(dataset, out, model="random:tiny", base_only=True)).folder


@pytest.fixture
def samples(dataset: Path, tmp_path: Path) -> list[Sample]:
    return list(select_samples(config(dataset, tmp_path, model="any")).samples)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def right(samples: list[Sample]) -> list[dict[str, Any]]:
    return [{"id": sample.id, "text": sample.output} for sample in samples]


def test_our_own_file_gives_the_figures_of_its_run(dataset: Path, answered: Path, tmp_path: Path) -> None:
    again = evaluate(config(dataset, tmp_path / "again", predictions=answered / "predictions.jsonl"))
    first = json.loads((answered / "metrics.json").read_text())
    assert again.metrics["results"] == first["results"]
    assert again.metrics["provenance"] == first["provenance"]
    assert again.metrics["model"] == "run"
    # The new folder is like any other, and scores itself.
    inside = tmp_path / "again" / "predictions.jsonl"
    content = inside.read_bytes()
    assert (
        evaluate(config(dataset, tmp_path / "again", predictions=inside)).metrics["results"]
        == first["results"]
    )
    assert inside.read_bytes() == content


def test_a_folder_is_scored_again_in_its_place(
    dataset: Path, answered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(answered, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    again = evaluate(config(dataset, Path("run"), predictions="run", lenient=True))
    assert again.metrics["model"] == "run"
    assert all("lenient" in row for row in again.metrics["results"] if row["part"] == "all")


def test_the_order_of_rows_changes_no_figure(dataset: Path, answered: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(answered, tmp_path / "turned")
    lines = (folder / "predictions.jsonl").read_text().splitlines(keepends=True)
    (folder / "predictions.jsonl").write_text("".join(lines[::-1]))
    turned = evaluate(config(dataset, tmp_path / "again", predictions=folder / "predictions.jsonl"))
    assert turned.metrics["results"] == json.loads((answered / "metrics.json").read_text())["results"]


def test_a_torn_file_says_so_and_scores_what_is_missing_as_wrong(
    dataset: Path, samples: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "answers.jsonl", right(samples))
    content = file.read_bytes()
    file.write_bytes(content[: content.rindex(b'{"id"') + 25])
    result = evaluate(config(dataset, tmp_path / "e", predictions=file))
    said = capsys.readouterr().err
    assert "answers.jsonl: its last line (24) is torn: the file was cut short" in said
    assert f"1 of 24 samples have no answer and count as wrong: {samples[-1].id}" in said
    row = next(each for each in result.metrics["results"] if each["task"] == samples[-1].task)
    assert (row["missing"], row["accuracy"]) == (1, 11 / 12)


def test_what_was_not_answered_at_all_is_named(
    dataset: Path, samples: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row for row in right(samples) if "sentiment" in row["id"]]
    file = write(tmp_path / "answers.jsonl", rows)
    result = evaluate(config(dataset, tmp_path / "e", predictions=file))
    assert "it has nothing of answerability_prediction/test; --tasks and --splits" in capsys.readouterr().err
    assert {row["task"]: row["accuracy"] for row in result.metrics["results"]} == {
        "sentiment_analysis": 1.0,
        "answerability_prediction": 0.0,
    }


def test_one_id_twice_is_refused_with_both_lines(
    dataset: Path, samples: list[Sample], tmp_path: Path
) -> None:
    rows = right(samples)
    file = write(tmp_path / "answers.jsonl", [*rows, rows[2]])
    with pytest.raises(RunError, match=rf"lines 3 and 25 both answer {rows[2]['id']}; keep one of them"):
        evaluate(config(dataset, tmp_path / "e", predictions=file))
    assert not (tmp_path / "e").exists()


def test_unknown_ids_are_told(
    dataset: Path, samples: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = [{"id": "other-1", "text": "A"}, {"id": "other-2", "text": "A"}]
    result = evaluate(
        config(dataset, tmp_path / "e", predictions=write(tmp_path / "a.jsonl", right(samples) + strange))
    )
    assert "2 rows answer samples that are not evaluated, such as other-1" in capsys.readouterr().err
    assert all(row["accuracy"] == 1 for row in result.metrics["results"])
    with pytest.raises(
        RunError, match=r"answers none of the 24 samples \(its first id is other-1\); check --data"
    ):
        evaluate(config(dataset, tmp_path / "f", predictions=write(tmp_path / "b.jsonl", strange)))


def test_answers_to_another_dataset_are_refused(dataset: Path, samples: list[Sample], tmp_path: Path) -> None:
    rows = [
        {**row, "target": target_fingerprint(each)} for row, each in zip(right(samples), samples, strict=True)
    ]
    evaluate(config(dataset, tmp_path / "e", predictions=write(tmp_path / "a.jsonl", rows)))
    rows[4]["target"] = "0" * 16
    with pytest.raises(
        RunError, match=r"b.jsonl:5: sample .* had another right answer .*give --data the dataset"
    ):
        evaluate(config(dataset, tmp_path / "f", predictions=write(tmp_path / "b.jsonl", rows)))


def test_a_label_that_a_sample_does_not_allow_is_refused(
    dataset: Path, answered: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(answered, tmp_path / "run")
    file = folder / "predictions.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[0]["prediction"] = "Z"
    write(file, rows)
    with pytest.raises(RunError, match=r"predictions.jsonl:1: answers 'Z', and sample .* allows"):
        evaluate(config(dataset, tmp_path / "e", predictions=file))


def test_variants_are_no_answers_to_the_published_samples(
    dataset: Path, samples: list[Sample], tmp_path: Path
) -> None:
    rows = right(samples)
    rows += [{"id": each.id, "variant": "order 1", "text": "nothing"} for each in samples]
    result = evaluate(config(dataset, tmp_path / "e", predictions=write(tmp_path / "a.jsonl", rows)))
    assert all(row["accuracy"] == 1 for row in result.metrics["results"])
    assert len((tmp_path / "e" / "predictions.jsonl").read_text().splitlines()) == 48


@pytest.mark.parametrize("column", ["text", "prediction", "answer", "output"])
def test_files_of_other_programs_are_parsed(
    dataset: Path, samples: list[Sample], tmp_path: Path, column: str
) -> None:
    thoughts = [
        {"id": each.id, column: f"Let me think.\nSo the answer is {each.output}."} for each in samples
    ]
    thoughts[0][column] = "I do not know."
    file = write(tmp_path / "answers.jsonl", thoughts)
    with (tmp_path / "answers.csv").open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.DictWriter(stream, ["id", column])
        writer.writeheader()
        writer.writerows(thoughts)
    for name in (file, tmp_path / "answers.csv"):
        result = evaluate(config(dataset, tmp_path / name.suffix, predictions=name))
        assert [
            (row["unparsable"], row["missing"]) for row in result.metrics["results"] if row["part"] == "all"
        ] == [
            (1, 0),
            (0, 0),
        ]
        assert result.metrics["model"] == "answers"


def test_a_file_without_answers_names_the_columns(
    dataset: Path, samples: list[Sample], tmp_path: Path
) -> None:
    file = write(tmp_path / "a.jsonl", [{"id": samples[0].id, "reply": "B"}])
    with pytest.raises(RunError, match=r"a.jsonl:1: has none of text, prediction, answer, output"):
        evaluate(config(dataset, tmp_path / "e", predictions=file))
    with pytest.raises(RunError, match=r"nothing.jsonl: there is no such file"):
        evaluate(config(dataset, tmp_path / "e", predictions=tmp_path / "nothing.jsonl"))
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe\x00" * 10)
    with pytest.raises(
        RunError, match=r"answers none of the 24 samples: it has no row with an id, as JSON lines"
    ):
        evaluate(config(dataset, tmp_path / "e", predictions=tmp_path / "b.jsonl"))


@pytest.mark.parametrize(("separator", "said"), [(";", "semicolons"), ("\t", "tabs")])
def test_a_csv_file_without_commas_is_told_by_its_separator(
    dataset: Path, samples: list[Sample], tmp_path: Path, separator: str, said: str
) -> None:
    file = tmp_path / "excel.csv"
    file.write_text(f"id{separator}answer\n{samples[0].id}{separator}B\n")
    with pytest.raises(RunError, match=f"separated by {said}; save it with commas"):
        evaluate(config(dataset, tmp_path / "out", predictions=file))


def test_hostile_rows_end_in_no_traceback(
    dataset: Path, samples: list[Sample], answered: Path, tmp_path: Path
) -> None:
    rows = [
        *right(samples)[:20],
        *(
            {"id": each.id, "text": value}
            for each, value in zip(samples[20:], ("\ud800 B", ["B"], {"a": 1}, 7), strict=False)
        ),
    ]
    file = write(tmp_path / "a.jsonl", rows)
    with file.open("a") as stream:
        stream.write('{"id": "x", "text": NaN}\n[1]\n"id"\n{"id": {}}\n' + "[" * 100_000 + "\n")
    result = evaluate(config(dataset, tmp_path / "e", predictions=file, export=["lm-eval"], lenient=True))
    assert sum(row["unparsable"] for row in result.metrics["results"] if row["part"] == "all") == 4
    folder = shutil.copytree(answered, tmp_path / "run")
    ours = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    damage = {"scores": [1]}, {"scores": {"A": "x"}}, {"scores": {"Z": -1}}, {"tokens": [1]}, {"absent": 7}
    for each in damage[1:]:
        write(folder / "predictions.jsonl", [{**ours[0], **each}, *ours[1:]])
        with pytest.raises(RunError, match=r"predictions.jsonl:1: is no prediction of ours"):
            evaluate(config(dataset, tmp_path / "g", predictions=folder))
    write(folder / "predictions.jsonl", [{**ours[0], **damage[0]}, *ours[1:]])
    with pytest.raises(RunError, match=r"predictions.jsonl:1: is no prediction of ours; delete the line"):
        evaluate(config(dataset, tmp_path / "f", predictions=folder))
    (folder / "predictions.header.json").write_text("[]")
    with pytest.raises(RunError, match=r"predictions.header.json is damaged; delete it"):
        evaluate(config(dataset, tmp_path / "f", predictions=folder))


def test_other_predictions_in_the_folder_are_kept(
    dataset: Path, samples: list[Sample], tmp_path: Path
) -> None:
    first, second = (
        write(tmp_path / "a.jsonl", right(samples)),
        write(tmp_path / "b.jsonl", right(samples)[1:]),
    )
    evaluate(config(dataset, tmp_path / "e", predictions=first))
    evaluate(config(dataset, tmp_path / "e", predictions=first))
    with pytest.raises(RunError, match="holds other predictions; give another folder, or --overwrite"):
        evaluate(config(dataset, tmp_path / "e", predictions=second))
    evaluate(config(dataset, tmp_path / "e", predictions=second), overwrite=True)


def test_a_model_is_needed_where_no_predictions_are_given(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="model"):
        config(dataset, tmp_path)


def test_the_released_score_stands_in_the_files(dataset: Path, samples: list[Sample], tmp_path: Path) -> None:
    rows = right(samples)
    for row in rows[:3]:
        row["text"] = "I do not know."
    file = write(tmp_path / "a.jsonl", rows)
    result = evaluate(config(dataset, tmp_path / "e", predictions=file, lenient=True))
    whole = [row for row in result.metrics["results"] if row["part"] == "all"]
    assert [row["lenient"]["skipped"] for row in whole] == [3, 0]
    assert whole[0]["lenient"]["released_score"] == 1.0 > whole[0]["primary"]
    text = (tmp_path / "e" / "metrics.md").read_text()
    assert "| released scorer |" in text
    assert "1.000 (3 skipped) |" in text
    assert "not comparable with the other columns" in text


def test_likelihood_has_no_released_score(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {"model": "random:tiny", "base_only": True, "scoring": "likelihood", "limit": 2, "lenient": True}
    result = evaluate(config(dataset, tmp_path / "e", **asked))
    assert "the released scorer reads generated texts; there are none of" in capsys.readouterr().err
    assert [row["lenient"] for row in result.metrics["results"] if row["part"] == "all"] == [None, None]
