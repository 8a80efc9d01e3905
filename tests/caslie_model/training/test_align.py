"""The alignment stage: questions, held-out products, content of the folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

import caslie_model.training.align
from caslie_model.adapters.loading import load_for_evaluation
from caslie_model.config.presets import align_config, evaluate_config
from caslie_model.config.training import AlignConfig
from caslie_model.data.catalogue import read_catalogue
from caslie_model.errors import ConfigError, ModelError, RunError
from caslie_model.training.align import (
    align,
    alignment_samples,
    correct_attributes,
    product_images,
)
from mmecinstruct.core.errors import DatasetError

CC = "category_classification"
Row = Callable[..., dict[str, Any]]
Write = Callable[[Path, list[dict[str, Any]]], Path]


def products_of(data: Path) -> list[str]:
    """Return the ids of all products that a rendered dataset shows; they end with the product's colour."""
    files = data.glob("*/*.parquet")
    rows = [row for file in files for row in pq.read_table(file, columns=["image_product_ids"]).to_pylist()]
    return sorted({product for row in rows for product in row["image_product_ids"]})


@pytest.fixture(scope="module")
def catalogue(image_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of the rendered products, whose ids lack the dataset's prefix."""
    path = tmp_path_factory.mktemp("catalogue") / "products.csv"
    lines = [
        f"{product.removeprefix('shop:')},{product.rpartition('-')[2]},thing {number % 2}"
        for number, product in enumerate(products_of(image_dataset))
    ]
    path.write_text("\n".join(["sku,colour,kind_of_thing", *lines, ""]), encoding="utf-8")
    return path


def config(data: Path, catalogue: Path, out: Path, *overrides: str, **fields: Any) -> AlignConfig:
    settings = {"id_column": "sku", "attributes": ("colour", "kind_of_thing"), **fields}
    return align_config(
        "tiny",
        ["device=cpu", "log_every=1", *overrides],
        data=str(data),
        catalogue=catalogue,
        out=out,
        **settings,
    )


@pytest.fixture(scope="module")
def aligned(image_dataset: Path, catalogue: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("aligned") / "adapter"
    return align(config(image_dataset, catalogue, out, "images=12", "held_out=0.2")).folder


class TestSettings:
    def test_without_attributes_there_is_nothing_to_learn(self, image_dataset: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="attributes"):
            config(image_dataset, tmp_path / "c.csv", tmp_path / "o", attributes=())


class TestTheQuestions:
    def test_an_image_is_described_by_all_known_attributes(
        self, image_dataset: Path, catalogue: Path, tmp_path: Path
    ) -> None:
        settings = config(image_dataset, catalogue, tmp_path, "held_out=0")
        values = read_catalogue(catalogue, "sku", ("colour", "kind_of_thing"))
        shown = product_images(settings)
        first = next(iter(shown)).removeprefix("shop:")
        del values[first]["kind_of_thing"]
        learnt, held_out = alignment_samples(settings, values, shown)
        assert held_out == []
        assert len({sample.id for sample, _ in learnt}) == len(learnt) > 10
        for sample, (image,) in learnt:
            product, key = sample.id.split("/")
            said = values[product]
            assert sample.output == "; ".join(said.values())
            assert sample.labels == (sample.output,)
            asked = "colour" if product == first else "colour; kind of thing"
            assert sample.instruction == f"Describe the product in the picture: {asked}."
            assert image.key.startswith(key)
            assert image.role == "product"
        assert any(sample.id.startswith(f"{first}/") for sample, _ in learnt)

    def test_ids_may_carry_the_source_or_not(
        self, image_dataset: Path, catalogue: Path, tmp_path: Path
    ) -> None:
        settings = config(image_dataset, catalogue, tmp_path)
        without = read_catalogue(catalogue, "sku", ("colour",))
        shown = product_images(settings)
        prefixed = {f"shop:{name}": said for name, said in without.items()}
        counts = [sum(map(len, alignment_samples(settings, values, shown))) for values in (without, prefixed)]
        assert counts[0] == counts[1] > 0

    def test_reviewers_images_and_other_splits_are_not_used(
        self, image_dataset: Path, catalogue: Path, tmp_path: Path
    ) -> None:
        shown = product_images(config(image_dataset, catalogue, tmp_path))
        assert any(name.startswith("shop:sentiment_analysis-") for name in products_of(image_dataset))
        assert shown
        assert all("-train-" in product for product in shown)
        assert not any("sentiment_analysis" in product for product in shown)

    def test_tasks_with_images_can_be_chosen(
        self, image_dataset: Path, catalogue: Path, tmp_path: Path
    ) -> None:
        shown = product_images(config(image_dataset, catalogue, tmp_path, "tasks=[cc]"))
        assert {product.split("-")[0] for product in shown} == {f"shop:{CC}"}

    def test_held_out_products_are_not_learnt_from(
        self, image_row: Row, write_rows: Write, tmp_path: Path
    ) -> None:
        """Two sources tell of the same product, and a variant shares an image: neither may leak."""
        rows = []
        for number in range(40):
            row = image_row(number, CC, "train")
            [product] = row["image_product_ids"]
            twin = {"id": f"twin-{number}", "image_product_ids": [product.replace("shop:", "other:")]}
            variant = {"id": f"variant-{number}", "image_product_ids": [f"shop:variant-{number}"]}
            rows += [row, {**row, **twin}, {**row, **variant}]
        data = write_rows(tmp_path / "data", rows)
        settings = config(data, tmp_path / "c.csv", tmp_path, "held_out=0.3", "scored_images=1000")
        values = {product.partition(":")[2]: {"colour": "red"} for product in products_of(data)}
        learnt, held_out = alignment_samples(settings, values, product_images(settings))
        assert 10 < len(held_out) < 40
        for key in (lambda question: question[0].id.split("/")[0], lambda question: question[1][0].key):
            assert not set(map(key, learnt)) & set(map(key, held_out))
        # A product of two sources is asked once.
        assert len({sample.id for sample, _ in learnt}) == len(learnt)

    def test_images_are_limited_by_hash(self, image_dataset: Path, catalogue: Path, tmp_path: Path) -> None:
        values = read_catalogue(catalogue, "sku", ("colour",))
        chosen = []
        for limit in (5, 9):
            settings = config(
                image_dataset, catalogue, tmp_path, f"images={limit}", "scored_images=2", "held_out=0.3"
            )
            learnt, held_out = alignment_samples(settings, values, product_images(settings))
            chosen.append({image.key for _, (image,) in learnt})
            assert len({image.key for _, (image,) in held_out}) == 2
        assert (len(chosen[0]), len(chosen[1])) == (5, 9)
        assert chosen[0] < chosen[1]

    def test_an_attribute_with_one_value_is_named(
        self, image_dataset: Path, catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        settings = config(image_dataset, catalogue, tmp_path, attributes=("colour",))
        shown = product_images(settings)
        alignment_samples(settings, {product: {"colour": "red"} for product in shown}, shown)
        assert "colour: 1 different values among the products with an image" in capsys.readouterr().err

    def test_a_catalogue_of_other_products_is_an_error(
        self, image_dataset: Path, catalogue: Path, tmp_path: Path
    ) -> None:
        settings = config(image_dataset, catalogue, tmp_path)
        with pytest.raises(
            DatasetError, match=r"such as shop:.*is in .*products.csv; is id_column=sku the right"
        ):
            alignment_samples(settings, {"B7": {"colour": "red"}}, product_images(settings))

    def test_a_dataset_without_images_is_an_error(
        self, image_row: Row, write_rows: Write, catalogue: Path, tmp_path: Path
    ) -> None:
        data = write_rows(tmp_path / "data", [image_row(0, CC, "train", shows=False)])
        with pytest.raises(DatasetError, match="shows no image of a product in its train split"):
            align(config(data, catalogue, tmp_path / "out"))


@pytest.mark.parametrize(
    ("text", "colour", "kind"),
    [
        ("red; mug", True, True),
        (" red ;  mug; with a handle", True, True),
        ("mug; red", False, False),
        ("red", True, False),
        ("a red; mug", False, True),
        ("", False, False),
    ],
)
def test_an_attribute_is_correct_with_its_words_at_its_position(text: str, colour: bool, kind: bool) -> None:
    assert correct_attributes({"colour": "red", "kind": "mug"}, text) == {"colour": colour, "kind": kind}


class TestTheFolder:
    def test_the_summary_has_scores_of_attributes(self, aligned: Path) -> None:
        summary = json.loads((aligned / "training.json").read_text())
        assert summary["attributes"].keys() == {"colour", "kind_of_thing"}
        for score in summary["attributes"].values():
            assert 0 <= score["right"] <= score["scored"] > 0
            assert score["accuracy"] == score["right"] / score["scored"]
            assert 0 < score["most_frequent"] <= 1
        assert summary["samples"] == 12  # a description of each image
        assert (aligned / "README.md").is_file()
        weights = load_file(aligned / "caslie_adapter.safetensors")
        assert not any(name.startswith("language_model.") for name in weights)

    def test_finished_it_is_not_made_again(self, aligned: Path, image_dataset: Path, catalogue: Path) -> None:
        before = (aligned / "caslie_adapter.safetensors").stat().st_mtime_ns
        again = align(config(image_dataset, catalogue, aligned, "images=12", "held_out=0.2"), resume=True)
        assert (aligned / "caslie_adapter.safetensors").stat().st_mtime_ns == before
        assert again.summary["attributes"]

    def test_stopped_before_its_scores_it_goes_on_with_these(
        self,
        aligned: Path,
        image_dataset: Path,
        catalogue: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def power_cut(*_: Any) -> None:
            raise KeyboardInterrupt

        settings = config(image_dataset, catalogue, tmp_path / "a", "images=12", "held_out=0.2")
        with monkeypatch.context() as patch:
            patch.setattr(caslie_model.training.align, "_score", power_cut)
            with pytest.raises(KeyboardInterrupt):
                align(settings)
        before = (settings.out / "caslie_adapter.safetensors").stat().st_mtime_ns
        scores = align(settings, resume=True).summary["attributes"]
        assert (settings.out / "caslie_adapter.safetensors").stat().st_mtime_ns == before
        assert scores == json.loads((aligned / "training.json").read_text())["attributes"]

    def test_evaluate_says_that_it_is_an_alignment(self, aligned: Path, image_dataset: Path) -> None:
        with pytest.raises(ModelError, match=r"is an alignment.*finetune --set init_from="):
            load_for_evaluation(evaluate_config(model=str(aligned), data=str(image_dataset), out="o"))


def test_several_processes_are_an_error(
    image_dataset: Path, catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RunError, match="runs in one process"):
        align(config(image_dataset, catalogue, tmp_path / "out"))
    assert not (tmp_path / "out").exists()
