"""Scores of allowed answers, by their words: the letter of an option means nothing by itself."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

from threadpoolctl import threadpool_limits

from caslie_model.baselines.baseline import FitData, Fitter, Scorer, Scores
from caslie_model.data.samples import Sample


def normalised(scores: Mapping[str, float]) -> dict[str, float]:
    """Return scores as log-probabilities.

    Args:
        scores: The logarithm of each label's weight.
    """
    highest = max(scores.values())
    total = highest + math.log(sum(math.exp(value - highest) for value in scores.values()))
    return {label: value - total for label, value in scores.items()}


def answer_words(sample: Sample) -> str:
    """Return the words of a training sample's right answer.

    Args:
        sample: The sample.
    """
    return sample.options.get(sample.output, sample.output)


def by_id(samples: Sequence[Sample]) -> list[Sample]:
    """Return samples in the order of their ids: sums depend on the order of what is added.

    Args:
        samples: The samples.
    """
    return sorted(samples, key=lambda sample: sample.id)


def scores_of_words(sample: Sample, log_rates: Mapping[str, float]) -> dict[str, float]:
    """Return the log-probabilities of a sample's labels.

    Args:
        sample: The sample.
        log_rates: The logarithm of the probability of each answer of the training split, by its words. An answer that
            training does not have is half as likely as the least likely of them.
    """
    least = min(log_rates.values()) - math.log(2)
    return normalised(
        {label: log_rates.get(sample.options.get(label, label), least) for label in sample.labels}
    )


def in_one_thread(fit: Fitter) -> Fitter:
    """Return a fitter that computes in one thread, as its scorer does: the number of threads changes no score.

    Args:
        fit: Fits a baseline that scikit-learn computes.
    """

    @functools.wraps(fit)
    def fit_in_one_thread(data: FitData) -> Scorer:
        # Only libraries that are loaded are limited.
        import sklearn.ensemble  # noqa: F401

        with threadpool_limits(1):
            scorer = fit(data)

        def score(samples: Sequence[Sample]) -> Scores:
            with threadpool_limits(1):
                return scorer(samples)

        return score

    return fit_in_one_thread
