"""Captions of a dataset's images, and decisions about them, are read from the files beside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import caslie_model
from caslie_model.data.captions import caption_provenance, captions_root, with_captions
from caslie_model.data.samples import Sample, read_samples
from caslie_model.errors import ConfigError
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.schemas.captions import JUDGED_KEY, PROVENANCE_KEY, captions_path, kept_path
from tests.caslie_model.captioned import ABOUT, JUDGED, caption_all, judge_all, text_of
from tests.servers import hub_server

CC, SR = "category_classification", "sequential_recommendation"


@pytest.fixture
def data(image_dataset: Path, tmp_path: Path) -> Path:
    return shutil.copytree(image_dataset, tmp_path / "data")


def read(data: Path, split: str = "test", tasks: tuple[str, ...] = (CC, SR)) -> list[Sample]:
    return [sample for task in tasks for sample in read_samples(str(data), task, split)]


def test_a_name_gives_the_caption_of_each_image(data: Path) -> None:
    caption_all(data)
    samples = read(data)
    found = with_captions(iter(samples), str(data), "made")
    assert [sample.id for sample in found] == [sample.id for sample in samples]
    assert {len(sample.image_roles) for sample in samples} > {0, 1}
    for sample, captioned in zip(samples, found, strict=True):
        assert captioned.captions == tuple(text_of(sample, n) for n in range(len(sample.image_roles)))
        assert (captioned == sample) == (not sample.image_roles)


def test_an_image_without_a_caption_has_none(data: Path) -> None:
    caption_all(data, text=lambda sample, position: text_of(sample, position) if position else None)
    for sample in with_captions(read(data), str(data), "made"):
        wanted = (None, *(text_of(sample, n) for n in range(1, len(sample.image_roles))))
        assert sample.captions == (wanted if len(sample.image_roles) > 1 else ())


def test_a_judge_leaves_out_what_it_does_not_keep(data: Path) -> None:
    caption_all(data, text=lambda sample, position: text_of(sample, position) if position != 1 else None)
    judge_all(data, lambda row: row["position"] % 3 == 2)
    judge_all(data, lambda row: False, judge="strict")
    for sample in with_captions(read(data), str(data), "made/vote"):
        count = len(sample.image_roles)
        wanted = tuple(text_of(sample, n) if n % 3 == 2 else None for n in range(count))
        assert sample.captions == (wanted if count > 2 else ())
    assert with_captions(read(data), str(data), "made/strict") == read(data)


def test_only_the_files_of_the_samples_are_read(data: Path) -> None:
    caption_all(data)
    judge_all(data, lambda row: True)
    for path in (captions_path("made", CC, "train"), kept_path("made", "vote", SR, "test")):
        (data / path).write_bytes(b"damaged")
    found = with_captions(read(data, tasks=(CC,)), str(data), "made/vote")
    assert any(sample.captions for sample in found)


def test_captions_may_lie_in_another_folder(data: Path, tmp_path: Path) -> None:
    out = caption_all(data, out=tmp_path / "out")
    assert not (data / "captions").exists()
    found = with_captions(read(data), str(data), "made", out)
    caption_all(data)
    assert found == with_captions(read(data), str(data), "made")


def test_names_that_are_not_there_are_named_with_those_that_are(data: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"captions 'made'; run `caslie_model caption --name made`.*folder; captions=none shows none$",
    ):
        captions_root(str(data), None, "made")
    caption_all(data)
    caption_all(data, "other")
    with pytest.raises(
        ConfigError, match=r"has no captions 'mode' \(there are: made, other\).*captions=none"
    ):
        with_captions(read(data), str(data), "mode")
    with pytest.raises(
        ConfigError, match=r"has no decisions 'vote' about captions 'made'; run `caslie_model judge`"
    ):
        with_captions(read(data), str(data), "made/vote")
    judge_all(data, lambda row: True, judge="utility")
    with pytest.raises(ConfigError, match=r"\(there are: utility\).*captions=made to keep all"):
        with_captions(read(data), str(data), "made/vote")
    with pytest.raises(ConfigError, match=rf"{tmp_path}/nowhere has no captions"):
        with_captions(read(data), str(data), "made", tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="no dataset 'nowhere'"):
        captions_root("nowhere", None, "made")
    with pytest.raises(ConfigError, match="captions=made/: give a NAME, or NAME/JUDGE"):
        with_captions(read(data), str(data), "made/")


def test_captions_of_some_samples_only_name_one_without(data: Path) -> None:
    first = next(sample.id for sample in read(data) if sample.image_roles)
    caption_all(data, chosen=lambda sample: sample.id == first)
    assert with_captions([each for each in read(data) if each.id == first], str(data), "made")[0].captions
    with pytest.raises(
        DatasetError, match=r"sample \S+ \(\w+/test\) has no captions 'made'.*without a limit"
    ):
        with_captions(read(data, tasks=(CC,)), str(data), "made")
    with pytest.raises(
        DatasetError, match=rf"{SR}-test.parquet is not there; run `caslie_model caption` for this"
    ):
        with_captions(read(data, tasks=(SR,)), str(data), "made")


def test_captions_of_other_images_are_an_error(data: Path) -> None:
    from dataclasses import replace

    caption_all(data)
    samples = [sample for sample in read(data, tasks=(SR,)) if len(sample.image_roles) > 2]
    for roles in (samples[0].image_roles[1:], samples[0].image_roles[::-1]):
        with pytest.raises(DatasetError, match=rf"{samples[0].id}.*of other images than it has now"):
            with_captions([replace(samples[0], image_roles=roles)], str(data), "made")


def test_decisions_about_other_captions_are_an_error(data: Path) -> None:
    caption_all(data)
    judge_all(data, lambda row: True)
    caption_all(data, text=lambda sample, position: f"another {position}")
    with pytest.raises(
        DatasetError, match=r"decisions of made/vote are not about the captions.*judge` again"
    ):
        with_captions(read(data), str(data), "made/vote")
    caption_all(data, text=lambda sample, position: text_of(sample, position) if position else None)
    with pytest.raises(DatasetError, match="not about the captions"):
        with_captions(read(data), str(data), "made/vote")
    (data / kept_path("made", "vote", CC, "test")).unlink()
    with pytest.raises(DatasetError, match="is not there; run `caslie_model judge` for this task and split"):
        with_captions(read(data), str(data), "made/vote")


def rewritten(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "no Parquet": lambda path: path.write_text("sample_id,position\n"),
    "a column is missing": lambda path: rewritten(path, lambda table: table.drop_columns(["position"])),
    "a column of another type": lambda path: rewritten(
        path, lambda table: table.set_column(1, "position", pa.array(["first"] * len(table)))
    ),
    "no origin": lambda path: rewritten(path, lambda table: table.replace_schema_metadata(None)),
    "an origin that is no JSON": lambda path: rewritten(
        path, lambda table: table.replace_schema_metadata({PROVENANCE_KEY: "{", JUDGED_KEY: "{"})
    ),
    "an origin that is a list": lambda path: rewritten(
        path, lambda table: table.replace_schema_metadata({PROVENANCE_KEY: "[]", JUDGED_KEY: "[]"})
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("judged", [False, True])
def test_a_damaged_file_is_named(data: Path, damage: str, judged: bool) -> None:
    caption_all(data)
    judge_all(data, lambda row: True)
    path = data / (kept_path("made", "vote", CC, "test") if judged else captions_path("made", CC, "test"))
    DAMAGE[damage](path)
    remedy = "run `caslie_model judge`" if judged else "run `caslie_model caption --overwrite`"
    with pytest.raises(DatasetError) as caught:
        with_captions(read(data), str(data), "made/vote")
    assert str(caught.value).startswith(f"{path} is damaged (")
    assert str(caught.value).endswith(remedy)


def test_who_wrote_and_judged_them_is_told(data: Path) -> None:
    caption_all(data)
    judge_all(data, lambda row: row["position"] == 0)
    samples = with_captions(read(data, "train"), str(data), "made/vote")
    images = sum(len(sample.image_roles) for sample in samples)
    shown = sum(bool(sample.image_roles) for sample in samples)
    told = {"name": "made", "judge": "vote", "images": images, "shown": shown, "written": [ABOUT]}
    assert caption_provenance(samples, str(data), "made/vote", None) == {**told, "judged": [JUDGED]}
    judge_all(data, lambda row: row["position"] == 0, about=lambda task: {**JUDGED, "rule": f"for {task}"})
    judged = caption_provenance(samples, str(data), "made/vote", None)["judged"]
    assert [each["rule"] for each in judged] == [f"for {CC}", f"for {SR}"]
    everything = caption_provenance(with_captions(samples, str(data), "made"), str(data), "made", None)
    assert everything == {**told, "judge": None, "shown": images, "judged": []}
    assert json.loads(json.dumps(everything)) == everything


SCRIPT = """
import sys
from huggingface_hub import HfApi
from caslie_model.adapters.captions import captions_of_training
from caslie_model.config.presets import predict_config
from caslie_model.data.captions import with_captions
from caslie_model.data.samples import read_samples
from mmecinstruct.core.errors import MmecError
folder, adapter = sys.argv[1:]
api = HfApi()
for repo, kind, path in (("shop/mugs", "dataset", folder), ("shop/model", "model", adapter)):
    api.create_repo(repo, repo_type=kind)
    api.upload_folder(repo_id=repo, repo_type=kind, folder_path=path)
