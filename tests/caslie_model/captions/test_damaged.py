"""Damaged files of captions and of decisions end every command in a message that names the file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import caslie_model
from caslie_model.captions.judging import judge
from caslie_model.config.presets import judge_config
from caslie_model.errors import RunError
from caslie_model.evaluation.caption_questions import read_caption_rows
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.schemas.captions import PROVENANCE_KEY, captions_path, kept_path

CC = "category_classification"
TEST = captions_path("made", CC, "test")


@pytest.fixture
def data(captioned_data: Path, tmp_path: Path) -> Path:
    return shutil.copytree(captioned_data, tmp_path / "data")


def change(path: Path, column: str, values: Callable[[list[Any]], list[Any]]) -> None:
    table = pq.read_table(path)
    place = table.schema.names.index(column)
    changed = pa.array(values(table[column].to_pylist()), table.schema.field(column).type)
    pq.write_table(table.set_column(place, pa.field(column, changed.type), changed), path)


@pytest.mark.parametrize("told", [b"[1, 2]", b'"text"', b"3", b"null", b"[" * 100_000, b"{"])
def test_captions_whose_metadata_are_no_settings_are_damaged(data: Path, told: bytes) -> None:
    result = caslie_model.caption("attributes", data, name="own")
    file = result.files[0]
    pq.write_table(pq.read_table(file).replace_schema_metadata({PROVENANCE_KEY: told}), file)
    with pytest.raises(RunError, match="is damaged; give another name, or --overwrite"):
        caslie_model.caption("attributes", data, name="own")


@pytest.mark.parametrize("column", ["position", "captioner", "fingerprint"])
def test_earlier_captions_without_a_value_are_damaged(data: Path, column: str) -> None:
    result = caslie_model.caption("attributes", data, name="own")
    for file in result.files:
        change(file, column, lambda values: [None for _ in values])
    with pytest.raises(RunError, match="is damaged"):
        caslie_model.caption("attributes", data, name="own", limit=1)


@pytest.mark.parametrize("column", ["position", "captioner"])
def test_captions_without_a_value_are_not_measured(data: Path, column: str) -> None:
    change(data / TEST, column, lambda values: [None, *values[1:]])
    with pytest.raises(RunError, match="is damaged"):
        read_caption_rows(data / TEST)
    pq.write_table(pq.read_table(data / TEST).drop_columns([column]), data / TEST)
    with pytest.raises(RunError, match="is damaged"):
        read_caption_rows(data / TEST)


@pytest.mark.parametrize("position", [-1, 7])
def test_captions_at_other_positions_are_not_judged(data: Path, position: int) -> None:
    change(data / TEST, "position", lambda values: [position for _ in values])
    config = judge_config(data=str(data), captions="made", judge="all")
    with pytest.raises(DatasetError, match="are of another dataset, or of other images"):
        judge(config)


def test_damaged_decisions_of_another_split_are_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / kept_path("made", "vote", CC, "test")).write_bytes(b"PAR1")
    judge(judge_config(data=str(data), captions="made", judge="all", name="vote", splits=["train"]))
    assert f"also holds {CC}-test.parquet" in capsys.readouterr().err
