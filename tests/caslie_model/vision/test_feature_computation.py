from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

import caslie_model
from caslie_model.data.images import decode_image, read_images
from caslie_model.errors import ModelError
from caslie_model.vision import (
    FeatureCache,
    FeatureCounts,
    VisionEncoder,
    compute_features,
    feature_computation,
    features,
    load_vision_encoder,
    open_feature_cache,
)
from mmecinstruct.core.errors import DatasetError

TASK = "product_relation_prediction"
Pack = Callable[[int], bytes]
WriteData = Callable[..., str]


@pytest.fixture
def data(dataset_of_images: WriteData, pack: Pack, tmp_path: Path) -> str:
    """Seven images, some of which several samples and both splits show."""
    folder = tmp_path / "data"
    dataset_of_images(folder, [[pack(0), pack(1)], [], [pack(1), pack(2)], [pack(3)]])
    return dataset_of_images(folder, [[pack(0), pack(4)], [pack(5), pack(6)]], "test")


def compute(data: str, encoder: VisionEncoder, cache: FeatureCache, **settings: int) -> FeatureCounts:
    return compute_features(data, [TASK], ["train", "test"], encoder, cache, **settings)


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_every_image_is_computed_once(
    data: str, tiny: VisionEncoder, pack: Pack, tmp_path: Path, batch_size: int
) -> None:
    cache = open_feature_cache(tiny, tmp_path)
    counts = compute(data, tiny, cache, batch_size=batch_size)
    assert (counts.samples, counts.images, counts.distinct, counts.computed) == (6, 9, 7, 7)
    keys = [
        p.key for split in ("train", "test") for ps in read_images(data, TASK, split).values() for p in ps
    ]
    assert len(keys) == 9
    expected = tiny.encode([decode_image(pack(number), "here") for number in (0, 1, 1, 2, 3, 0, 4, 5, 6)])
    torch.testing.assert_close(FeatureCache(cache.folder).features(keys), expected, atol=1e-3, rtol=1e-3)


def test_a_second_run_neither_decodes_nor_loads_the_encoder(
    data: str, tiny: VisionEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute(data, tiny, open_feature_cache(tiny, tmp_path))
    monkeypatch.setattr(feature_computation, "decode_image", None)  # cannot be called
    fresh = load_vision_encoder("random:tiny-vit")
    cache = open_feature_cache(fresh, tmp_path)
    counts = compute(data, fresh, cache)
    assert (counts.distinct, counts.computed) == (7, 0)
    assert cache.shape == (49, 32)
    assert "_network" not in vars(fresh)


def test_new_images_alone_are_computed(
    data: str, dataset_of_images: WriteData, pack: Pack, tiny: VisionEncoder, tmp_path: Path
) -> None:
    cache = open_feature_cache(tiny, tmp_path)
    compute(data, tiny, cache)
    dataset_of_images(Path(data), [[pack(7), pack(0)]], "validation")
    counts = compute_features(data, [TASK], ["validation"], tiny, cache)
    assert (counts.distinct, counts.computed, len(cache)) == (2, 1, 8)


def test_another_encoder_computes_anew(data: str, tiny: VisionEncoder, tmp_path: Path) -> None:
    compute(data, tiny, open_feature_cache(tiny, tmp_path))
    other = load_vision_encoder("random:tiny-vit", pool=1)
    cache = open_feature_cache(other, tmp_path)
    assert compute(data, other, cache).computed == 7
    assert cache.shape == (1, 32)
    with pytest.raises(ModelError, match="is the cache of another encoder"):
        compute(data, tiny, cache)


def test_features_before_a_damaged_image_are_kept(
    dataset_of_images: WriteData, pack: Pack, tiny: VisionEncoder, tmp_path: Path
) -> None:
    samples = [[pack(0)], [pack(1)], [pack(2), pack(3)[:-80]], [pack(4)]]
    data = dataset_of_images(tmp_path / "data", samples)
    cache = open_feature_cache(tiny, tmp_path)
    message = rf"{data}: sample {TASK}-train-0002: image 'product 2' cannot be read: .*truncated"
    with pytest.raises(DatasetError, match=message):
        compute(data, tiny, cache, batch_size=1)
    assert len(FeatureCache(cache.folder)) == 3


def test_tensor_files_hold_a_few_hundred_images(
    data: str, tiny: VisionEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_computation, "IMAGES_PER_FILE", 3)
    cache = open_feature_cache(tiny, tmp_path)
    compute(data, tiny, cache, batch_size=2)
    assert len(list(cache.folder.glob("*.safetensors"))) == 2  # 4 and 3: whole batches
    assert len(FeatureCache(cache.folder)) == 7


def test_the_encoder_is_described_beside_the_features(data: str, tiny: VisionEncoder, tmp_path: Path) -> None:
    cache = open_feature_cache(tiny, tmp_path)
    compute(data, tiny, cache)
    described = json.loads((cache.folder / "encoder.json").read_text())
    assert (described["name"], described["patches"], described["width"]) == ("random:tiny-vit", 49, 32)
    assert described["settings"]["padding"] == "white"


def test_a_dataset_without_images_still_gives_the_shape(
    dataset_of_images: WriteData, tiny: VisionEncoder, tmp_path: Path
) -> None:
    data = dataset_of_images(tmp_path / "data", [[], []])
    cache = open_feature_cache(tiny, tmp_path)
    assert compute(data, tiny, cache).images == 0
    assert FeatureCache(cache.folder).features([]).shape == (0, 49, 32)


def test_features_are_computed_by_the_encoders_name(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASLIE_MODEL_CACHE", str(tmp_path / "cache"))
    cache, counts = features(data, "random:tiny-vit", device="cpu", batch_size=2)
    assert (counts.computed, len(cache)) == (7, 7)
    assert cache.folder.parent == tmp_path / "cache" / "features"
    with pytest.raises(DatasetError, match="has no samples of sentiment_analysis in train"):
        features(data, "random:tiny-vit", ["sentiment_analysis"], ["train"])
    with pytest.raises(ModelError, match="batch_size=0"):
        features(data, "random:tiny-vit", batch_size=0)


# Computes in a process of its own, with shards of four images.
SCRIPT = """
import sys
from caslie_model.vision import feature_computation
feature_computation.IMAGES_PER_FILE = 4
_, counts = feature_computation.features(sys.argv[1], "random:tiny-vit", device="cpu", batch_size=2)
print(counts.computed)
"""


def start(data: str, cache: Path, script: str = SCRIPT) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, data],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(caslie_model.__file__).parents[1]),
            "CASLIE_MODEL_CACHE": str(cache),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_killed_run_loses_at_most_one_file_and_resumes(
    dataset_of_images: WriteData, pack: Pack, tmp_path: Path
) -> None:
    data = dataset_of_images(tmp_path / "data", [[pack(number)] for number in range(1200)])
    root = tmp_path / "cache"
    process = start(data, root)
    deadline = time.monotonic() + 120
    while len(list(root.glob("features/*/*.safetensors"))) < 5:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (folder,) = root.glob("features/*")
    kept = len(FeatureCache(folder))
    assert 20 <= kept < 1200
    (folder / ".left.safetensors.tmp").write_bytes(b"half")
    process = start(data, root)
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert int(said) == 1200 - kept
    assert len(FeatureCache(folder)) == 1200
    assert not list(folder.glob(".*.tmp"))


