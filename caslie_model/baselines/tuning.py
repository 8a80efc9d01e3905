"""The setting of a baseline, chosen on the validation split."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

from caslie_model.baselines.baseline import FitData, Scorer
from caslie_model.baselines.scores import by_id
from caslie_model.runtime.console import say

Setting = TypeVar("Setting")


def best_on_validation(
    name: str, data: FitData, settings: Mapping[str, Setting], fit: Callable[[Setting], Scorer]
) -> Scorer:
    """Fit with each setting, and return the scorer that gives the right answers of validation the most probability.

    Args:
        name: What the settings are of.
        data: With the validation samples. Without any, the first setting is taken.
        settings: The settings by their words, the one to take in a tie first.
        fit: Fits to the training samples.
    """
    if not data.validation:
        words, setting = next(iter(settings.items()))
        say(f"{name}: {words}: there are no validation samples to choose by")
        return fit(setting)
    asked = by_id(data.validation)
    tried = []
    for words, setting in settings.items():
        scorer = fit(setting)
        loss = -math.fsum(
            scores[sample.output] for sample, scores in zip(asked, scorer(asked), strict=True)
        ) / len(asked)
        tried.append((loss, words, scorer))
    loss, words, scorer = min(tried, key=lambda each: each[0])
    say(f"{name}: {words} of {len(tried)} settings by the log loss on validation, {loss:.3f}")
    return scorer
