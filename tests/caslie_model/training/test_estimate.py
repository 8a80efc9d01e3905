from __future__ import annotations

import json
import resource
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from pyarrow import parquet

from caslie_model.backbones.language_model import load_base_model, locate
from caslie_model.config.presets import align_config, finetune_config
from caslie_model.config.training import AlignConfig, FinetuneConfig, TrainingConfig
from caslie_model.data.images import MAX_ITEMS
from caslie_model.errors import ModelError, RunError
from caslie_model.prompts.encoder import Encoded
from caslie_model.runtime.device import CPU
from caslie_model.training.align import align
from caslie_model.training.estimate import Estimate, estimate, weights_are_here
from caslie_model.training.estimate_table import estimate_json, estimate_table
from caslie_model.training.finetune import encode_samples, finetune, select_samples, task_prompts
from caslie_model.vision.visual_inputs import load_visual_inputs

# random:tiny: width, inner width, width of keys and values, vocabulary, layers.
D, FF, KV, V, LAYERS = 64, 128, 32, 257, 2
RANK = 4  # of LoRA in the preset
LINEAR = ((D, D), (D, KV), (D, KV), (D, D), (D, FF), (D, FF), (FF, D))
# Fusion in the tiny preset: widths of resampler and adapter, latents, patches and their width, blocks of the resampler.
R, A, K, P, DV, BLOCKS = 64, 64, 8, 4, 32, 2


def config(data: Path, out: Path, *overrides: str, **fields: Any) -> FinetuneConfig:
    tasks = "tasks=[sa, ap]" if fields.get("fusion", "text") == "text" else "tasks=[prp]"
    return finetune_config(
        "tiny", [tasks, "samples_per_task=8", "device=cpu", *overrides], data=str(data), out=out, **fields
    )


def one_batch(asked: FinetuneConfig) -> list[Encoded]:
    """Return the samples of a run of one step, in tokens."""
    base = load_base_model(asked.base_model)
    samples = select_samples(asked)
    visual_inputs = None
    if asked.fusion != "text":
        assert asked.vision is not None
        visual_inputs = load_visual_inputs(asked.data, samples, asked.vision, CPU)
    return encode_samples(asked, task_prompts(asked, base.tokenizer, visual_inputs), samples, visual_inputs)


def linear(rows: int, width_in: int, width_out: int, passes: int) -> int:
    """passes: 1 forward, 1 for the gradient of the input, 1 for that of the weight."""
    return 2 * rows * width_in * width_out * passes


def attention(batch: int, queries: int, keys: int, width: int, trained: bool = True) -> int:
    """Two products forward, four backward, of whole squares."""
    return 4 * batch * queries * keys * width * (3 if trained else 1)


def test_parameters_and_flops_of_text_lora_equal_the_formula(dataset: Path, tmp_path: Path) -> None:
    asked = config(dataset, tmp_path / "out", "samples_per_task=2", "batch_size=4")
    found = estimate(asked)
    batch = one_batch(asked)
    b, t = len(batch), max(len(each.prompt) + len(each.target) for each in batch)
    assert found.trained == {"lora": LAYERS * sum(RANK * (i + o) for i, o in LINEAR)}
    norms = (2 * LAYERS + 1) * D
    base = V * D * 2 + LAYERS * sum(i * o for i, o in LINEAR) + norms
    assert found.parameters == base + found.trained_parameters

    labelled = max(len(each.target) for each in batch) + 1
    flops = linear(b * labelled, D, V, 2)
    for layer in range(LAYERS):
        flops += attention(b, t, t, D)
        for number, (i, o) in enumerate(LINEAR):
            # The embeddings have no gradient, so neither has what the first layer's q, k and v take in.
            entry = int(layer > 0 or number > 2)
            flops += linear(b * t, i, o, 1 + entry)
            flops += linear(b * t, i, RANK, 2 + entry) + linear(b * t, RANK, o, 3)
    assert found.flops == found.flops_of_largest_batch == flops


