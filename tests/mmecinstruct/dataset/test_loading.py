"""`load_dataset` reads every config and split of a folder, and decodes every image."""

from __future__ import annotations

import datasets
import pytest
from PIL import Image

from mmecinstruct.schemas.samples import SPLITS, published_features
from mmecinstruct.tasks import TASKS

OOD_TASKS = [name for name, task in TASKS.items() if task.has_ood]

CONFIGS = [*TASKS, "all"]


@pytest.fixture(autouse=True)
def _quiet():
    datasets.disable_progress_bars()


def check_rows(rows, small, task, split):
    expected = [row for name in TASKS if name == task or task == "all" for row in small.rows(name, split)]
    if split == "test_ood":
        expected = [row for row in expected if row["task"] in OOD_TASKS]
    assert len(rows) == len(expected)
    for row, wanted in zip(rows, expected, strict=True):
        images = row.pop("images")
        assert row == wanted
        assert len(images) == len(row["image_roles"])
        for image in images:
            assert isinstance(image, Image.Image)
            assert image.convert("RGB").size == (48, 40)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_split_loads(small, sound_folder, tmp_path, config):
    loaded = datasets.load_dataset(str(sound_folder), config, cache_dir=str(tmp_path))
    ood = () if config in TASKS and config not in OOD_TASKS else ("test_ood",)
    assert tuple(loaded) == (*SPLITS[:3], *ood)
    for split in loaded:
        assert loaded[split].features == published_features()
        check_rows(list(loaded[split]), small, config, split)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_split_streams(small, sound_folder, tmp_path, config):
    # In a cache of its own: `datasets` takes the features of another folder of this name from the common one.
    streamed = datasets.load_dataset(str(sound_folder), config, streaming=True, cache_dir=str(tmp_path))
    for split in streamed:
        check_rows(list(streamed[split]), small, config, split)


def test_one_split_loads_by_name(small, sound_folder, tmp_path):
    rows = datasets.load_dataset(
        str(sound_folder), "sentiment_analysis", split="test_ood", cache_dir=str(tmp_path)
    )
    check_rows(list(rows), small, "sentiment_analysis", "test_ood")


def test_the_default_config_has_all_tasks(sound_folder, tmp_path):
    loaded = datasets.load_dataset(str(sound_folder), split="test", cache_dir=str(tmp_path))
    assert set(loaded["task"]) == set(TASKS)
