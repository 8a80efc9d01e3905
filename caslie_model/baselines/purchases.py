"""Purchases of a sequential recommendation, and what its baselines share: item keys, ties, the choice of settings.

An item is known by its text as the sample gives it (title, and brand where the title lacks it), in lower case. The ids
of a sample's products do not tell which option is which product without the right answer, and images do so only for
products that have one. Products of the same text are one item.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from caslie_model.baselines.baseline import FitData, Scorer
from caslie_model.baselines.scores import normalised
from caslie_model.data.samples import Sample
from caslie_model.runtime.console import say
from mmecinstruct.core.hashing import hash_draw

# Settings that each baseline tries on validation: as many for one as for the other.
TRIALS = 6
# Weight of a purchase relative to the next one of the history.
DECAYS = (1.0, 0.8, 0.5)
# Where the reciprocal ranks of two trials differ by less, the first stands.
_SAME = 1e-9
# Scores that agree in so many decimals are equal. Logs keep four: ranks stay apart by a thousandth.
_DECIMALS = 6
_APART = 0.001
_ORDINAL = re.compile(r"^\d+(?:st|nd|rd|th)?: ")

Setting = TypeVar("Setting")
# Any number for each allowed label of a sample: higher is better.
Preference: TypeAlias = Callable[[Sample], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Purchases:
    """What a user bought, and what is offered.

    Attributes:
        history: Items bought, oldest first.
        options: Items offered, by label.
    """

    history: tuple[str, ...]
    options: dict[str, str]


def purchases_of(sample: Sample) -> Purchases:
    """Return the items of a sample; the right answer is not read.

    Args:
        sample: Its input is a list of texts, "1st: …", "2nd: …".
    """
    texts = [text for field in sample.fields if field.is_list for text in field.texts]
    return Purchases(
        tuple(_item(_ORDINAL.sub("", text)) for text in texts),
        {label: _item(sample.options.get(label, "")) for label in sample.labels},
    )


def bought_sequence(sample: Sample) -> tuple[str, ...]:
    """Return history and target of a training sample, whose right answer is read."""
    purchases = purchases_of(sample)
    return (*purchases.history, purchases.options[sample.output])


def bought_sequences(samples: Sequence[Sample]) -> list[tuple[str, ...]]:
    """Return the sequences of training samples in the order of their ids, whatever the order of the samples."""
    return [bought_sequence(sample) for sample in sorted(samples, key=lambda sample: sample.id)]


def recency_weights(count: int, decay: float) -> list[float]:
    """Return the weights of `count` purchases, oldest first; the latest weighs 1.

    Args:
        count: Number of purchases.
        decay: Weight of a purchase relative to the next one.
    """
    return [decay ** (count - 1 - place) for place in range(count)]


def choose_on_validation(
    data: FitData, settings: Sequence[Setting], fit: Callable[[Setting], Preference]
) -> Scorer:
    """Fit a baseline with each setting, and keep the one of the highest mean reciprocal rank on validation.

    Of equals the first is kept, and the first where there is no validation.

    Args:
        data: Training and validation samples.
        settings: The settings to try, the default first.
        fit: Fits a setting to the training samples.

    Returns:
        The scorer of the best setting. Options that it cannot tell apart are ordered by hash draw of sample and item,
        never by their letters.
    """
    best, prefer = -1.0, None
    for setting in settings if data.validation else settings[:1]:
        fitted = fit(setting)
        reached = _mean_reciprocal_rank(data, fitted)
        if prefer is None or reached > best + _SAME:
            best, prefer, chosen = reached, fitted, setting
    if prefer is None:
        raise AssertionError("a baseline has settings")
    if data.validation:
        say(
            f"{chosen}: the best of {len(settings)} settings on {len(data.validation)} validation samples, "
            f"mean reciprocal rank {best:.3f}"
        )
    found = prefer
    return lambda samples: [ranked_scores(sample, found(sample), data.seed) for sample in samples]


def ranked_scores(sample: Sample, preferences: Mapping[str, float], seed: int) -> dict[str, float]:
    """Return log-probabilities whose order is that of the preferences, without equal ones.

    Args:
        sample: The sample.
        preferences: A number for each label; higher is better.
        seed: Of the hash draws that decide between equal ones.
    """
    options = purchases_of(sample).options

    def place(label: str) -> tuple[float, int, str]:
        item = options[label]
        return -round(preferences[label], _DECIMALS), hash_draw(seed, "equal scores", sample.id, item), item

    scores: dict[str, float] = {}
    lowest = float("inf")
    for label in sorted(sample.labels, key=place):
        lowest = scores[label] = min(preferences[label], lowest - _APART)
    return normalised(scores)


def _mean_reciprocal_rank(data: FitData, prefer: Preference) -> float:
    total = 0.0
    for sample in data.validation:
        scores = ranked_scores(sample, prefer(sample), data.seed)
        total += 1 / sum(score >= scores[sample.output] for score in scores.values())
    return total / max(1, len(data.validation))


def _item(text: str) -> str:
    return " ".join(text.casefold().split())
