from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from caslie_model.data.samples import available_splits, first_by_hash, read_outputs, read_samples
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
        ({"instruction": None}, "is missing"),
    ],
)
def test_damaged_rows_name_the_sample(
    row: Row, write_rows: Write, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    write_rows(tmp_path, [row(0, "sentiment_analysis", "test", id="broken-one", **changes)])
    with pytest.raises(DatasetError, match=f"sample broken-one.*{message}"):
        read_samples(str(tmp_path), "sentiment_analysis", "test")


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