samples = read_samples(folder, "category_classification", "test")
there, here = (with_captions(samples, data, "made/vote") for data in ("shop/mugs", folder))
assert there == here and any(sample.captions for sample in there)
try:
    with_captions(samples, "shop/mugs", "mode")
except MmecError as error:
    print(error)
try:
    with_captions(samples, "shop/none", "made")
except MmecError as error:
    print(error)
asked = predict_config(model="shop/model", data=folder, out="o")
print(captions_of_training(asked), captions_of_training(asked.model_copy(update={"base_only": True})))
"""


@pytest.mark.slow
def test_captions_of_a_dataset_on_the_hub(data: Path, tmp_path: Path) -> None:
    from caslie_model.config.presets import config_yaml, finetune_config

    caption_all(data)
    judge_all(data, lambda row: row["position"] == 0)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    config = finetune_config("tiny", data="d", out="o", captions="made/vote")
    (adapter / "config.yaml").write_text(config_yaml(config))
    (adapter / "adapter_config.json").write_text("{}")
    with hub_server.running_hub({"hf_key": "shop"}) as hub:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(data), str(adapter)],
            env={
                **environment,
                "PYTHONPATH": str(Path(caslie_model.__file__).parents[1]),
                "HF_ENDPOINT": hub.url,
                "HF_TOKEN": "hf_key",
                "HF_HOME": str(tmp_path / "home"),
                "HF_HUB_DISABLE_XET": "1",
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "NO_PROXY": "127.0.0.1,localhost",
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
    said = done.stdout.splitlines()
    assert said[0].startswith("shop/mugs has no captions 'mode'"), done.stderr
    assert "the Hub does not give those of shop/none" in said[1]
    assert said[-1] == "made/vote None"
