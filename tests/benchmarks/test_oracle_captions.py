"""The oracle of the caption benchmark tells all that was drawn, in sentences that no title has."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path
from types import ModuleType

import pytest

from mmecinstruct.synthetic.shop.image_spec import ImageSpec
from mmecinstruct.synthetic.shop.vocabulary import COLOURS, FINE_CATEGORIES, PATTERNS, SHAPES

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "oracle_captions.py"


@pytest.fixture(scope="module")
def oracle() -> ModuleType:
    spec = importlib.util.spec_from_file_location("oracle_captions", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_different_images_have_different_captions(oracle: ModuleType) -> None:
    names = [category.name for category in FINE_CATEGORIES]
    drawn = [*itertools.product(names, COLOURS, PATTERNS, SHAPES, range(6))]
    captions = {oracle.describe(ImageSpec("image", *looks, 0, "")) for looks in drawn}
    assert len(captions) == len(drawn)


def test_a_placeholder_is_no_product(oracle: ModuleType) -> None:
    spec = ImageSpec("image", "Mugs", "red", "plain", "tall", 0, 0, "placeholder")
    assert "mugs" not in oracle.describe(spec)
