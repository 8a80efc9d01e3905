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
from mmecinstruct.publish.captions_card import card_with_captions
from mmecinstruct.publish.push import push_folder
from mmecinstruct.schemas.captions import (
    CAPTIONS,
    JUDGED_KEY,
    KEPT,
    PROVENANCE_KEY,
    caption_fingerprint,
    captions_path,
    kept_path,
    parse_captions_path,
)

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


@pytest.fixture
def judged(captioned: tuple[Path, str, Rows]) -> tuple[Path, str, Rows]:
    """A dataset folder with captions, the path of decisions about them, and their rows."""
    folder, path, rows = captioned
    decisions: Rows = [
        {
            "sample_id": row["sample_id"],
            "position": row["position"],
            "caption_fingerprint": caption_fingerprint(row),
            "kept": number % 2 == 0,
            "score": 0.5,
            "votes": ["yes", None],
        }
        for number, row in enumerate(rows)
    ]
    _, task, split = parse_captions_path(path) or ("", "", "")
    write_decisions(folder, kept_path("tiny", "vote", task, split), decisions)
    return folder, kept_path("tiny", "vote", task, split), decisions


def write_decisions(folder: Path, path: str, rows: Rows, told: Any = None) -> Path:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    schema = KEPT.with_metadata({JUDGED_KEY: json.dumps({"judges": told})})
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / path)
    return folder


DECISION_DAMAGES: dict[str, tuple[Callable[[Rows], Rows], set[str]]] = {
    "another sample": (change(0, sample_id="nobody"), {"caption_unknown", "decision_missing"}),
    "another caption": (change(0, caption_fingerprint="0" * 16), {"caption_changed"}),
    "a repeated row": (lambda rows: [*rows, rows[0]], {"decision_repeated"}),
    "a missing row": (lambda rows: rows[1:], {"decision_missing"}),
}


@pytest.mark.parametrize("name", DECISION_DAMAGES)
def test_a_damaged_decision_is_found(judged: tuple[Path, str, Rows], name: str) -> None:
    folder, path, rows = judged
    damage, reasons = DECISION_DAMAGES[name]
    problems = validate_folder(write_decisions(folder, path, damage(rows)))
    assert {(problem.file, problem.reason) for problem in problems} == {(path, reason) for reason in reasons}


def test_decisions_are_valid_and_published_without_logs(judged: tuple[Path, str, Rows]) -> None:
    folder, path, _ = judged
    (folder / path).with_name("report.json").write_text("{}\n")
    log = folder / "captions" / "tiny" / "judges" / "small-1234" / "predictions.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text("{}\n")
    assert validate_folder(folder) == []
    sent = [name for name, _ in push_folder(folder, "user/name", private=False, dry_run=True).files]
    assert path in sent
    assert not any("judges" in name or "report" in name for name in sent)


def test_the_published_card_tells_of_captions_and_judges(judged: tuple[Path, str, Rows]) -> None:
    folder, path, rows = judged
    write_decisions(folder, path, rows, told=[{"model": "small|judge"}])
    before = (folder / "README.md").read_text()
    published = card_with_captions(folder).decode()
    count = len(rows)
    assert f"| tiny | `captions/tiny/*.parquet` | tiny | {count} | {count} |" in published
    assert (
        f"| tiny/vote | `captions/tiny/kept/vote/*.parquet` | small\\|judge | {-(-count // 2)} | {count} |"
        in published
    )
    # A downloaded folder is valid, and its card is the same when it is published again.
    (folder / "README.md").write_text(published)
    assert validate_folder(folder) == []
    assert card_with_captions(folder).decode() == published
    shutil.rmtree(folder / "captions")
    assert card_with_captions(folder).decode() == before


def test_decisions_that_cannot_be_published_are_found(judged: tuple[Path, str, Rows]) -> None:
    folder, path, rows = judged
    write_decisions(folder, path, rows, told=[{"model": "/home/me/judge"}])
    shutil.copy(folder / path, (folder / path).with_name("mine.parquet"))
    write_decisions(folder, path.replace("tiny", "other"), rows)
    found = {(problem.file.split("/")[1], problem.reason) for problem in validate_folder(folder)}
    assert found == {("tiny", "path_private"), ("tiny", "file_unexpected"), ("other", "captions_missing")}


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
