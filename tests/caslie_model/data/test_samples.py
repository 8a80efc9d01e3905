from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from caslie_model.config.presets import evaluate_config
from caslie_model.data.images import iterate_images
from caslie_model.data.samples import available_splits, first_by_hash, read_outputs, read_samples
from caslie_model.evaluation.evaluate import evaluate
from mmecinstruct.core.errors import DatasetError

Row = Callable[..., dict[str, Any]]
Write = Callable[[Path, list[dict[str, Any]]], Path]


def test_a_split_is_read_without_its_namesake(dataset: Path) -> None:
    data = str(dataset)
    assert available_splits(data, "sentiment_analysis") == ("test", "test_ood", "train")
    assert len(read_samples(data, "sentiment_analysis", "test")) == 12
    assert {s.split for s in read_samples(data, "sentiment_analysis", "test_ood")} == {"test_ood"}
    assert read_samples(data, "category_classification", "test") == []
    assert len(read_outputs(data, "sentiment_analysis", "train")) == 40


def test_the_folder_is_one_that_load_dataset_reads(dataset: Path) -> None:
    import datasets

    rows = datasets.load_dataset(str(dataset), "sentiment_analysis", split="test")
    ours = read_samples(str(dataset), "sentiment_analysis", "test")
    assert [row["id"] for row in rows] == [sample.id for sample in ours]


