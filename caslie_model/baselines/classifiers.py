"""Classifiers of scikit-learn as baselines: word counts with a regression, similarities with trees."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from caslie_model.baselines.baseline import FitData, Scorer, Scores
from caslie_model.baselines.inputs import Inputs, InputsOfOptions, InputsOfSamples, flat_options
from caslie_model.baselines.scores import answer_words, by_id, in_one_thread, normalised, scores_of_words
from caslie_model.baselines.text_features import Numbers, Sparse, has_words, input_text
from caslie_model.baselines.trivial import fit_majority
from caslie_model.baselines.tuning import best_on_validation
from caslie_model.data.samples import Sample
from caslie_model.runtime.console import say
from mmecinstruct.auditing.shortcuts.guessers import WORD
from mmecinstruct.tasks import TASKS

# Inverse strengths of the regularisation; the first is taken without validation samples.
STRENGTHS = (1.0, 0.1, 10.0, 100.0)
# Leaves of a tree at most, likewise.
LEAVES = (8, 3, 16, 31)
TREES, RATE = 100, 0.05

Features: TypeAlias = Callable[..., Any]


def regression(strength: float) -> Any:
    """Return an untrained logistic regression.

    Args:
        strength: `C` of scikit-learn.
    """
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=500)


def boosted_trees(leaves: int, seed: int) -> Any:
    """Return untrained gradient-boosted trees.

    Args:
        leaves: Of each tree at most.
        seed: Of the bins of very many rows.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=TREES,
        learning_rate=RATE,
        max_leaf_nodes=leaves,
        early_stopping=False,
        random_state=seed % 2**32,
    )


@in_one_thread
def fit_options_only(data: FitData) -> Scorer:
    """Return the scorer that knows words, place and length of options; of yes and no, how often each is right."""
    train = by_id(data.train)
    if not any(sample.options for sample in train) or not has_words(flat_options(train)):
        return fit_majority(data)
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(token_pattern=WORD, ngram_range=(1, 2), sublinear_tf=True)
    words.fit(sorted(set(flat_options(train))))
    places = max(len(sample.labels) for sample in train)

    def features(samples: Sequence[Sample], *, known: bool = False) -> Sparse:
        from scipy.sparse import csr_matrix, hstack

        return hstack(
            [words.transform(flat_options(samples)), csr_matrix(_places(samples, places))], format="csr"
        )

    return _tuned("options-only", data, train, features, _regressions(), of_options=True)


@in_one_thread
def fit_tfidf(data: FitData) -> Scorer:
    """Return the scorer of TF-IDF of words and characters with a logistic regression."""
    return _of_inputs("tfidf", data, lambda inputs: inputs.words, _regressions())


@in_one_thread
def fit_boosting(data: FitData) -> Scorer:
    """Return the scorer of boosted trees on similarities and lengths."""
    models = {f"{leaves} leaves": partial(boosted_trees, leaves, data.seed) for leaves in LEAVES}
    return _of_inputs("boosting", data, lambda inputs: inputs.similarities, models)


def _regressions() -> dict[str, Callable[[], Any]]:
    return {f"C={strength:g}": partial(regression, strength) for strength in STRENGTHS}


def _of_inputs(
    name: str,
    data: FitData,
    features_of: Callable[[Inputs], Features],
    models: Mapping[str, Callable[[], Any]],
) -> Scorer:
    train = by_id(data.train)
    of_options = TASKS[data.task].labels is None
    if not has_words(map(input_text, train)):
        say(f"{name}: no training sample of {data.task} has a word: answered by the most frequent answer")
        return fit_majority(data)
    inputs: Inputs = InputsOfOptions(train) if of_options else InputsOfSamples(train)
    return _tuned(name, data, train, features_of(inputs), models, of_options=of_options)


def _tuned(
    name: str,
    data: FitData,
    train: Sequence[Sample],
    features: Features,
    models: Mapping[str, Callable[[], Any]],
    *,
    of_options: bool,
) -> Scorer:
    """Return the scorer of the model that validation prefers, or the most frequent answer where there is one only."""
    targets: list[Any] = (
        [label == sample.output for sample in train for label in sample.labels]
        if of_options
        else [answer_words(sample) for sample in train]
    )
    if len(set(targets)) < 2:
        say(f"{name}: training knows one answer of {data.task} only: answered by the most frequent answer")
        return fit_majority(data)
    known = features(train, known=True)

    def fit(make: Callable[[], Any]) -> Scorer:
        with warnings.catch_warnings():
            # The last steps of a regression change little.
            warnings.simplefilter("ignore")
            model = make().fit(known, targets)
        score = _scores_of_options if of_options else _scores_of_samples
        return lambda samples: score(model, features(samples), samples) if samples else []

    return best_on_validation(name, data, models, fit)


def _scores_of_samples(model: Any, asked: Any, samples: Sequence[Sample]) -> Scores:
    logs = _logs(model.predict_proba(asked))
    answers = model.classes_.tolist()
    return [
        scores_of_words(sample, dict(zip(answers, row, strict=True)))
        for sample, row in zip(samples, logs.tolist(), strict=True)
    ]


def _scores_of_options(model: Any, asked: Any, samples: Sequence[Sample]) -> Scores:
    """Return how likely each option is the right one, given that one of the sample's is."""
    logs = _logs(model.predict_proba(asked))
    odds = iter((logs[:, 1] - logs[:, 0]).tolist())
    return [normalised({label: next(odds) for label in sample.labels}) for sample in samples]


def _logs(rates: Numbers) -> Numbers:
    # Twelve digits: the number of rows that are asked at once may change the last ones.
    logs: Numbers = np.log(np.maximum(rates, math.exp(-50)))
    return logs.round(12)


def _places(samples: Sequence[Sample], places: int) -> Numbers:
    """Return the place of each option, and its length: as a part of the mean, whether longest, whether shortest."""
    rows = []
    for sample in samples:
        lengths = [len(text) for text in flat_options([sample])]
        mean = max(1.0, sum(lengths) / len(lengths))
        for place, length in enumerate(lengths):
            at = [float(place == each) for each in range(places)]
            rows.append([*at, length / mean, float(length == max(lengths)), float(length == min(lengths))])
    return np.array(rows, dtype=np.float64)
