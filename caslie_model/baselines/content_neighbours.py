"""Recommendation by what items are: the options nearest to the history by title or by image.

Both answer for items that nobody bought before, where counts of purchases know nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from caslie_model.baselines.baseline import FitData, Scorer
from caslie_model.baselines.purchases import (
    DECAYS,
    Preference,
    choose_on_validation,
    purchases_of,
    recency_weights,
)
from caslie_model.data.samples import Sample
from caslie_model.errors import ModelError
from caslie_model.vision.visual_inputs import features_of_own_images

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TitleSetting:
    """How titles are compared.

    Attributes:
        decay: Weight of a purchase relative to the next one of the history.
        terms: Words, or sequences of 3 to 5 letters within words.
    """

    decay: float
    terms: Literal["words", "letters"]


@dataclass(frozen=True, slots=True)
class ImageSetting:
    """How images are compared.

    Attributes:
        decay: Weight of a purchase relative to the next one of the history.
        centred: Whether the mean of the training images is subtracted: what all images share says nothing.
    """

    decay: float
    centred: bool


_HASHES = 2**18
_TERMS: tuple[Literal["words", "letters"], ...] = ("words", "letters")
TITLE_SETTINGS = tuple(TitleSetting(decay, terms) for decay in DECAYS for terms in _TERMS)
IMAGE_SETTINGS = tuple(ImageSetting(decay, centred) for decay in DECAYS for centred in (True, False))


def fit_title_knn(data: FitData) -> Scorer:
    """Return the scorer that scores an option by the cosine of its title and the history's, by TF-IDF.

    The weights of terms are those of the training titles, each title counted once; a term that none has weighs most.
    """
    titles = sorted({title for sample in data.train for title in _titles(sample)})

    @cache
    def vectors_of(terms: str) -> Callable[[Sequence[str]], Any]:
        return _fitted_vectoriser(titles, terms)

    def fit(setting: TitleSetting) -> Preference:
        vectors = vectors_of(setting.terms)

        def prefer(sample: Sample) -> Mapping[str, float]:
            purchases = purchases_of(sample)
            if not purchases.history:
                return dict.fromkeys(purchases.options, 0.0)
            weights = np.array(recency_weights(len(purchases.history), setting.decay))
            profile = vectors(purchases.history).T @ weights
            found = vectors(list(purchases.options.values())) @ profile
            return dict(zip(purchases.options, map(float, found), strict=True))

        return prefer

    return choose_on_validation(data, TITLE_SETTINGS, fit)


def fit_image_knn(data: FitData) -> Scorer:
    """Return the scorer that scores an option by the cosine of its image and the history's.

    An image is the mean of its patches in the feature cache. An option without an image gets the mean of the others;
    where history or options have none, all are equal.

    Raises:
        ModelError: If encoder or cache fail.
    """
    images = data.images
    if images is None or data.vision is None:
        raise ModelError("nearest images need images: the baseline must be given them")
    features = features_of_own_images(images, data.vision, data.device, "")

    @cache
    def embedding(key: str) -> NDArray[np.float64]:
        return np.asarray(features([key])[0].double().mean(dim=0))

    keys = sorted({image.key for sample in data.train for image in images.images.get(sample.id, ())})
    # Without images in training there is no mean to subtract.
    mean = np.mean([embedding(key) for key in keys], axis=0) if keys else np.float64(0)

    @cache
    def direction(key: str, centred: bool) -> NDArray[np.float64]:
        vector = embedding(key) - mean if centred else embedding(key)
        length = float(np.linalg.norm(vector))
        return vector / length if length else vector

    def fit(setting: ImageSetting) -> Preference:
        def prefer(sample: Sample) -> Mapping[str, float]:
            shown = {image.role: image.key for image in images.images.get(sample.id, ())}
            purchases = purchases_of(sample)
            weights = recency_weights(len(purchases.history), setting.decay)
            bought = [
                weight * direction(shown[role], setting.centred)
                for number, weight in enumerate(weights, start=1)
                if (role := f"history {number}") in shown
            ]
            offered = {label: shown.get(f"option {label}") for label in purchases.options}
            if not bought or not any(offered.values()):
                return dict.fromkeys(purchases.options, 0.0)
            profile = np.sum(bought, axis=0)
            near = {
                label: float(direction(key, setting.centred) @ profile)
                for label, key in offered.items()
                if key is not None
            }
            typical = sum(near.values()) / len(near)
            return {label: near.get(label, typical) for label in purchases.options}

        return prefer

    return choose_on_validation(data, IMAGE_SETTINGS, fit)


def _titles(sample: Sample) -> tuple[str, ...]:
    purchases = purchases_of(sample)
    return (*purchases.history, *purchases.options.values())


def _fitted_vectoriser(titles: Sequence[str], terms: str) -> Callable[[Sequence[str]], Any]:
    """Return what makes rows of length 1 [n, terms] of n titles, each computed once."""
    from scipy.sparse import vstack
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    # One letter may be a size: it is a word too.
    kind: dict[str, Any] = (
        {"analyzer": "char_wb", "ngram_range": (3, 5)} if terms == "letters" else {"token_pattern": r"\w+"}
    )
    # Terms by their hashes: those that no training title has count too, as the rarest.
    counts = HashingVectorizer(norm=None, alternate_sign=False, n_features=_HASHES, **kind)
    weights = TfidfTransformer(sublinear_tf=True)
    weights.fit(counts.transform(titles))
    rows: dict[str, Any] = {}

    def vectors(asked: Sequence[str]) -> Any:
        new = sorted(set(asked) - set(rows))
        if new:
            rows.update(zip(new, weights.transform(counts.transform(new)), strict=True))
        return vstack([rows[title] for title in asked], format="csr")

    return vectors