def test_input_becomes_fields(row: Row, write_rows: Write, tmp_path: Path) -> None:
    task = "answerability_prediction"
    content = {"question": "Is\n it good?", "document": ["one", None, "two"], "brand": None, "price": 3.5}
    history = ["1st: mug", "2nd: lamp"]
    write_rows(
        tmp_path,
        [
            row(0, task, "test", input=json.dumps(content)),
            row(1, task, "test", input=json.dumps(history)),
        ],
    )
    first, second = read_samples(str(tmp_path), task, "test")
    assert [(field.name, field.texts, field.is_list) for field in first.fields] == [
        ("question", ("Is it good?",), False),
        ("document", ("one", "two"), True),
        ("price", ("3.5",), False),
    ]
    assert [(field.name, field.texts, field.is_list) for field in second.fields] == [
        ("", tuple(history), True)
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output": "F"}, "the answer 'F' is not among A, B, C, D, E"),
        ({"input": "{"}, "its input is not JSON"),
        ({"input": "3"}, "neither a JSON object nor a list"),
        ({"options": ["A one"]}, "is not written"),
        ({"instruction": None}, "instruction is missing"),
    ],
)
def test_damaged_rows_name_the_sample(
    row: Row, write_rows: Write, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    write_rows(tmp_path, [row(0, "sentiment_analysis", "test", id="broken-one", **changes)])
    with pytest.raises(DatasetError, match=f"sample broken-one.*{message}"):
        read_samples(str(tmp_path), "sentiment_analysis", "test")


def rewritten(data: Path, target: Path, name: str, change: Callable[[Any], Any]) -> Path:
    """Write a dataset's files anew under other names: `{task}`, `{split}`."""
    import pyarrow.parquet as pq

    for file in data.glob("*/*.parquet"):
        path = target / name.format(task=file.parent.name, split=file.name.partition("-")[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(change(pq.read_table(file)), path)
    return target


@pytest.mark.parametrize(
    "name",
    [
        "{task}/{split}.parquet",
        "{task}/{split}/0000.parquet",
        "{task}/data/{split}-00000-of-00001.parquet",
        "{task}/{split}/part-0.parquet",
    ],
)
def test_file_names_of_other_tools_are_read(dataset: Path, tmp_path: Path, name: str) -> None:
    foreign = str(rewritten(dataset, tmp_path, name, lambda table: table))
    assert available_splits(foreign, "sentiment_analysis") == ("test", "test_ood", "train")
    for split in ("test", "test_ood"):
        ours = read_samples(str(dataset), "sentiment_analysis", split)
        assert read_samples(foreign, "sentiment_analysis", split) == ours
        images = [sample for sample, _ in iterate_images(foreign, "sentiment_analysis", split)]
        assert images == [sample.id for sample in ours]


def test_a_folder_beside_a_split_is_not_part_of_it(dataset: Path, tmp_path: Path) -> None:
    foreign = rewritten(dataset, tmp_path, "{task}/{split}/0.parquet", lambda table: table)
    rewritten(dataset, tmp_path, "{task}/{split}-backup/0.parquet", lambda table: table)
    task = "sentiment_analysis"
    assert read_samples(str(foreign), task, "test") == read_samples(str(dataset), task, "test")


def test_optional_columns_may_be_missing(dataset: Path, tmp_path: Path) -> None:
    optional = ["task", "split", "category", "instruction_unseen", "visual_critical", "text_only_accuracy"]
    foreign = rewritten(
        dataset,
        tmp_path / "foreign",
        "{task}/{split}.parquet",
        lambda table: table.drop_columns([*optional, "options"]),
    )
    [sample, *_] = read_samples(str(foreign), "answerability_prediction", "test")
    assert (sample.task, sample.split, sample.category) == ("answerability_prediction", "test", "")
    assert (sample.visual_critical, sample.text_only_accuracy, sample.options) == (None, None, {})
    metrics = evaluate(
        evaluate_config(
            model="tiny",
            base_only=True,
            tasks=["ap"],
            limit=2,
            device="cpu",
            data=str(foreign),
            out=tmp_path / "e",
        )
    ).metrics
    assert [(part["split"], part["part"]) for part in metrics["results"]] == [
        ("test", "all"),
        ("test_ood", "all"),
    ]


@pytest.mark.parametrize("column", ["id", "instruction", "input", "output"])
def test_a_needed_column_is_named(dataset: Path, tmp_path: Path, column: str) -> None:
    foreign = rewritten(
        dataset, tmp_path, "{task}/{split}.parquet", lambda table: table.drop_columns([column])
    )
    with pytest.raises(DatasetError, match=rf"sentiment_analysis/test.parquet: has no column {column}"):
        read_samples(str(foreign), "sentiment_analysis", "test")


def test_folder_and_file_decide_about_task_and_split(
    row: Row, write_rows: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pyarrow.compute as pc

    task = "sentiment_analysis"
    write_rows(tmp_path / "a", [row(number, task, "test") for number in range(3)])

    def renamed(table: Any) -> Any:
        for column, value in (("split", "train"), ("task", "SA")):
            place = table.schema.get_field_index(column)
            table = table.set_column(place, column, pc.if_else(pc.is_valid(table[column]), value, None))
        return table

    foreign = rewritten(tmp_path / "a", tmp_path / "b", "{task}/{split}.parquet", renamed)
    assert {(s.task, s.split) for s in read_samples(str(foreign), task, "test")} == {(task, "test")}
    said = capsys.readouterr().err
    assert "3 samples of sentiment_analysis/test name another split (train); they are taken as test" in said
    assert "another task (SA)" in said


def test_a_figure_that_is_no_number_is_unknown(row: Row, write_rows: Write, tmp_path: Path) -> None:
    write_rows(tmp_path, [row(0, "sentiment_analysis", "test", text_only_accuracy=math.nan)])
    assert read_samples(str(tmp_path), "sentiment_analysis", "test")[0].text_only_accuracy is None


def test_one_id_twice_is_an_error(row: Row, write_rows: Write, tmp_path: Path) -> None:
    write_rows(tmp_path, [row(0, "sentiment_analysis", "test"), row(0, "sentiment_analysis", "test")])
    with pytest.raises(DatasetError, match="twice"):
        read_samples(str(tmp_path), "sentiment_analysis", "test")


def test_no_dataset_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no dataset 'nowhere'"):
        read_samples("nowhere", "sentiment_analysis", "test")
    with pytest.raises(DatasetError, match="not a dataset folder"):
        read_samples(str(tmp_path), "sentiment_analysis", "test")


def test_a_larger_limit_only_adds_samples(dataset: Path) -> None:
    samples = read_samples(str(dataset), "sentiment_analysis", "train")
    few = first_by_hash(samples, 5, 0, "test")
    assert first_by_hash(reversed(samples), 9, 0, "test")[:5] == few
    assert len(first_by_hash(samples, None, 0, "test")) == 40
    assert first_by_hash(samples, 5, 1, "test") != few
