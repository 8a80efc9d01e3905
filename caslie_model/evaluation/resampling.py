"""Resamples of samples by their units: how often each sample is in each resample, and what it then counts for.

The resamples depend on the seed and on the names of the units, not on the order of the samples. Two models that are
compared get the same resamples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from caslie_model.evaluation.metrics import Bootstrap, Floats, answer_cells

# Numbers held at once while weights are sampled or multiplied.
_CHUNK = 8_000_000

Weights = npt.NDArray[np.uint16]


def unit_weights(count: int, bootstrap: Bootstrap) -> Iterator[Floats]:
    """Yield how often each unit is in each resample, for some resamples at a time.

    Args:
        count: Number of units U.
        bootstrap: Number of resamples, and their seed.

    Yields:
        Counts [r, U], of all resamples together [R, U].
    """
    generator = np.random.default_rng(bootstrap.seed)
    chances = np.full(count, 1 / max(count, 1))
    step = max(1, _CHUNK // max(count, 1))
    for start in range(0, bootstrap.resamples, step):
        size = min(step, bootstrap.resamples - start)
        yield generator.multinomial(count, chances, size=size).astype(np.float64)


def sample_weights(units: Sequence[str], bootstrap: Bootstrap) -> Weights:
    """Return how often each sample is in each resample. Whole units are drawn, with replacement, as many as there are.

    Args:
        units: The unit of each sample.
        bootstrap: Number of resamples R, and their seed.

    Returns:
        Counts [R, n].
    """
    names, unit_of = np.unique(np.asarray(units, dtype=np.str_), return_inverse=True)
    weights = np.empty((bootstrap.resamples, len(unit_of)), dtype=np.uint16)
    start = 0
    for drawn in unit_weights(len(names), bootstrap):
        weights[start : start + len(drawn)] = drawn.astype(np.uint16)[:, unit_of]
        start += len(drawn)
    return weights


def resampled_confusions(
    weights: npt.NDArray[np.integer] | Floats,
    gold: Sequence[str],
    answers: Sequence[str | None],
    labels: Sequence[str],
) -> Floats:
    """Return the confusion counts of each resample.

    Args:
        weights: How often each sample is in each resample [R, n].
        gold: Right labels, one a sample.
        answers: Answered labels, None for no answer.
        labels: The L labels, in the order of rows and columns.

    Returns:
        Counts [R, L, L + 1], as `confusion` counts them.

    Raises:
        ValueError: If a gold label is not among the labels.
    """
    from scipy.sparse import csr_array

    cells = answer_cells(gold, answers, labels)
    size = len(labels) * (len(labels) + 1)
    ones = csr_array((np.ones(len(cells)), (cells, np.arange(len(cells)))), shape=(size, len(cells)))
    result = np.empty((len(weights), size))
    step = max(1, _CHUNK // max(len(cells), 1))
    for start in range(0, len(weights), step):
        chunk = weights[start : start + step]
        result[start : start + step] = (ones @ chunk.T.astype(np.float64)).T
    return result.reshape(len(weights), len(labels), len(labels) + 1)
