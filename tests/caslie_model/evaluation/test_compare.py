from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import caslie_model
from caslie_model.data.samples import Sample, first_by_hash, read_samples
from caslie_model.evaluation.compare import Comparison, compare
from caslie_model.evaluation.compare_page import comparison_page
from caslie_model.evaluation.metrics import confusion, primary
from mmecinstruct.core.errors import MmecError
from mmecinstruct.core.hashing import fingerprint
from mmecinstruct.reporting.images import ImageBudget
from mmecinstruct.tasks import TASKS
from tests.servers.chat_server import Canned, ChatServer, completion

SA, AP = "sentiment_analysis", "answerability_prediction"
SPLITS = ("test", "test_ood")
HOSTILE = '<script>alert(1)</script> & "quotes" | [link](http://x)'

Answers = Callable[[int, Sample], str | None]
Evaluate = Callable[..., Path]


def right(number: int, sample: Sample) -> str | None:
    return sample.output


def wrong_every(step: int) -> Answers:
    """Right answers, but every so manyth one is another label of the sample."""

    def answers(number: int, sample: Sample) -> str | None:
        others = [label for label in sample.labels if label != sample.output]
        return others[number % len(others)] if number % step == 0 else sample.output

    return answers


def figures(task: str, split: str, samples: list[Sample], given: dict[str, str | None]) -> dict[str, Any]:
    """What a comparison reads of metrics.json."""
    rows = [sample for sample in samples if (sample.task, sample.split) == (task, split)]
    labels = rows[0].labels
    counts = confusion([row.output for row in rows], [given[row.id] for row in rows], labels)
    score = float(primary(TASKS[task].metric, counts, labels))
    return {"task": task, "split": split, "part": "all", "samples": len(rows), "primary": score}


