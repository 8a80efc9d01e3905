"""From the name of a model to a predictor: a model of ours, a language or image-text model, or a server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from caslie_model.adapters.loading import load_for_evaluation
from caslie_model.adapters.model_kind import ModelKind, model_kind
from caslie_model.config.evaluation import PredictConfig
from caslie_model.data.image_bytes import SpooledImages, spool_images
from caslie_model.data.images import SampleImage
from caslie_model.data.samples import Sample
from caslie_model.inference.image_text_model import open_image_text_model
from caslie_model.inference.local_predictor import LocalPredictor
from caslie_model.inference.questions import Predictor
from caslie_model.inference.server import open_server
from caslie_model.runtime.console import say
from caslie_model.vision.visual_inputs import features_of_own_images, load_visual_inputs


@dataclass(frozen=True)
class OpenPredictor:
    """A predictor that is ready to answer, and the images that it can be shown.

    Attributes:
        predictor: The predictor.
        images: The samples' own images by sample id, in stored order; None for a model that takes none.
    """

    predictor: Predictor
    images: Mapping[str, tuple[SampleImage, ...]] | None


@contextmanager
def open_predictor(
    config: PredictConfig, samples: Sequence[Sample], own_images: SpooledImages | None = None
) -> Iterator[OpenPredictor]:
    """Open the model that the settings name; connections and temporary files are gone afterwards.

    `openai:NAME` is a model at a server, or of a batch file. What transformers lists as an image-text-to-text model
    answers through its processor, unless `base_only` asks for its language model. All others are adapters, merged
    models and language models.

    Args:
        config: The settings.
        samples: All samples whose images may be shown: those that are asked, and demonstrations.
        own_images: Images that no dataset has, to which more may be added later; None: those of the samples.

    Yields:
        The predictor and the images.

    Raises:
        MmecError: If model or data do not allow it; the message has the remedy.
    """
    with ExitStack() as stack:
        if config.asks_server:
            images = own_images or stack.enter_context(_spooled(config, samples))
            opened = OpenPredictor(open_server(config, images), images.images)
        elif (kind := None if config.base_only else model_kind(config.model)) == "image-text":
            images = own_images or stack.enter_context(_spooled(config, samples))
            opened = OpenPredictor(open_image_text_model(config, images), images.images)
        else:
            opened = _open_local(config, samples, kind, own_images)
        stack.callback(opened.predictor.close)
        yield opened


def _spooled(config: PredictConfig, samples: Sequence[Sample]) -> SpooledImages:
    return SpooledImages() if config.images == "none" else spool_images(config.data, samples)


def _open_local(
    config: PredictConfig,
    samples: Sequence[Sample],
    kind: ModelKind | None,
    own_images: SpooledImages | None,
) -> OpenPredictor:
    loaded = load_for_evaluation(config, kind)
    say(f"{config.model}: on {loaded.device}")
    if loaded.vision is None:
        return OpenPredictor(LocalPredictor(loaded, config), None)
    trained_with = loaded.model.config.vision_fingerprint
    if own_images is not None:
        features = features_of_own_images(own_images, loaded.vision, loaded.device, trained_with)
        return OpenPredictor(LocalPredictor(loaded, config, features), own_images.images)
    inputs = load_visual_inputs(config.data, samples, loaded.vision, loaded.device, trained_with)
    return OpenPredictor(LocalPredictor(loaded, config, inputs.features), inputs.images)
