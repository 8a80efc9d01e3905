"""A disk that runs full during a command: a message with the remedy, and the same command goes on afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

import caslie_model
from mmecinstruct.core.errors import MmecError
from mmecinstruct.core.hashing import sha256_file
from tests.small_disk import full_before, resize, run_on_small_disk

WEIGHTS = "adapter_model.safetensors"
LARGE = 1_000_000  # kilobytes


def train(disk: Path, data: Path, undisturbed: Path) -> None:
    out = disk / "out"

    def finetune(out: Path, resume: bool = False) -> None:
        settings = {"checkpoint_every": 1, "batch_size": 2, "tasks": ["cc"], "device": "cpu"}
        caslie_model.finetune(data, out, preset="tiny", resume=resume, **settings)

    with (
        full_before(disk, "transformers", "Trainer._save_checkpoint", 3),
        pytest.raises(MmecError, match=r"No space left on device; free space there; then give --resume"),
    ):
        finetune(out)
    with pytest.raises(
        MmecError, match=f"^out={out}: the disk is full: .* free space, or give another folder$"
    ):
        finetune(out, resume=True)
    resize(disk, LARGE)
    resize(disk, 20_000)
    with (
        full_before(disk, "caslie_model.training.run", "save_trained"),
        pytest.raises(MmecError, match="No space left on device"),
    ):
        finetune(out, resume=True)
    resize(disk, LARGE)
    finetune(out, resume=True)
    finetune(undisturbed)
    assert sha256_file(out / WEIGHTS) == sha256_file(undisturbed / WEIGHTS)


def compute(disk: Path, data: Path) -> None:
    def features() -> int:
        return caslie_model.features(data, "random:tiny-vit", tasks="cc").counts.computed

    full = r"the model cache .*No space left on device; free space there; or set CASLIE_MODEL_CACHE"
    with full_before(disk, "transformers", "ViTModel.save_pretrained"), pytest.raises(MmecError, match=full):
        features()
    resize(disk, 3000)
    with (
        full_before(disk, "caslie_model.vision.feature_cache", "write_tensor_file"),
        pytest.raises(MmecError, match=full),
    ):
        features()
    with pytest.raises(MmecError, match=r"the disk is full: .*CASLIE_MODEL_CACHE names the cache"):
        features()
    resize(disk, 3000)
    assert features() > 0
    assert features() == 0


def measure_and_merge(disk: Path, data: Path, adapter: Path) -> None:
    def evaluate() -> float:
        settings = {"tasks": ["cc"], "splits": ["test"], "batch_size": 2, "device": "cpu"}
        return float(caslie_model.evaluate(adapter, data, disk / "results", **settings).table["accuracy"][0])

    for module, name in (
        ("caslie_model.inference.prediction_log", "PredictionFile.append"),
        ("caslie_model.evaluation.evaluate", "score"),
    ):
        with (
            full_before(disk, module, name),
            pytest.raises(MmecError, match=r"run the same again: .*answer.* kept"),
        ):
            evaluate()
        resize(disk, 3000)
    evaluate()
    assert len((disk / "results" / "predictions.jsonl").read_text().splitlines()) == 6
    resize(disk, 1200)
    with pytest.raises(MmecError, match=r"the disk is full: .* are needed"):
        caslie_model.merge(adapter, disk / "whole")
    resize(disk, 20_000)
    with (
        full_before(disk, "caslie_model.adapters.merge", "partial_folder"),
        pytest.raises(MmecError, match="No space left on device"),
    ):
        caslie_model.merge(adapter, disk / "whole")
    assert sorted(path.name for path in disk.iterdir()) == ["filler", "results"]
    resize(disk, LARGE)
    caslie_model.merge(adapter, disk / "whole")


@pytest.mark.slow
def test_a_training_goes_on_after_a_full_disk(image_dataset: Path, tmp_path: Path) -> None:
    said = run_on_small_disk(train, tmp_path / "disk", image_dataset, tmp_path / "undisturbed")
    assert "resuming from checkpoint-2" in said


@pytest.mark.slow
def test_features_are_computed_after_a_full_disk(
    image_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASLIE_MODEL_CACHE", str(tmp_path / "disk" / "cache"))
    run_on_small_disk(compute, tmp_path / "disk", image_dataset)


@pytest.mark.slow
def test_an_evaluation_and_a_merge_go_on_after_a_full_disk(image_dataset: Path, tmp_path: Path) -> None:
    settings = {"preset": "tiny", "tasks": ["cc"], "samples_per_task": 8, "device": "cpu"}
    caslie_model.finetune(image_dataset, tmp_path / "adapter", **settings)
    run_on_small_disk(measure_and_merge, tmp_path / "disk", image_dataset, tmp_path / "adapter")