def write_evaluation(
    folder: Path,
    data: Path,
    answers: Answers,
    *,
    tasks: tuple[str, ...] = (SA,),
    splits: tuple[str, ...] = SPLITS,
    limit: int | None = None,
    **record: Any,
) -> Path:
    """Write a folder as `evaluate` does, of a model that gives these answers."""
    samples = [
        sample
        for task in tasks
        for split in splits
        for sample in first_by_hash(read_samples(str(data), task, split), limit, 0, "evaluated samples")
    ]
    given = {sample.id: answers(number, sample) for number, sample in enumerate(samples)}
    folder.mkdir()
    provenance = {"model": folder.name}
    (folder / "predictions.header.json").write_text(json.dumps({"provenance": provenance}))
    lines = [
        {"id": s.id, "task": s.task, "split": s.split, "prompt": "x", "prediction": given[s.id], **record}
        for s in samples
    ]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    metrics = {
        "model": folder.name,
        "base_only": False,
        "data": str(data),
        "public_data": data.name,
        "provenance": provenance,
        "results": [figures(task, split, samples, given) for task in tasks for split in splits],
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    settings = {
        "tasks": list(tasks),
        "splits": list(splits),
        "limit": limit,
        "seed": 0,
        "scoring": "generate",
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return folder


@pytest.fixture(scope="module")
def data(
    tmp_path_factory: pytest.TempPathFactory,
    row: Callable[..., dict[str, Any]],
    write_rows: Callable[[Path, list[dict[str, Any]]], Path],
) -> Path:
    """60 samples of SA and AP in each test split; two samples each of one product."""
    rows = [
        row(number, task, split, group_ids=groups(number // 2))
        for task in (SA, AP)
        for split, start in zip(SPLITS, (2000, 3000), strict=True)
        for number in range(start, start + 60)
    ]
    return write_rows(tmp_path_factory.mktemp("compared") / "data", rows)


def groups(number: int) -> dict[str, Any]:
    return {"products": [f"p{number}"], "clusters": [f"c{number}"], "user": None, "query": None, "groups": []}


@pytest.fixture
def evaluated(tmp_path: Path, data: Path) -> Evaluate:
    def write(name: str, answers: Answers, **options: Any) -> Path:
        return write_evaluation(tmp_path / name, options.pop("data", data), answers, **options)

    return write


def quick(*folders: Path, **options: Any) -> Comparison:
    return compare(folders, resamples=400, **options)


def cell(comparison: Comparison, task: str = SA, split: str = "test") -> dict[str, Any]:
    found = [each for each in comparison.content["cells"] if (each["task"], each["split"]) == (task, split)]
    assert len(found) == 1
    return dict(found[0])


def test_scores_are_those_of_the_evaluations(evaluated: Evaluate) -> None:
    folders = evaluated("a", right), evaluated("b", wrong_every(3))
    result = cell(quick(*folders))
    for folder, letter in zip(folders, "AB", strict=True):
        figures = json.loads((folder / "metrics.json").read_text())["results"][0]
        assert result["scores"][letter]["score"] == pytest.approx(figures["primary"])
    assert (result["samples"], result["units"], result["metric"]) == (60, 30, "macro F1")
    found = result["comparisons"]["B"]
    assert found["difference"] == pytest.approx(
        result["scores"]["B"]["score"] - result["scores"]["A"]["score"]
    )
    assert found["interval"][0] < found["difference"] < found["interval"][1] < 0
    assert found["better"] == "A"
    assert found["p_holm"] == min(1, 2 * found["p"])


def test_wins_and_losses_count_every_sample_once(evaluated: Evaluate) -> None:
    found = cell(quick(evaluated("a", wrong_every(4)), evaluated("b", wrong_every(6))))["comparisons"]["B"]
    counts = {name: found[name] for name in ("only_reference", "only_other", "both_right", "both_wrong")}
    # Of the numbers 0 to 59: wrong are those divisible by 4 (15), by 6 (10), by both (5).
    assert counts == {"only_reference": 5, "only_other": 10, "both_right": 40, "both_wrong": 5}
    assert found["mcnemar_p"] == pytest.approx(2 * sum(math.comb(15, k) for k in range(6)) / 2**15)


def test_shown_samples_are_those_that_one_model_alone_has_right(evaluated: Evaluate) -> None:
    content = quick(evaluated("a", wrong_every(4)), evaluated("b", wrong_every(6)), samples=3).content
    groups = {(each["split"], each["right"]): each for each in content["samples"]}
    assert {key: each["count"] for key, each in groups.items()} == {
        ("test", "A"): 5,
        ("test", "B"): 10,
        ("test_ood", "A"): 5,
        ("test_ood", "B"): 10,
    }
    for (split, letter), group in groups.items():
        other = "AB".replace(letter, "")
        assert len(group["samples"]) == 3
        for sample in group["samples"]:
            assert sample["answers"][letter]["label"] == sample["right_answer"]
            assert sample["answers"][other]["label"] != sample["right_answer"]
            assert f"-{split}-" in sample["id"]


def test_the_reference_turns_the_signs_around(evaluated: Evaluate) -> None:
    a, b = evaluated("a", right), evaluated("b", wrong_every(3))
    forth = cell(quick(a, b))["comparisons"]["B"]
    for reference in ("B", "b", str(b), f"{b}/"):
        back = cell(quick(a, b, reference=reference))["comparisons"]["A"]
        assert back["difference"] == -forth["difference"]
        assert back["interval"] == pytest.approx([-bound for bound in reversed(forth["interval"])])
        assert (back["p"], back["better"], back["only_other"]) == (forth["p"], "A", forth["only_reference"])
    with pytest.raises(MmecError, match=r"reference 'c' is none of A .*, B "):
        quick(a, b, reference="c")


def test_missing_unparsable_and_foreign_answers_are_wrong(evaluated: Evaluate) -> None:
    a = evaluated("a", right)
    b = evaluated("b", lambda number, sample: None if number < 10 else sample.output)
    path = b / "predictions.jsonl"
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join(
            [*lines[:10], *(line.replace('"prediction": "', '"prediction": "Z') for line in lines[10:])]
        )
    )
    with pytest.raises(MmecError, match="predictions changed since"):
        quick(a, b)
    path.write_text("\n".join(lines[10:]) + '\n{"id": "x", "pred\n')
    result = quick(a, b)
    found = cell(result)
    assert (found["scores"]["B"]["no_answer"], found["comparisons"]["B"]["only_reference"]) == (10, 10)
    notes = "\n".join(result.content["notes"])
    assert "1 lines of its predictions are damaged" in notes
    assert "10 of 120 samples have no answer" in notes


def test_other_samples_are_an_error_and_common_ones_are_compared_when_asked(evaluated: Evaluate) -> None:
    a, b = evaluated("a", right), evaluated("b", wrong_every(3), limit=20)
    with pytest.raises(MmecError, match=r"A .* and B .* other samples: 80 only A, 0 only B .*--common"):
        quick(a, b)
    result = quick(a, b, common=True)
    assert cell(result)["samples"] == 20
    assert "80 only A" in result.content["notes"][0]
    c = evaluated("c", right, tasks=(AP,))
    with pytest.raises(MmecError, match="no samples in common"):
        quick(a, c, common=True)


def test_other_right_answers_are_told_and_never_compared(
    evaluated: Evaluate, tmp_path: Path, data: Path, row: Any, write_rows: Any
) -> None:
    a = evaluated("a", right)
    rows = [
        row(number, SA, split, group_ids=groups(number // 2), **({"output": "C"} if number == 2005 else {}))
        for split, start in zip(SPLITS, (2000, 3000), strict=True)
        for number in range(start, start + 60)
    ]
    b = evaluated("b", right, data=write_rows(tmp_path / "changed", rows))
    with pytest.raises(MmecError, match=r"1 samples have other options or right answers .*-2005"):
        quick(a, b)
    assert cell(quick(a, b, common=True))["samples"] == 59
    # The dataset of today is another one than B's: its figures do not follow from it.
    with pytest.raises(MmecError, match=r"metrics\.json gives .*changed since"):
        quick(a, b, data=str(data))


def test_records_tell_that_the_right_answer_was_another_one(evaluated: Evaluate, data: Path) -> None:
    right_ones = {
        sample.id: fingerprint([sample.output, sample.options[sample.output]])[:16]
        for split in SPLITS
        for sample in read_samples(str(data), SA, split)
    }
    a, b = evaluated("a", right), evaluated("b", right)

    def with_targets(targets: dict[str, str]) -> None:
        records = map(json.loads, (b / "predictions.jsonl").read_text().splitlines())
        lines = [json.dumps({**record, "target": targets[record["id"]]}) + "\n" for record in records]
        (b / "predictions.jsonl").write_text("".join(lines))

    with_targets(right_ones)
    assert cell(quick(a, b))["samples"] == 60
    with_targets({**right_ones, f"{SA}-test-2005": "0" * 16})
    with pytest.raises(MmecError, match=r"1 samples have another right answer now than when B .*-2005"):
        quick(a, b)
    assert cell(quick(a, b, common=True))["samples"] == 59


def test_only_answers_to_the_samples_as_published_count(evaluated: Evaluate) -> None:
    a, b = evaluated("a", right, variant=""), evaluated("b", right)
    more = [
        {**json.loads(line), "variant": "order 1", "prediction": None}
        for line in (a / "predictions.jsonl").read_text().splitlines()
    ]
    with (a / "predictions.jsonl").open("a") as stream:
        stream.writelines(json.dumps(line) + "\n" for line in more)
    assert cell(quick(a, b))["comparisons"]["B"]["both_right"] == 60


def test_a_folder_that_is_no_finished_evaluation_is_named(
    evaluated: Evaluate, tmp_path: Path, data: Path
) -> None:
    a, b = evaluated("a", right), evaluated("b", right)

    def fails(other: Path, message: str) -> None:
        with pytest.raises(MmecError, match=message):
            quick(a, other)

    fails(tmp_path / "nowhere", "nowhere: there is no such folder")
    fails(data, "is not a folder of `caslie_model evaluate`")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").touch()
    fails(tmp_path / "adapter", "adapter holds an adapter")
    fails(a, "given twice")
    fails(tmp_path / "b" / ".." / "a", "given twice")
    with pytest.raises(MmecError, match="needs two folders"):
        quick(a)
    for file, content, message in (
        ("metrics.json", None, "b has no metrics.json: the evaluation is not finished"),
        ("predictions.jsonl", None, "b has no predictions.jsonl"),
        ("metrics.json", "{", r"metrics\.json is damaged"),
        ("metrics.json", '{"model": "m"}', r"metrics\.json or config\.yaml is damaged"),
        ("config.yaml", "limit: many", r"metrics\.json or config\.yaml is damaged"),
        ("config.yaml", "- a", r"metrics\.json or config\.yaml is damaged"),
        ("predictions.header.json", "[]", r"predictions\.header\.json is damaged"),
        ("predictions.header.json", '{"provenance": {"model": "c"}}', "is of other predictions"),
    ):
        path = b / file
        before = path.read_text()
        if content is None:
            path.unlink()
        else:
            path.write_text(content)
        fails(b, message)
        path.write_text(before)
    assert quick(a, b).content["notes"] == []


def test_a_dataset_that_is_gone_is_found_elsewhere(evaluated: Evaluate, tmp_path: Path, data: Path) -> None:
    moved = tmp_path / "there"
    shutil.copytree(data, moved)
    a, b = evaluated("a", right, data=moved), evaluated("b", wrong_every(3), data=moved)
    shutil.rmtree(moved)
    with pytest.raises(MmecError, match=r"its dataset .*there is not there.*--data"):
        quick(a, b)
    assert cell(quick(a, b, data=str(data)))["samples"] == 60


def test_average_improvement_is_a_mean_over_tasks_and_splits(evaluated: Evaluate) -> None:
    both = (SA, AP)
    result = quick(
        evaluated("a", wrong_every(2), tasks=both),
        evaluated("b", right, tasks=both),
        evaluated("c", wrong_every(3), tasks=both),
    )
    rows = {(each["model"], each["scope"]): each for each in result.content["improvement"]}
    scores = [cell["scores"] for cell in result.content["cells"]]
    expected = [100 * (each["B"]["score"] / each["A"]["score"] - 1) for each in scores]
    assert rows["B", "all"]["over_reference"] == {"percent": pytest.approx(sum(expected) / 4), "tasks": 4}
    over_best = [
        100 * (each["B"]["score"] / max(each["A"]["score"], each["C"]["score"]) - 1) for each in scores
    ]
    assert rows["B", "all"]["over_best"]["percent"] == pytest.approx(sum(over_best) / 4)
    assert rows["A", "test"]["over_reference"]["percent"] is None
    assert len(result.table) == 8


def test_published_rows_are_marked_and_take_no_part(evaluated: Evaluate) -> None:
    a, b = evaluated("a", right), evaluated("b", wrong_every(3))
    plain, with_paper = quick(a, b), quick(a, b, with_published=True)
    assert plain.content["cells"] == with_paper.content["cells"]
    assert plain.content["improvement"] == with_paper.content["improvement"]
    assert "CASLIE" not in plain.markdown()
    for text in (with_paper.markdown(), with_paper.html(), with_paper.text()):
        assert "another test set" in text
        assert "CASLIE-M" in text.replace("\\-", "-")
    for folder in (a, b):
        metrics = json.loads((folder / "metrics.json").read_text())
        metrics["public_data"] = "NingLab/MMECInstruct"
        (folder / "metrics.json").write_text(json.dumps(metrics))
    assert "another test set" not in quick(a, b, with_published=True).html()


def test_models_of_servers_are_compared(evaluated: Evaluate, data: Path, tmp_path: Path) -> None:
    with ChatServer(lambda asked: Canned(completion("very positive"))) as server:
        settings: dict[str, Any] = {"server": server.url, "tasks": ["sa"]}
        asked = caslie_model.evaluate("openai:tiny", data, tmp_path / "asked", **settings)
    batch, out = tmp_path / "batch.jsonl", tmp_path / "read"
    caslie_model.predict("openai:other", data, out, write_batch=batch, tasks=["sa"])
    replies = [
        {"custom_id": each["custom_id"], "response": {"status_code": 200, "body": completion("positive")}}
        for each in map(json.loads, batch.read_text().splitlines())
    ]
    answered = tmp_path / "answered.jsonl"
    answered.write_text("".join(json.dumps(each) + "\n" for each in reversed(replies)))
    read = caslie_model.evaluate("openai:other", data, out, read_batch=[answered], tasks=["sa"])
    comparison = quick(asked.folder, read.folder, evaluated("right", right))
    assert [model["model"] for model in comparison.content["models"]] == [
        "openai:tiny",
        "openai:other",
        "right",
    ]


def test_a_comparison_is_the_same_whatever_the_order_of_records(evaluated: Evaluate) -> None:
    a, b = evaluated("a", wrong_every(4)), evaluated("b", wrong_every(3))
    first = quick(a, b)
    path = b / "predictions.jsonl"
    path.write_text("\n".join(reversed(path.read_text().splitlines())) + "\n")
    again = quick(a, b)
    assert (first.json(), first.html(), first.markdown()) == (again.json(), again.html(), again.markdown())


@pytest.fixture
def hostile(tmp_path: Path, image_row: Any, write_rows: Any) -> Path:
    """CC with images, whose titles, options, categories and roles hold mark-up; one image cannot be read."""
    rows = []
    for number in range(12):
        made = image_row(number, "category_classification", "test")
        options = [f"{letter}: {HOSTILE} {letter}" for letter in "ABC"]
        changes = {"input": json.dumps({HOSTILE: HOSTILE}), "options": options, "instruction": HOSTILE}
        if number == 0:
            changes["images"] = [{"bytes": b"no image", "path": None}]
        rows.append({**made, **changes, "category": HOSTILE, "image_roles": [HOSTILE]})
    return write_rows(tmp_path / "hostile", rows)


def cc_evaluations(evaluated: Evaluate, data: Path) -> tuple[Path, Path]:
    options: dict[str, Any] = {"data": data, "tasks": ("category_classification",), "splits": ("test",)}
    return evaluated("a", right, text=HOSTILE, **options), evaluated("b", wrong_every(1), **options)


def test_the_page_shows_images_and_escapes_all_texts(evaluated: Evaluate, hostile: Path) -> None:
    comparison = quick(*cc_evaluations(evaluated, hostile), samples=20)
    page = comparison.html()
    assert page.count('<img src="data:image/jpeg;base64,') == 11
    assert "1 images cannot be read" in page
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)") > 12 * 8
    assert not re.search(r'(?:src|href)="(?!#|data:image/jpeg)', page)
    markdown = comparison.markdown()
    assert "<script" not in markdown
    assert "[link](" not in markdown
    few = comparison_page(comparison.content, comparison.data, ImageBudget(images=4))
    assert few.count("<img ") == 4
    assert "7 images were left out" in few


def test_a_page_without_its_dataset_says_that_images_are_missing(evaluated: Evaluate, hostile: Path) -> None:
    comparison = quick(*cc_evaluations(evaluated, hostile))
    shutil.rmtree(hostile)
    page = comparison.html()
    assert "<img" not in page
    assert "Images are missing: no dataset" in page
    assert "alert(1)" in page


def test_reports_name_no_path_of_this_machine(evaluated: Evaluate, tmp_path: Path) -> None:
    comparison = quick(evaluated("a", right), evaluated("b", wrong_every(3)), samples=2)
    for report in (comparison.html(), comparison.markdown(), json.dumps(comparison.content)):
        assert str(tmp_path.parent) not in report


def test_two_models_that_agree_have_nothing_to_show(evaluated: Evaluate) -> None:
    comparison = quick(evaluated("a", right), evaluated("b", right))
    assert "the models are right on the same ones" in comparison.html()
    found = cell(comparison)["comparisons"]["B"]
    assert (found["p_holm"], found["better"], found["detectable"]) == (1, None, None)


def test_the_python_function_takes_texts(evaluated: Evaluate, data: Path) -> None:
    a, b = evaluated("a", right), evaluated("b", wrong_every(3))
    result = caslie_model.compare(str(a), b, reference=b, data=data, resamples=200, samples=0)
    assert result.content["reference"] == "B"
    assert result.content["samples"] == [] or all(not each["samples"] for each in result.content["samples"])


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "caslie_model", "compare", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_prints_tables_and_writes_reports(evaluated: Evaluate, tmp_path: Path) -> None:
    folders = evaluated("a", right), evaluated("b", wrong_every(3))
    done = run(*folders, "--out", tmp_path / "c.md", "--html", tmp_path / "c.html", "--resamples", 200)
    assert done.returncode == 0, done.stderr
    for title in ("Scores", "Differences to A", "Average improvement"):
        assert f"\n{title}\n" in done.stdout
    assert done.stderr.count("written: ") == 2
    assert (tmp_path / "c.md").read_text().startswith("# Comparison on data\n")
    assert (tmp_path / "c.html").read_text().startswith("<!doctype html>")
    done = run(*folders, "--out", tmp_path / "c.json", "--json", "--resamples", 200)
    assert json.loads(done.stdout) == json.loads((tmp_path / "c.json").read_text())


def test_a_wrong_use_of_the_command_is_a_message(evaluated: Evaluate, tmp_path: Path) -> None:
    a, b = evaluated("a", right), evaluated("b", right, limit=4)
    for arguments, status, message in (
        ((a, b), 1, "error: A (.*) and B (.*) were asked other samples"),
        ((a,), 1, "error: a comparison needs two folders"),
        ((a, b, "--out", tmp_path / "c.txt"), 2, r"c\.txt: the name ends with \.md or \.json"),
        ((a, b, "--html", a / "c.html"), 1, "holds an evaluation"),
        ((a, b, "--samples", "-1"), 2, "--samples"),
    ):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (status, ""), done.stderr
        assert re.search(message, done.stderr), done.stderr
        assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_narrow_terminal_gets_fewer_columns(evaluated: Evaluate) -> None:
    comparison = quick(evaluated("a", right), evaluated("b", wrong_every(3)))
    # The lines before the tables name the folders, at any length.
    wide, narrow = (comparison.text(width).partition("\nScores\n")[2] for width in (None, 100))
    assert max(map(len, narrow.splitlines())) <= 100 < max(map(len, wide.splitlines()))
    for word in ("difference", "p (Holm)", "detectable"):
        assert word in narrow
    assert "only A" in wide
    assert "only A" not in narrow


def test_scores_that_are_not_above_tfidf_are_marked(evaluated: Evaluate) -> None:
    folders = {
        name: evaluated(name, answers, splits=("test",))
        for name, answers in (
            ("reference", wrong_every(3)),
            ("good", right),
            ("words", wrong_every(2)),
            ("same", wrong_every(2)),
        )
    }
    metrics = folders["words"] / "metrics.json"
    content = json.loads(metrics.read_text())
    metrics.write_text(json.dumps({**content, "model": "baseline:tfidf"}))
    result = compare(list(folders.values()), resamples=2000)
    found = cell(result)["over_tfidf"]
    assert list(found) == ["A", "B", "D"]
    assert (found["B"]["is_above"], found["D"]["is_above"]) == (True, False)
    # The same comparison, of which it is the reference, is corrected over the same number.
    other = cell(compare(list(folders.values()), resamples=2000, reference="words"))["comparisons"]
    assert {letter: (each["difference"], each["p"], each["p_holm"]) for letter, each in other.items()} == {
        letter: (each["difference"], each["p"], each["p_holm"]) for letter, each in found.items()
    }
    scores = {letter: each["score"] for letter, each in cell(result)["scores"].items()}
    for shown in (result.text(), result.markdown(), result.html()):
        assert f"{scores['D']:.3f}†" in shown
        assert "1.000†" not in shown
        assert "not significantly above the baseline tfidf" in shown


def test_without_tfidf_nothing_is_marked(evaluated: Evaluate) -> None:
    result = quick(evaluated("a", wrong_every(2)), evaluated("b", wrong_every(2)))
    assert cell(result)["over_tfidf"] == {}
    assert "†" not in result.text() + result.markdown()
