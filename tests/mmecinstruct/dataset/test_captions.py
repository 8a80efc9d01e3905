"""Captions beside a dataset are checked against its samples, and published with it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmecinstruct.dataset.configs import card_configs
from mmecinstruct.dataset.shards import find_shards, parse_shard_path
from mmecinstruct.dataset.validate import validate_folder
from mmecinstruct.publish.push import push_folder
from mmecinstruct.schemas.captions import CAPTIONS, PROVENANCE_KEY, captions_path, parse_captions_path

Rows = list[dict[str, Any]]


def caption_rows(folder: Path, path: str) -> Rows:
    """Return a row for each image of a shard."""
    rows = []
    for sample in pq.read_table(folder / path).to_pylist():
        for position, (role, image) in enumerate(zip(sample["image_roles"], sample["images"], strict=True)):
            rows.append(
                {
                    "sample_id": sample["id"],
                    "position": position,
                    "role": role,
                    "image": hashlib.sha256(image["bytes"]).hexdigest(),
                    "caption": "A red thing.",
                    "reason": None,
                    "captioner": "tiny",
                    "fingerprint": "0123456789abcdef",
                }
            )
    return rows


def write(folder: Path, path: str, rows: Rows, told: bool = True) -> Path:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    metadata = {PROVENANCE_KEY: json.dumps({})} if told else {}
    pq.write_table(pa.Table.from_pylist(rows, schema=CAPTIONS.with_metadata(metadata)), folder / path)
    return folder


@pytest.fixture
def captioned(own_folder: Path) -> tuple[Path, str, Rows]:
    """A dataset folder, the path of its captions, and their rows."""
    for shard in find_shards(own_folder):
        rows = caption_rows(own_folder, shard)
        if rows:
            break
    task, split, _, _ = parse_shard_path(shard) or ("", "", 0, 0)
    path = captions_path("tiny", task, split)
    write(own_folder, path, rows)
    return own_folder, path, rows


def change(number: int, **values: Any) -> Callable[[Rows], Rows]:
    return lambda rows: [{**row, **values} if place == number else row for place, row in enumerate(rows)]


DAMAGES: dict[str, tuple[Callable[[Rows], Rows], str]] = {
    "another sample": (change(0, sample_id="nobody"), "sample_unknown"),
    "a position beyond": (change(0, position=99), "image_unknown"),
    "a position below": (change(0, position=-1), "image_unknown"),
    "another image": (change(0, image="0" * 64), "image_changed"),
    "no caption": (change(0, caption=None), "caption_or_reason"),
    "an empty caption": (change(0, caption=""), "caption_or_reason"),
    "caption and reason": (change(0, reason="why"), "caption_or_reason"),
    "a path": (change(0, captioner="/home/me/model"), "path_private"),
    "a repeated row": (lambda rows: [*rows, rows[0]], "caption_repeated"),
}


def test_captions_of_all_images_are_valid(captioned: tuple[Path, str, Rows]) -> None:
    folder, path, rows = captioned
    assert validate_folder(folder) == []
    write(folder, path, change(0, caption=None, reason="cannot be read")(rows))
    assert validate_folder(folder) == []


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_caption_is_found(captioned: tuple[Path, str, Rows], name: str) -> None:
    folder, path, rows = captioned
    damage, reason = DAMAGES[name]
    [problem] = validate_folder(write(folder, path, damage(rows)))
    assert (problem.file, problem.reason) == (path, reason)


def test_captions_of_another_split_are_found(captioned: tuple[Path, str, Rows]) -> None:
    folder, path, _ = captioned
    name, task, split = parse_captions_path(path) or ("", "", "")
    (folder / path).rename(folder / captions_path(name, task, "test" if split != "test" else "train"))
    assert {problem.reason for problem in validate_folder(folder)} == {"sample_unknown"}


def test_files_that_are_no_captions_are_found(captioned: tuple[Path, str, Rows]) -> None:
    folder, path, rows = captioned
    shutil.copy(folder / path, folder / "captions" / "tiny" / "mine.parquet")
    write(folder, path, rows, told=False)
    (folder / captions_path("torn", "sentiment_analysis", "test")).parent.mkdir()
    (folder / captions_path("torn", "sentiment_analysis", "test")).write_bytes(b"PAR1")
    found = {(problem.file.split("/")[1], problem.reason) for problem in validate_folder(folder)}
    assert found == {("tiny", "file_unexpected"), ("tiny", "schema_metadata"), ("torn", "parquet_unreadable")}


def test_captions_are_published_and_no_data(captioned: tuple[Path, str, Rows]) -> None:
    folder, path, _ = captioned
    (folder / path).with_name("log.jsonl").write_text("{}\n")
    sent = [name for name, _ in push_folder(folder, "user/name", private=False, dry_run=True).files]
    assert path in sent
    assert not any("log" in name for name in sent)
    assert path not in find_shards(folder)
    assert "captions" not in json.dumps(card_configs([*find_shards(folder), path]))


def test_load_dataset_takes_captions_for_no_data(captioned: tuple[Path, str, Rows], tmp_path: Path) -> None:
    import datasets

    folder, path, _ = captioned
    split = (parse_captions_path(path) or ("", "", ""))[2]
    loaded = datasets.load_dataset(str(folder), "all", split=split, cache_dir=str(tmp_path / "cache"))
    assert "sample_id" not in loaded.column_names
    rows = sum(
        pq.read_metadata(folder / shard).num_rows for shard in find_shards(folder) if f"/{split}-" in shard
    )
    assert loaded.num_rows == rows


@pytest.mark.parametrize(
    "path",
    [
        "captions/../x/sentiment_analysis-test.parquet",
        "captions/a b/sentiment_analysis-test.parquet",
        "captions/a/sentiment_analysis-other.parquet",
        "captions/a/b/sentiment_analysis-test.parquet",
    ],
)
def test_other_paths_are_no_captions(path: str) -> None:
    assert parse_captions_path(path) is None
