"""Damaged files of captions and of decisions end every command in a message that names the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import caslie_model
from caslie_model.captions.estimates import estimate_captions
from caslie_model.captions.judging.run import judge
from caslie_model.captions.prompts import within_words
from caslie_model.captions.run import LOG
from caslie_model.config.presets import caption_config, judge_config
from caslie_model.data.captions import read_captions, with_captions
from caslie_model.data.samples import read_samples
from caslie_model.errors import ConfigError, RunError
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
    with pytest.raises(DatasetError, match="is damaged"):
        caslie_model.caption("attributes", data, name="own", limit=1)


@pytest.mark.parametrize("column", ["position", "captioner"])
def test_captions_without_a_value_are_not_measured(data: Path, column: str) -> None:
    change(data / TEST, column, lambda values: [None, *values[1:]])
    with pytest.raises(DatasetError, match="is damaged"):
        read_captions(data, "made", CC, "test")
    pq.write_table(pq.read_table(data / TEST).drop_columns([column]), data / TEST)
    with pytest.raises(DatasetError, match="is damaged"):
        read_captions(data, "made", CC, "test")


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


@pytest.mark.parametrize("text", [None, "", " \n", "\x00\x1b"])
def test_a_log_without_a_caption_is_asked_again(data: Path, text: str | None) -> None:
    result = caslie_model.caption("attributes", data, name="own")
    files = [file.read_bytes() for file in result.files]
    first, *others = (result.folder / LOG).read_text().splitlines()
    damaged = json.dumps({**json.loads(first), "prediction": text})
    (result.folder / LOG).write_text("\n".join([damaged, *others]) + "\n")
    again = caslie_model.caption("attributes", data, name="own")
    assert again.asked == 1
    assert [file.read_bytes() for file in again.files] == files
    assert caslie_model.caption("attributes", data, name="own").asked == 0


def test_a_log_of_half_a_character_is_no_error(data: Path) -> None:
    result = caslie_model.caption("attributes", data, name="own")
    log = (result.folder / LOG).read_text()
    (result.folder / LOG).write_text(log.replace('"prediction": "', '"prediction": "\\ud800'))
    assert caslie_model.caption("attributes", data, name="own").asked == 0


@pytest.mark.parametrize("usage", [[1], "much", {"cost": "much"}, {"cost": -1}])
def test_damaged_costs_count_nothing(data: Path, usage: Any) -> None:
    result = caslie_model.caption("attributes", data, name="own")
    first, *others = (result.folder / LOG).read_text().splitlines()
    (result.folder / LOG).write_text(
        "\n".join([json.dumps({**json.loads(first), "usage": usage}), *others]) + "\n"
    )
    config = caption_config(data=str(data), captioner="attributes", name="own")
    assert estimate_captions(config)["spent"] == 0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b \u202ered\u202c \x1b[31mhat\ufeff", "ab red [31mhat"),
        ("wo\u200dman \ue000 \ud800", "wo\u200dman \ue000"),
        ("\x00\u202e", ""),
        ("x" * 1_000_000, "x" * 100),
        ("one " + "y" * 1_000_000, "one"),
    ],
)
def test_a_caption_has_no_control_characters_and_an_end(text: str, shown: str) -> None:
    assert within_words(text, 5) == shown


def test_captions_that_are_too_long_are_damaged(data: Path) -> None:
    change(data / TEST, "caption", lambda values: ["red " * 30_000 for _ in values])
    with pytest.raises(DatasetError, match="a caption has 120,000 characters"):
        with_captions(read_samples(str(data), CC, "test"), str(data), "made")
    with pytest.raises(DatasetError, match="a caption has 120,000 characters"):
        read_captions(data, "made", CC, "test")


def test_judging_into_another_folder_replaces_no_captions_of_its_own(data: Path, tmp_path: Path) -> None:
    own = caslie_model.caption("attributes", data, tmp_path / "out", name="made")
    files = {file: file.read_bytes() for file in own.files}
    config = judge_config(data=str(data), captions="made", judge="all", out=tmp_path / "out")
    with pytest.raises(ConfigError, match=r"captions 'made' of its own.*give captions_from="):
        judge(config)
    assert {file: file.read_bytes() for file in files} == files
    judged = config.model_copy(update={"captions_from": tmp_path / "out"})
    assert judge(judged).folder.is_dir()


def test_overwriting_deletes_no_files_of_others(data: Path) -> None:
    result = caslie_model.caption("attributes", data, name="own")
    (result.folder / "test-00000-of-00001.parquet").write_bytes(b"kept")
    shards = {file: file.read_bytes() for file in (data / CC).iterdir()}
    (data / "captions" / "link").symlink_to(data / CC)
    caslie_model.caption("attributes", data, name="own", overwrite=True)
    caslie_model.caption("attributes", data, name="link", overwrite=True)
    assert (result.folder / "test-00000-of-00001.parquet").read_bytes() == b"kept"
    assert {file: file.read_bytes() for file in shards} == shards
