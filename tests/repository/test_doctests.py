"""The examples in the docstrings of the public functions run, offline, on a small dataset."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import caslie_model.api
import caslie_model.api_captions
import caslie_model.api_evaluation
import mmecinstruct as mm
import mmecinstruct.api

FINDER = doctest.DocTestFinder(exclude_empty=True)


def examples(module: object) -> list[doctest.DocTest]:
    return [test for test in FINDER.find(module) if test.examples]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with what the examples name: a dataset, and a folder of a sharp and a small image."""
    folder = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("MMEC_WORKSPACE", "HF_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setenv("HF_DATASETS_CACHE", str(folder / "cache"))
        recipe = mm.load_recipe("sample", {"sample.products": 120, "sizes.train": 20})
        mm.build(recipe, "dataset-sample", tasks="sa,cc", workers=1)
        (folder / "photos").mkdir()
        for side in (16, 64):
            Image.effect_noise((side, side), 60).convert("RGB").save(folder / "photos" / f"{side}.png")
        yield folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Iterator[Path]:
    """A trained text adapter, and tables of products and of reviews, in the same folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CASLIE_MODEL_CACHE", str(folder / "models"))
        caslie_model.finetune(
            "dataset-sample", "model", preset="tiny", tasks=["sa"], samples_per_task=4, device="cpu"
        )
        rows = [*mm.load("dataset-sample", "sa"), *mm.load("dataset-sample", "cc")]
        products = sorted({product for row in rows for product in row["product_ids"]})
        lines = [
            "id,colour",
            *(f"{name},{'red' if place % 2 else 'blue'}" for place, name in enumerate(products)),
        ]
        (folder / "products.csv").write_text("\n".join(lines) + "\n")
        (folder / "reviews.csv").write_text("id,text\n1,It broke at once.\n2,A lovely mug.\n")
        yield folder


def run(test: doctest.DocTest) -> None:
    output: list[str] = []
    failed = (
        doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=output.append).failed
    )
    assert not failed, "".join(output)


@pytest.mark.parametrize("test", examples(mmecinstruct.api), ids=lambda test: test.name)
def test_examples_of_mmecinstruct_run(test: doctest.DocTest, folder: Path) -> None:
    run(test)


@pytest.mark.parametrize(
    "test",
    [
        *examples(caslie_model.api),
        *examples(caslie_model.api_captions),
        *examples(caslie_model.api_evaluation),
    ],
    ids=lambda test: test.name,
)
def test_examples_of_caslie_model_run(test: doctest.DocTest, model: Path) -> None:
    run(test)