@pytest.mark.slow
def test_ctrl_c_says_that_nothing_is_lost(dataset_of_images: WriteData, pack: Pack, tmp_path: Path) -> None:
    data = dataset_of_images(tmp_path / "data", [[pack(number)] for number in range(1200)])
    root = tmp_path / "cache"
    command = SCRIPT.partition("_, counts")[0] + (
        "from caslie_model import cli\n"
        "sys.argv = ['caslie_model', 'features', '--data', sys.argv[1], '--encoder', 'random:tiny-vit',"
        " '--batch-size', '2']\n"
        "cli.main()\n"
    )
    process = start(data, root, command)
    deadline = time.monotonic() + 120
    while len(list(root.glob("features/*/*.safetensors"))) < 5:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    output, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; what was computed is kept, and the same command goes on\n" in said
    assert "Traceback" not in said
    assert output == ""
    (folder,) = root.glob("features/*")
    assert 20 <= len(FeatureCache(folder)) < 1200


@pytest.mark.slow
def test_two_processes_at_once_compute_nothing_twice(
    dataset_of_images: WriteData, pack: Pack, tmp_path: Path
) -> None:
    contents = [pack(number) for number in range(600)]
    first = dataset_of_images(tmp_path / "first", [[content] for content in contents[:400]])
    second = dataset_of_images(tmp_path / "second", [[content] for content in contents[200:]])
    root = tmp_path / "cache"
    processes = [start(first, root), start(second, root)]
    said = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert sum(int(output) for output, _ in said) == 600
    (folder,) = root.glob("features/*")
    assert len(FeatureCache(folder)) == 600


@pytest.mark.slow
def test_a_waiting_process_goes_on_when_the_other_is_done(
    data: str, tiny: VisionEncoder, tmp_path: Path
) -> None:
    folder = tmp_path / "cache" / "features" / tiny.fingerprint
    folder.mkdir(parents=True)
    with (folder / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = start(data, tmp_path / "cache")
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any("waiting: another process computes features" in line for line in lines)
    said, errors = process.communicate(timeout=60)
    assert said.strip() == "7", errors


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["random:tiny-vit", "package:efficientnet_lite0"])
def test_the_sample_shop(encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    from caslie_model.vision.efficientnet_lite import PACKAGE
    from mmecinstruct.pipeline.build import build
    from mmecinstruct.recipe import load_recipe

    if encoder.startswith("package:") and importlib.util.find_spec(PACKAGE) is None:
        pytest.skip(f"package {PACKAGE} is missing")
    monkeypatch.setenv("CASLIE_MODEL_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "dataset"
    build(load_recipe("sample", ["sample.products=60"]), data, workspace=tmp_path / "work", workers=1)
    cache, counts = features(str(data), encoder, device="cpu")
    assert counts.images > counts.distinct == counts.computed == len(cache) > 30
    start = time.monotonic()
    again, later = features(str(data), encoder, device="cpu")
    assert later.computed == 0
    assert time.monotonic() - start < 5
    images = read_images(str(data), "category_classification", "train")
    keys = [image.key for shown in images.values() for image in shown]
    given = again.features(keys)
    assert given.shape == (len(keys), *(again.shape or ()))
    # Images of different products are described apart.
    assert len({row.numpy().tobytes() for row in given}) == len(set(keys))


def test_images_are_decoded_in_colour(tiny: VisionEncoder) -> None:
    red, green = tiny.encode([Image.new("RGB", (30, 30), colour) for colour in ("red", "green")])
    assert (red - green).norm() > 0.1 * red.norm()
