"""The manifest lists the files of a folder; its recipe is read back unchanged."""

from __future__ import annotations

import json

import pytest

from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.dataset import find_shards, read_manifest, write_manifest
from mmecinstruct.dataset.manifest import MANIFEST, RECIPE
from mmecinstruct.recipe import load_recipe


def test_every_file_but_the_card_is_listed_with_its_hash(sound_folder):
    manifest = read_manifest(sound_folder)
    listed = {entry.path: entry for entry in manifest.files}
    others = {"rejections/rejections.parquet", "recipe.yaml", "statistics.json"}
    assert set(listed) == {*find_shards(sound_folder), *others}
    for path, entry in listed.items():
        assert entry.sha256 == sha256_file(sound_folder / path)
        assert entry.bytes == (sound_folder / path).stat().st_size
    assert listed["sequential_recommendation/train-00001-of-00002.parquet"].rows == 1
    assert listed["rejections/rejections.parquet"].rows == 3
    assert listed["recipe.yaml"].rows is None


def test_the_same_content_gives_the_same_folder(small, sound_folder, tmp_path):
    """No time, host or path is in any file."""
    again = small.write(tmp_path / "elsewhere")
    files = sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert [sha256_file(again / file) for file in files] == [
        sha256_file(sound_folder / file) for file in files
    ]
    assert len(files) == len(read_manifest(again).files) + 2


def test_the_recipe_is_read_back_unchanged(small, sound_folder):
    assert load_recipe(str(sound_folder / RECIPE)) == small.recipe


def test_an_unfinished_folder_gets_no_manifest(small, own_folder):
    (own_folder / "statistics.json").unlink()
    with pytest.raises(DatasetError, match=r"statistics\.json is missing"):
        write_manifest(own_folder, small.recipe, "f" * 32)


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside", "a/../../b", "a//b", "", "a\\b"])
def test_a_manifest_path_outside_the_folder_is_an_error(own_folder, path):
    content = json.loads((own_folder / MANIFEST).read_text())
    content["files"][0]["path"] = path
    (own_folder / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"files\.0\.path: .*a path is relative to the folder"):
        read_manifest(own_folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"{" * 100_000])
def test_an_invalid_manifest_is_an_error(own_folder, content):
    (own_folder / MANIFEST).write_bytes(content)
    with pytest.raises(DatasetError, match="not a manifest"):
        read_manifest(own_folder)
