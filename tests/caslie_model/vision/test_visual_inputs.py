"""The images of a run and their features: computed on first use, once, with the encoder that was asked for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from caslie_model.config.presets import evaluate_config, finetune_config
from caslie_model.config.training import VisionSettings
from caslie_model.data.images import iterate_images
from caslie_model.data.samples import Sample, read_samples
from caslie_model.errors import ModelError
from caslie_model.evaluation.evaluate import evaluate
from caslie_model.runtime.device import CPU, Device
from caslie_model.training.finetune import finetune
from caslie_model.vision import VisionEncoder, features, load_vision_encoder
from caslie_model.vision.visual_inputs import load_visual_inputs, load_visual_inputs_of

TASKS = ("category_classification", "sequential_recommendation")
TINY = VisionSettings(encoder="random:tiny-vit", pool=2)


@pytest.fixture
def own_cache(model_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that has the tiny models and no features."""
    for name in ("random-tiny-1", "random-tiny-vit-1"):
        if (model_cache / name).is_dir():
            shutil.copytree(model_cache / name, tmp_path / "cache" / name)
    monkeypatch.setenv("CASLIE_MODEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images went through an encoder, each time that it was called."""
    counts: list[int] = []
    encode = VisionEncoder.encode

    def counted(self: VisionEncoder, images: list[Any]) -> torch.Tensor:
        counts.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(VisionEncoder, "encode", counted)
    return counts


def samples_of(data: Path, split: str = "train") -> list[Sample]:
    return [sample for task in TASKS for sample in read_samples(str(data), task, split)]


def test_computed_features_are_not_computed_again(
    image_dataset: Path, own_cache: Path, encoded: list[int]
) -> None:
    tasks = (*TASKS, "product_relation_prediction")
    _, first = features(str(image_dataset), "random:tiny-vit", tasks, pool=2, device="cpu")
    assert first.computed == first.distinct == sum(encoded) > 60
    encoded.clear()
    _, second = features(str(image_dataset), "random:tiny-vit", tasks, pool=2, device="cpu")
    assert second.computed == 0
    assert second.distinct == first.distinct
    out = own_cache.parent / "adapter"
    finetune(
        finetune_config(
            "tiny",
            ["tasks=[cc, sr]", "samples_per_task=4", "device=cpu"],
            data=str(image_dataset),
            out=out,
            fusion="xattn",
        )
    )
    evaluate(
        evaluate_config(
            model=str(out), data=str(image_dataset), out=own_cache.parent / "e", tasks=["cc"], device="cpu"
        )
    )
    assert encoded == []


def test_features_cover_whole_splits_and_images_the_samples(
    image_dataset: Path, own_cache: Path, encoded: list[int]
) -> None:
    few = samples_of(image_dataset)[:3] + samples_of(image_dataset, "test")[:1]
    visual_inputs = load_visual_inputs(str(image_dataset), few, TINY, CPU)
    assert visual_inputs.images.keys() == {sample.id for sample in few}
    # The next run samples others.
    again = load_visual_inputs(str(image_dataset), samples_of(image_dataset)[:12], TINY, CPU)
    assert sum(encoded) > sum(len(shown) for shown in visual_inputs.images.values())
    assert again.cache.missing([p.key for shown in again.images.values() for p in shown]) == []
    assert len(encoded) == 2  # train and test of one task: nothing is computed for others


def test_features_are_those_of_the_encoder(image_dataset: Path, own_cache: Path) -> None:
    from caslie_model.data.images import decode_image

    visual_inputs = load_visual_inputs(str(image_dataset), samples_of(image_dataset), TINY, CPU)
    encoder = load_vision_encoder("random:tiny-vit", pool=2)
    assert (visual_inputs.encoder, visual_inputs.fingerprint) == ("random:tiny-vit", encoder.fingerprint)
    assert (visual_inputs.patches, visual_inputs.width) == (encoder.patches, encoder.width) == (4, 32)
    for _, shown in list(iterate_images(str(image_dataset), "sequential_recommendation", "train"))[:3]:
        expected = encoder.encode([decode_image(each.content, "") for each in shown])
        found = visual_inputs.features([each.image.key for each in shown])
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=2e-3)  # stored in 16 bits


def test_samples_without_images_have_none(
    image_row: Callable[..., dict[str, Any]], write_rows: Callable[..., Path], own_cache: Path
) -> None:
    rows = [image_row(number, TASKS[0], "train", shows=False) for number in range(2)]
    data = write_rows(own_cache.parent / "blind", rows)
    visual_inputs = load_visual_inputs(str(data), samples_of(data), TINY, CPU)
    assert list(visual_inputs.images.values()) == [(), ()]
    assert visual_inputs.features([]).shape == (0, 4, 32)


class TestTheEncoderOfTheTraining:
    """An adapter answers with the features that it was trained with."""

    def test_another_encoder_fails_before_computing(
        self, image_dataset: Path, own_cache: Path, encoded: list[int]
    ) -> None:
        trained_with = load_vision_encoder("random:tiny-vit", pool=1).fingerprint
        with pytest.raises(ModelError, match=r"another vision encoder than 'random:tiny-vit' with pool=2"):
            load_visual_inputs(str(image_dataset), samples_of(image_dataset), TINY, CPU, trained_with)
        assert encoded == []

    def test_its_precision_goes_before_the_language_models(
        self, image_dataset: Path, own_cache: Path
    ) -> None:
        trained_with = load_vision_encoder("random:tiny-vit", Device("cpu", "bfloat16"), pool=2).fingerprint
        asked = load_visual_inputs(str(image_dataset), samples_of(image_dataset), TINY, CPU)
        visual_inputs = load_visual_inputs(
            str(image_dataset), samples_of(image_dataset), TINY, CPU, trained_with
        )
        assert visual_inputs.fingerprint == trained_with != asked.fingerprint


def test_images_that_were_read_before_are_used_as_they_are(
    image_dataset: Path, own_cache: Path, encoded: list[int]
) -> None:
    by_sample = load_visual_inputs(str(image_dataset), samples_of(image_dataset), TINY, CPU).images
    shown = {"a product": next(images for images in by_sample.values() if images)}
    encoded.clear()
    visual_inputs = load_visual_inputs_of(
        str(image_dataset), [(task, "train") for task in TASKS], shown, TINY, CPU
    )
    assert visual_inputs.images == shown
    assert encoded == []


def test_statistics_are_of_all_patches_of_each_image_once(image_dataset: Path, own_cache: Path) -> None:
    samples = read_samples(str(image_dataset), "category_classification", "train")[:5]
    visual_inputs = load_visual_inputs(str(image_dataset), [*samples, *samples], TINY, CPU)
    keys = sorted({image.key for shown in visual_inputs.images.values() for image in shown})
    patches = visual_inputs.features(keys).flatten(0, 1)
    mean, deviation = visual_inputs.statistics()
    torch.testing.assert_close(mean, patches.mean(dim=0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(deviation, patches.std(dim=0, correction=0), atol=1e-5, rtol=1e-4)


def test_a_training_measures_features_where_asked_for(image_dataset: Path, tmp_path: Path) -> None:
    settings = ("tasks=[cc]", "samples_per_task=4", "connector.feature_norm=standard", "device=cpu")
    run = finetune(finetune_config("tiny", settings, data=str(image_dataset), out=tmp_path, fusion="xattn"))
    weights = load_file(run.folder / "caslie_adapter.safetensors")
    assert bool((weights["resampler.feature_norm.mean"] != 0).all())
    assert bool((weights["resampler.feature_norm.scale"] != 1).all())
