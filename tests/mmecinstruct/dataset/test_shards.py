"""Shards: paths, rows with images, atomic writes, and reproducible bytes."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.dataset import shards
from mmecinstruct.dataset.shards import (
    REJECTIONS_PATH,
    find_shards,
    parse_shard_path,
    shard_path,
    shard_plan,
    write_rejections,
    write_shard,
)
from mmecinstruct.schemas.rejections import Rejection, rejections_table
from mmecinstruct.schemas.samples import published_schema
from mmecinstruct.tasks import TASKS

SR = "sequential_recommendation"


@pytest.mark.parametrize(
    ("rows", "plan"),
    [(0, []), (1, [(0, 1)]), (3, [(0, 3)]), (4, [(0, 3), (3, 4)]), (7, [(0, 3), (3, 6), (6, 7)])],
)
def test_the_shard_plan_covers_every_row_once(rows, plan):
    assert shard_plan(rows, 3) == plan


def test_path_is_read_back():
    path = shard_path(SR, "test_ood", 1, 12)
    assert path == f"{SR}/test_ood-00001-of-00012.parquet"
    assert parse_shard_path(path) == (SR, "test_ood", 1, 12)


@pytest.mark.parametrize(
    "path",
    [
        REJECTIONS_PATH,
        "unknown_task/test-00000-of-00001.parquet",
        f"{SR}/other-00000-of-00001.parquet",
        f"{SR}/test-0-of-1.parquet",
        f"x/{SR}/test-00000-of-00001.parquet",
        f"{SR}/test-00000-of-00001.parquet\n",
        f"{SR}/test-0000٣-of-00001.parquet",
    ],
)
def test_other_files_are_no_shards(path):
    assert parse_shard_path(path) is None


def test_shards_are_found_in_the_order_of_tasks_and_splits(sound_folder):
    found = [parse_shard_path(path) for path in find_shards(sound_folder)]
    assert [entry[0] for entry in found] == sorted((e[0] for e in found), key=list(TASKS).index)
    assert [entry[1:] for entry in found if entry[0] == SR] == [
        *(("train", 0, 2), ("train", 1, 2), ("validation", 0, 1), ("test", 0, 1), ("test_ood", 0, 1))
    ]


def test_rows_and_images_are_read_back(small, tmp_path):
    rows = small.rows(SR, "train")
    write_shard(small.table(rows), small.pixels, tmp_path / "a.parquet", row_group_rows=3)
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema.equals(published_schema())
    assert table.schema.metadata == published_schema().metadata
    for row, read in zip(rows, table.to_pylist(), strict=True):
        assert read.pop("images") == [
            {"bytes": small.pixels[image_id], "path": f"{image_id}.jpg"} for image_id in row["image_ids"]
        ]
        assert read == row
    metadata = pq.read_metadata(tmp_path / "a.parquet")
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [3, 1]


def test_bytes_depend_on_content_alone(small, tmp_path):
    table = small.table(small.rows(SR, "train"))
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    shuffled = chunked.select(sorted(chunked.column_names))
    backwards = dict(reversed(list(small.pixels.items())))
    write_shard(table, small.pixels, tmp_path / "a.parquet", 2)
    write_shard(shuffled, backwards, tmp_path / "b.parquet", 2)
    assert sha256_file(tmp_path / "a.parquet") == sha256_file(tmp_path / "b.parquet")


def test_large_images_close_a_row_group(small, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", 1)
    table = small.table(small.rows(SR, "train"))
    write_shard(table, small.pixels, tmp_path / "a.parquet", row_group_rows=100)
    assert pq.read_metadata(tmp_path / "a.parquet").num_row_groups == table.num_rows
    assert pq.read_table(tmp_path / "a.parquet")["id"].to_pylist() == table["id"].to_pylist()


def test_a_repeated_image_is_stored_once(small, tmp_path):
    row = small.rows(SR, "train")[0]
    rows = [{**row, "id": str(number)} for number in range(50)]
    pixels = {image_id: small.pixels[image_id].ljust(20_000, b"\0") for image_id in row["image_ids"]}
    write_shard(small.table(rows), pixels, tmp_path / "a.parquet", row_group_rows=50)
    assert (tmp_path / "a.parquet").stat().st_size < 2 * 20_000 * len(pixels)
    images = pq.read_table(tmp_path / "a.parquet")["images"].to_pylist()
    assert {image["bytes"] for images in images for image in images} == set(pixels.values())


def test_missing_pixels_name_the_sample_and_leave_no_file(small, tmp_path):
    rows = small.rows(SR, "train")
    rows[1]["image_ids"][2] = "f" * 64
    with pytest.raises(DatasetError, match=rf"sample {rows[1]['id']}: no pixels for image f{{64}}"):
        write_shard(small.table(rows), small.pixels, tmp_path / "a.parquet", 2)
    assert list(tmp_path.iterdir()) == []


def test_wrong_columns_are_an_error(small, tmp_path):
    table = small.table(small.rows(SR, "train"))
    with pytest.raises(DatasetError, match="missing or unknown columns: output"):
        write_shard(table.drop_columns(["output"]), small.pixels, tmp_path / "a.parquet", 2)
    with pytest.raises(DatasetError, match="missing or unknown columns: extra"):
        write_shard(table.append_column("extra", table["id"]), small.pixels, tmp_path / "a.parquet", 2)


def test_rejections_keep_their_order(tmp_path):
    first = rejections_table([Rejection("z", "late", "d", "f:1")])
    second = rejections_table([Rejection("a", "early", "d", "f:2", "id"), Rejection("a", "x", "", "f:3")])
    assert write_rejections(tmp_path, iter([first, second])) == 3
    written = pq.read_table(tmp_path / REJECTIONS_PATH)
    names = [name for name in written.column_names if name in first.column_names]
    assert written.select(names).equals(pa.concat_tables([first, second]).select(names))
    assert "user_id" not in written.column_names


def test_no_rejections_give_an_empty_table(tmp_path: Path):
    assert write_rejections(tmp_path, []) == 0
    assert pq.read_table(tmp_path / REJECTIONS_PATH).num_rows == 0