def test_parameters_and_flops_of_xattn_equal_the_formula(image_dataset: Path, tmp_path: Path) -> None:
    asked = config(
        image_dataset,
        tmp_path / "out",
        "samples_per_task=4",
        "batch_size=4",
        "connector.first_adapter_layer=1",
        fusion="xattn",
    )
    found = estimate(asked)
    batch = one_batch(asked)
    b, t = len(batch), max(len(each.prompt) + len(each.target) for each in batch)
    shown = [image for each in batch for image in each.images]
    n, most = len(shown), max(len(each.images) for each in batch)
    g = max(len(image.guide) for image in shown)
    assert found.images == n > 0
    assert found.trained["gates"] == 1 + BLOCKS  # one adapter, and the guide of each block
    # A norm has weight and bias. An attention has q, k, v and o; the feed-forward part is four times as wide.
    assert found.trained["adapters"] == 2 * D + D * A + R * 2 * A + A * D
    block = 2 * 4 * R * R + 4 * 2 * R + (2 * R * 4 * R + 5 * R)
    assert found.trained["resampler"] == (
        (K + P) * R
        + 2 * DV
        + 2 * (DV * R + R)
        + 2 * D
        + D * R
        + R
        + BLOCKS * block
        + 2 * R
        + (MAX_ITEMS + 1 + 4) * R
    )

    labelled = max(len(each.target) for each in batch) + 1
    flops = linear(b * labelled, D, V, 2)
    # The layer below the adapter has no gradients; in the one above, weights are frozen.
    for passes in (1, 2):
        flops += attention(b, t, t, D, trained=passes == 2)
        flops += sum(linear(b * t, i, o, passes) for i, o in LINEAR)
    # The adapter: keys and values of n images are in b rows. All trained weights follow a trained norm.
    flops += linear(b * t, D, A, 3) + linear(n * K, R, 2 * A, 3) + linear(b * t, A, D, 3)
    flops += attention(b, t, most * K, A)
    # The resampler: features and their mean, the guide, and two attentions and a feed-forward part in each block.
    flops += linear(n * P, DV, R, 3) + linear(n, DV, R, 3) + linear(n * g, D, R, 3)
    for _ in range(BLOCKS):
        for context in (g, P + K):
            flops += 2 * linear(n * K, R, R, 3) + linear(n * context, R, 2 * R, 3)
            flops += attention(n, K, context, R)
        flops += 2 * linear(n * K, R, 4 * R, 3)
    assert found.flops == found.flops_of_largest_batch == flops


@pytest.mark.parametrize(
    ("fusion", "overrides"),
    [
        ("text", ("gradient_checkpointing=true",)),
        ("xattn", ("packing=true", "with_lora=true")),
        ("concat", ("connector.feature_norm=standard",)),
        ("concat-full", ("gradient_accumulation=2", "batch_size=2")),
    ],
)
def test_estimate_equals_the_summary_of_the_run(
    fusion: str, overrides: tuple[str, ...], dataset: Path, image_dataset: Path, tmp_path: Path
) -> None:
    asked = config(
        dataset if fusion == "text" else image_dataset, tmp_path / "out", *overrides, fusion=fusion
    )
    found = estimate(asked)
    assert not asked.out.exists()
    assert found.unknown == {}
    finetune(asked)
    done = json.loads((asked.out / "training.json").read_text())
    assert (found.samples, found.steps, found.tokens) == (done["samples"], done["steps"], done["tokens"])
    assert found.ended_by == done["ended_by"]
    assert found.trained_parameters == done["trained_parameters"]
    assert "predicted" not in done
    assert done["measured"].keys() == {"memory", "seconds", "steps"}


def test_real_steps_give_memory_and_time(dataset: Path, tmp_path: Path) -> None:
    found = estimate(config(dataset, tmp_path / "out", "epochs=3"))
    memory, seconds, step = found.memory, found.seconds, found.seconds_per_step
    assert memory is not None
    assert memory > 100e6
    assert seconds is not None
    assert step is not None
    assert found.steps is not None
    # Steps are no larger than the measured one.
    assert step < seconds <= step * found.steps
    table = estimate_table(found)
    assert "peak of the process" in table
    assert "unknown" not in table


def without_weights(folder: Path, **changes: Any) -> Path:
    """Write the tiny model's configuration, changed, and its tokenizer, without weights."""
    shutil.copytree(locate("random:tiny"), folder, ignore=shutil.ignore_patterns("*.safetensors"))
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, **changes}))
    return folder


def test_missing_weights_leave_memory_and_time_unknown(dataset: Path, tmp_path: Path) -> None:
    base = without_weights(tmp_path / "base")
    whole = estimate(config(dataset, tmp_path / "out"))
    found = estimate(config(dataset, tmp_path / "out", base_model=str(base)))
    assert (found.memory, found.seconds, found.seconds_per_step) == (None, None, None)
    assert found.unknown == dict.fromkeys(
        ("memory", "time"), f"the weights of {base} are not on this machine"
    )
    for name in ("parameters", "trained", "samples", "steps", "tokens", "flops"):
        assert getattr(found, name) == getattr(whole, name)


def test_weights_of_the_hub_count_once_every_file_is_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--user--name"
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    assert not weights_are_here("user/name")
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    (snapshot / "one.safetensors").touch()
    assert not weights_are_here("user/name")
    (snapshot / "two.safetensors").touch()
    assert weights_are_here("user/name")


@pytest.mark.parametrize("fusion", ["text", "xattn"])
def test_13_billion_parameters_are_planned_without_memory(
    fusion: str, dataset: Path, image_dataset: Path, tmp_path: Path
) -> None:
    base = without_weights(
        tmp_path / "base",
        vocab_size=32000,
        hidden_size=5120,
        intermediate_size=13824,
        num_hidden_layers=40,
        num_attention_heads=40,
        num_key_value_heads=40,
        head_dim=128,
    )
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    asked = config(
        dataset if fusion == "text" else image_dataset, tmp_path / "out", fusion=fusion, base_model=str(base)
    )
    found = estimate(asked)
    assert 13.0e9 < found.parameters - found.trained_parameters < 13.1e9
    # Of each token at least a forward pass through the layers; tokens are counted without padding.
    assert found.flops is not None
    assert found.tokens is not None
    assert found.flops > 2 * 12.6e9 * found.tokens
    assert time.monotonic() - start < 120
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000
    )  # kB; weights would be 50 GB


