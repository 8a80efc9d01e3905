"""Fine-tuning and evaluation of image-text models: written files, errors, invariants."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

import caslie_model.training.run
from caslie_model.adapters.loading import LoadedModel, load_for_evaluation
from caslie_model.backbones.language_model import load_base_model
from caslie_model.batching.labels_and_padding import prompt_batch
from caslie_model.config.presets import evaluate_config, finetune_config
from caslie_model.config.training import FinetuneConfig
from caslie_model.data.images import Features
from caslie_model.data.samples import read_samples
from caslie_model.errors import ModelError, RunError
from caslie_model.evaluation.evaluate import evaluate
from caslie_model.inference.predict import TIE_TOLERANCE, answer_scores, predict_batch
from caslie_model.prompts.encoder import Encoded
from caslie_model.runtime.device import CPU
from caslie_model.training.finetune import finetune
from caslie_model.training.run_folder import CHECKPOINTS
from caslie_model.vision.visual_inputs import load_visual_inputs
from mmecinstruct.core.errors import DatasetError

TASKS = ("category_classification", "product_relation_prediction", "sequential_recommendation")
SHORT = (
    "tasks=[cc, prp, sr]",
    "samples_per_task=4",
    "batch_size=4",
    "log_every=1",
    "device=cpu",
    # Open gates: after three steps from shut ones, images would have hardly any effect.
    "connector.gate_init=1",
)
ROUTES = [
    ("xattn", False),
    ("xattn", True),
    ("concat", False),
    pytest.param("concat", True, marks=pytest.mark.slow),
    ("concat-full", False),
    pytest.param("concat-full", True, marks=pytest.mark.slow),
]
Row = Callable[..., dict[str, Any]]
Write = Callable[[Path, list[dict[str, Any]]], Path]


def config(data: Path, out: Path, fusion: str, *overrides: str, lora: bool = False) -> FinetuneConfig:
    return finetune_config(
        "tiny", [*SHORT, *overrides], data=str(data), out=out, fusion=fusion, with_lora=lora
    )


@dataclass(frozen=True)
class Trained:
    """An adapter folder, and the model as it was when its training ended."""

    folder: Path
    model: Any


Train = Callable[..., Trained]


@pytest.fixture(scope="module")
def train(image_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Train]:
    """Return the adapter of a route, trained when it is first asked for."""
    done: dict[tuple[str, bool], Trained] = {}
    built: list[Any] = []
    patch = pytest.MonkeyPatch()
    build = caslie_model.training.run.trainable_model

    def keep_model(*arguments: Any) -> Any:
        built.append(build(*arguments))
        return built[-1]

    def trained(fusion: str, lora: bool = False) -> Trained:
        if (fusion, lora) not in done:
            with patch.context() as inside:
                inside.setattr(caslie_model.training.run, "trainable_model", keep_model)
                out = tmp_path_factory.mktemp("route") / "adapter"
                folder = finetune(config(image_dataset, out, fusion, lora=lora)).folder
            done[fusion, lora] = Trained(folder, built[-1])
        return done[fusion, lora]

    yield trained
    patch.undo()


@dataclass(frozen=True)
class Answering:
    """A loaded adapter, and samples with their images."""

    loaded: LoadedModel
    encoded: list[Encoded]
    features: Features


def answering(folder: Path, data: Path) -> Answering:
    loaded = load_for_evaluation(
        evaluate_config(model=str(folder), data=str(data), out="unused", device="cpu")
    )
    assert loaded.vision is not None
    samples = [sample for task in TASKS for sample in read_samples(str(data), task, "test")]
    visual_inputs = load_visual_inputs(str(data), samples, loaded.vision, CPU)
    encoded = loaded.prompt_format.encode_all(samples, visual_inputs.images)
    # Lengths and numbers of images mixed: neighbours in a batch are nothing alike.
    return Answering(loaded, sorted(encoded, key=lambda each: each.fingerprint), visual_inputs.features)


def evaluated(folder: Path, data: Path, out: Path, **fields: Any) -> dict[str, Any]:
    settings = {"model": str(folder), "tasks": ["cc"], "splits": ("test",), "device": "cpu", **fields}
    return evaluate(evaluate_config(data=str(data), out=out, **settings)).metrics


@pytest.mark.parametrize(("fusion", "lora"), ROUTES)
def test_an_adapter_folder_holds_exactly_the_trained_weights(train: Train, fusion: str, lora: bool) -> None:
    route = train(fusion, lora)
    assert {path.name for path in route.folder.iterdir()} == {
        ".made-by.json",
        "README.md",
        "caslie_config.json",
        "caslie_adapter.safetensors",
        "config.yaml",
        "loss_curve.png",
        "prompts",
        "training.json",
    }
    weights = load_file(route.folder / "caslie_adapter.safetensors")
    learnt = {name: weight for name, weight in route.model.named_parameters() if weight.requires_grad}
    assert weights.keys() == learnt.keys()
    assert all(torch.equal(weights[name], learnt[name]) for name in weights)
    assert any("lora_" in name for name in weights) == lora
    summary = json.loads((route.folder / "training.json").read_text())
    assert summary["trained_parameters"] == sum(weight.numel() for weight in weights.values())
    assert yaml.safe_load((route.folder / "config.yaml").read_text())["fusion"] == fusion


@pytest.mark.parametrize(("fusion", "lora"), ROUTES)
def test_training_leaves_the_base_model_bit_for_bit(train: Train, fusion: str, lora: bool) -> None:
    base = dict(load_base_model("random:tiny").model.named_parameters())
    shown = 0
    for name, weight in train(fusion, lora).model.language_model.named_parameters():
        if "lora_" not in name:
            assert torch.equal(weight, base[name.replace(".base_layer", "")])
            shown += 1
    assert shown == len(base)


@pytest.mark.parametrize(("fusion", "lora"), ROUTES)
def test_an_adapter_on_a_fresh_base_gives_the_trained_model(
    train: Train, image_dataset: Path, fusion: str, lora: bool
) -> None:
    route = train(fusion, lora)
    there = answering(route.folder, image_dataset)
    batch = prompt_batch(there.encoded[:6], 0, CPU, there.features)
    blind = {**batch, "image_features": torch.zeros_like(batch["image_features"])}
    with torch.inference_mode():
        expected = route.model.eval()(**batch).logits
        logits = there.loaded.model(**batch).logits
        if lora:  # merging rounds
            torch.testing.assert_close(logits, expected, atol=1e-3, rtol=1e-4)
        else:
            assert torch.equal(logits, expected)
        assert not torch.allclose(there.loaded.model(**blind).logits, expected, atol=1e-2)


@pytest.mark.slow
def test_resumed_training_equals_uninterrupted_training_bit_for_bit(
    image_dataset: Path, tmp_path: Path, train_until_killed: Callable[[FinetuneConfig], None]
) -> None:
    """With LoRA, whose dropout needs random numbers: their state continues, too."""
    settings = ("samples_per_task=8", "checkpoint_every=2", "connector.gate_init=0")
    whole = finetune(config(image_dataset, tmp_path / "whole", "xattn", *settings, lora=True))
    begun = config(image_dataset, tmp_path / "killed", "xattn", *settings, lora=True)
    train_until_killed(begun)
    checkpoint = load_file(begun.out / CHECKPOINTS / "checkpoint-4" / "model.safetensors")
    assert all(not name.startswith("language_model.") or "lora_" in name for name in checkpoint)
    result = finetune(begun, resume=True)
    assert (result.summary["resumed_at_step"], result.summary["steps"]) == (4, 6)
    assert result.summary["log"] == whole.summary["log"]  # losses, rates and gates
    weights, again = (load_file(p.folder / "caslie_adapter.safetensors") for p in (whole, result))
    assert weights.keys() == again.keys()
    assert all(torch.equal(weights[name], again[name]) for name in weights)


@pytest.mark.parametrize("fusion", ["xattn", "concat"])
def test_the_batch_size_changes_no_prediction(train: Train, image_dataset: Path, fusion: str) -> None:
    there = answering(train(fusion).folder, image_dataset)
    assert {len(each.images) for each in there.encoded} >= {0, 1, 2, 5}
    tolerance = TIE_TOLERANCE["float32"] / 10

    for scoring in ("generate", "likelihood"):

        def answers(size: int, scoring: str = scoring) -> list[tuple[str | None, str | None]]:
            return [
                (prediction.label, prediction.text)
                for start in range(0, len(there.encoded), size)
                for prediction in predict_batch(
                    there.loaded, there.encoded[start : start + size], scoring, features=there.features
                )
            ]

        alone = answers(1)
        assert len(set(alone)) > 2
        assert answers(4) == alone
    for start in range(0, len(there.encoded), 4):
        batch = there.encoded[start : start + 4]
        for scores, sample in zip(
            answer_scores(there.loaded, batch, features=there.features), batch, strict=True
        ):
            [own] = answer_scores(there.loaded, [sample], features=there.features)
            assert scores == pytest.approx(own, abs=tolerance)


@pytest.mark.parametrize("fusion", ["xattn", "concat"])
def test_an_answer_depends_on_its_own_images_alone(train: Train, image_dataset: Path, fusion: str) -> None:
    there = answering(train(fusion).folder, image_dataset)
    [shown, *_] = [each for each in there.encoded if len(each.images) == 1]
    [other, *_] = [each for each in there.encoded if len(each.images) > 1]
    [blind, *_] = [each for each in there.encoded if not each.images]
    swapped = replace(shown, images=(replace(shown.images[0], key=other.images[0].key),))
    before = answer_scores(there.loaded, [shown, other, blind], features=there.features)
    after = answer_scores(there.loaded, [swapped, other, blind], features=there.features)
    assert after[1:] == before[1:]
    assert after[0] != pytest.approx(before[0], abs=TIE_TOLERANCE["float32"])


def test_predictions_go_on_where_they_were(train: Train, image_dataset: Path, tmp_path: Path) -> None:
    folder, whole, broken = train("xattn").folder, tmp_path / "whole", tmp_path / "broken"
    evaluated(folder, image_dataset, whole, scoring="likelihood")
    evaluated(folder, image_dataset, broken, scoring="likelihood")
    lines = (broken / "predictions.jsonl").read_bytes().splitlines(keepends=True)
    (broken / "predictions.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:20])
    metrics = evaluated(folder, image_dataset, broken, scoring="likelihood", batch_size=2)
    assert (broken / "predictions.jsonl").read_bytes() == (whole / "predictions.jsonl").read_bytes()
    assert metrics["provenance"]["fusion"] == "xattn"
    assert metrics["provenance"]["vision"]


def test_a_changed_image_is_another_question(
    train: Train, image_row: Row, write_rows: Write, render: Callable[[str, int], bytes], tmp_path: Path
) -> None:
    folder, data, task = train("xattn").folder, tmp_path / "data", "category_classification"
    row = image_row(0, task, "test")
    write_rows(data, [row])
    evaluated(folder, data, tmp_path / "out")
    write_rows(data, [{**row, "images": [{"bytes": render("blue", 77), "path": "a.jpg"}]}])
    with pytest.raises(RunError, match=f"another prompt for sample {row['id']}: the dataset changed"):
        evaluated(folder, data, tmp_path / "out")
    evaluated(folder, data, tmp_path / "text", model="tiny", base_only=True)
    write_rows(data, [row])
    # A model without images does not read the images.
    evaluated(folder, data, tmp_path / "text", model="tiny", base_only=True)
    evaluated(folder, data, tmp_path / "out")


def test_another_encoder_than_in_training_is_an_error(
    train: Train, image_dataset: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(train("xattn").folder, tmp_path / "adapter")
    content = yaml.safe_load((folder / "config.yaml").read_text())
    content["vision"]["pool"] = 1
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ModelError, match=r"'random:tiny-vit'.*pool=1"):
        evaluated(folder, image_dataset, tmp_path / "out")


def test_a_damaged_image_is_named_with_its_sample_and_role(
    image_row: Row, write_rows: Write, tmp_path: Path
) -> None:
    row = image_row(0, "product_relation_prediction", "train")
    images = [row["images"][0], {"bytes": row["images"][1]["bytes"][:200], "path": "b.jpg"}]
    data = write_rows(tmp_path / "data", [{**row, "images": images}])
    with pytest.raises(DatasetError, match=f"sample {row['id']}: image 'product 2' cannot be read"):
        finetune(config(data, tmp_path / "out", "xattn", "tasks=[prp]"))
    finetune(config(data, tmp_path / "text", "text", "tasks=[prp]"))  # text reads no image


def test_a_dataset_without_the_column_of_images_is_named(
    image_row: Row, write_rows: Write, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    data = write_rows(tmp_path / "data", [image_row(0, "category_classification", "train")])
    [file] = data.glob("*/train-*.parquet")
    pq.write_table(pq.read_table(file).drop_columns(["images"]), file)
    with pytest.raises(DatasetError, match="has no column images; build the dataset again"):
        finetune(config(data, tmp_path / "out", "xattn", "tasks=[cc]"))


def test_a_dataset_without_images_is_an_error_for_fusion(
    image_row: Row, write_rows: Write, train: Train, tmp_path: Path
) -> None:
    task = "category_classification"
    rows = [image_row(n, task, split, shows=False) for split in ("train", "test") for n in range(4)]
    data = write_rows(tmp_path / "data", rows)
    with pytest.raises(DatasetError, match=r"none of the 4 samples has an image.*fusion=text"):
        finetune(config(data, tmp_path / "out", "xattn", "tasks=[cc]"))
    # What was trained may well be asked blind: that is an experiment.
    metrics = evaluated(train("xattn").folder, data, tmp_path / "blind")
    assert metrics["results"][0]["samples"] == 4


def test_samples_without_images_are_learnt_from_beside_others(train: Train, image_dataset: Path) -> None:
    summary = json.loads((train("xattn").folder / "training.json").read_text())
    assert summary["samples"] == 12
    assert any(not each.images for each in answering(train("xattn").folder, image_dataset).encoded)


def test_visual_tokens_that_do_not_fit_name_sample_and_remedy(image_dataset: Path, tmp_path: Path) -> None:
    # Of images with 60 tokens each, the longest history has more than fit beside its text.
    with pytest.raises(
        DatasetError, match=r"sample sequential_\S+ .*its images \d+ \(fewer .*raise max_length"
    ):
        finetune(
            config(
                image_dataset,
                tmp_path / "o",
                "concat",
                "tasks=[sr]",
                "connector.latents=60",
                "max_length=450",
            )
        )


def test_a_folder_trained_in_16_bits_is_evaluated_in_32(image_dataset: Path, tmp_path: Path) -> None:
    folder = finetune(
        config(image_dataset, tmp_path / "o", "xattn", "precision=bfloat16", "tasks=[cc]")
    ).folder
    metrics = evaluated(folder, image_dataset, tmp_path / "e", limit=2)
    assert metrics["provenance"]["precision"] == "float32"


# Images of one colour each, which no text names: three options, chance is a third.
COLOURS_TASK = "category_classification"
TO_LEARN = (
    "tasks=[cc]",
    "batch_size=16",
    "epochs=5",
    "lr_connector=3e-3",
    "lr_gates=0.05",
    "connector.gate_init=0",
    "max_train_tokens=10_000_000",
    "device=cpu",
)


@pytest.fixture(scope="module")
def colours(image_row: Row, write_rows: Write, tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = {"train": 240, "test": 60}
    rows = [image_row(n, COLOURS_TASK, split) for split, size in sizes.items() for n in range(size)]
    return write_rows(tmp_path_factory.mktemp("colours"), rows)


def learnt_accuracy(folder: Path, data: Path, out: Path) -> float:
    found: float = evaluated(folder, data, out, scoring="likelihood")["results"][0]["accuracy"]
    return found


@pytest.mark.slow
def test_xattn_learns_from_images_alone(
    colours: Path, image_row: Row, write_rows: Write, tmp_path: Path
) -> None:
    result = finetune(
        finetune_config("tiny", TO_LEARN, data=str(colours), out=tmp_path / "o", fusion="xattn")
    )
    gates = [
        abs(gate)
        for entry in result.summary["log"]
        for name, gate in entry.items()
        if name.startswith("gate_")
    ]
    assert gates[0] < 0.3 < gates[-1]  # shut at the start
    assert learnt_accuracy(result.folder, colours, tmp_path / "e") >= 0.9
    # Each sample with another one's image: the answers follow that image.
    rows = [image_row(n, COLOURS_TASK, "test") for n in range(60)]
    others = [*rows[1:], rows[0]]
    mixed = [{**row, "images": other["images"]} for row, other in zip(rows, others, strict=True)]
    shuffled = write_rows(tmp_path / "shuffled", mixed)
    assert learnt_accuracy(result.folder, shuffled, tmp_path / "s") < 0.55


@pytest.mark.slow
def test_text_does_not_learn_facts_of_images(colours: Path, tmp_path: Path) -> None:
    settings = finetune_config("tiny", TO_LEARN, data=str(colours), out=tmp_path / "o", fusion="text")
    assert learnt_accuracy(finetune(settings).folder, colours, tmp_path / "e") < 0.55