@pytest.mark.parametrize("fusion", ["text", "concat"])
def test_missing_data_leaves_parameters(fusion: str, image_dataset: Path, tmp_path: Path) -> None:
    found = estimate(config(tmp_path / "nowhere", tmp_path / "out", fusion=fusion))
    whole = estimate(config(image_dataset, tmp_path / "out", "tasks=[prp]", fusion=fusion))
    assert (found.parameters, found.trained) == (whole.parameters, whole.trained)
    assert (found.samples, found.flops, found.memory) == (None, None, None)
    assert list(found.unknown) == ["samples", "steps", "tokens", "FLOPs", "memory", "time"]
    assert "no dataset" in found.unknown["steps"]
    assert "no dataset" in estimate_table(found)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_missing_gpu_leaves_memory_and_time_unknown(dataset: Path, tmp_path: Path) -> None:
    found = estimate(config(dataset, tmp_path / "out", "device=cuda"))
    assert (found.device, found.precision) == ("cuda", "bfloat16")
    assert "torch finds no GPU" in found.unknown["time"]
    assert found.flops is not None


def test_missing_base_model_is_an_error_as_of_the_run(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no base model 'nowhere'"):
        estimate(config(dataset, tmp_path / "out", base_model="nowhere"))


def test_vision_encoder_without_weights_has_a_shape(image_dataset: Path, tmp_path: Path) -> None:
    from caslie_model.vision.encoder import load_vision_encoder

    load_vision_encoder("random:tiny-vit")
    whole = Path(locate("random:tiny")).parent / "random-tiny-vit-1"
    shutil.copytree(whole, tmp_path / "vit", ignore=shutil.ignore_patterns("*.safetensors"))
    encoder = {"encoder": str(tmp_path / "vit"), "pool": 2}
    found = estimate(config(image_dataset, tmp_path / "out", fusion="xattn", vision=encoder))
    assert found.trained == estimate(config(image_dataset, tmp_path / "out", fusion="xattn")).trained


def test_model_that_needs_values_leaves_flops_unknown(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.llama.modeling_llama import LlamaMLP

    forward = LlamaMLP.forward

    def choose(self: Any, states: torch.Tensor) -> torch.Tensor:
        return forward(self, states) if states.sum() else states

    monkeypatch.setattr(LlamaMLP, "forward", choose)
    found = estimate(config(dataset, tmp_path / "out"))
    assert found.flops is None
    assert "shapes alone" in found.unknown["FLOPs"]
    assert found.seconds is not None


def test_several_processes_are_an_error(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RunError, match="one process"):
        estimate(config(dataset, tmp_path / "out"))


def alignment(data: Path, folder: Path) -> AlignConfig:
    """Return a config whose catalogue has the colour of every product, which is in its id."""
    products = {
        product.partition(":")[2]
        for shard in data.glob("*/train-*.parquet")
        for row in parquet.read_table(shard)["image_product_ids"].to_pylist()
        for product in row or ()
        if product
    }
    lines = [f"{product},{product.rpartition('-')[2]}" for product in sorted(products)]
    (folder / "products.csv").write_text("\n".join(["id,colour", *lines]) + "\n")
    return align_config(
        "tiny",
        ["device=cpu", "held_out=0", "images=8", "tasks=[cc]"],
        data=str(data),
        catalogue=folder / "products.csv",
        attributes=("colour",),
        out=folder / "out",
    )


def agrees(asked: TrainingConfig, found: Estimate, summary: dict[str, Any]) -> None:
    assert found.unknown == {}
    names = ("samples", "steps", "tokens", "trained_parameters")
    assert [getattr(found, name) for name in names] == [summary[name] for name in names]


def test_estimate_of_an_alignment_equals_the_run(image_dataset: Path, tmp_path: Path) -> None:
    asked = alignment(image_dataset, tmp_path)
    found = estimate(asked)
    assert found.samples == 8
    agrees(asked, found, align(asked).summary)


def test_estimate_takes_the_shapes_of_init_from(image_dataset: Path, tmp_path: Path) -> None:
    first = finetune(config(image_dataset, tmp_path / "first", "connector.latents=4", fusion="xattn"))
    asked = config(image_dataset, tmp_path / "out", f"init_from={first.folder}", fusion="xattn")
    found = estimate(asked)
    agrees(asked, found, finetune(asked).summary)
    assert found.trained_parameters == first.summary["trained_parameters"]


def test_json_holds_every_figure(dataset: Path, tmp_path: Path) -> None:
    found = estimate(config(dataset, tmp_path / "out", "device=cuda"))
    content = json.loads(estimate_json(found))
    assert content["trained_parameters"] == found.trained_parameters == 8192
    assert content["flops"] == found.flops
    assert content["unknown"] == found.unknown
