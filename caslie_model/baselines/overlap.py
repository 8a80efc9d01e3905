"""The baseline that counts shared words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caslie_model.baselines.baseline import FitData, Scorer, Scores
from caslie_model.baselines.scores import answer_words, by_id, in_one_thread, normalised, scores_of_words
from caslie_model.baselines.text_features import (
    Numbers,
    field_names,
    field_texts,
    input_text,
    share_of_words,
)
from caslie_model.data.samples import Sample
from mmecinstruct.tasks import TASKS


@in_one_thread
def fit_title_overlap(data: FitData) -> Scorer:
    """Return the scorer by shared words: of option and input, or of the first two fields with thresholds of train."""
    train = by_id(data.train)
    names = field_names(train)
    if TASKS[data.task].labels is not None and len(names) > 1:
        return _fit_thresholds(train, names[:2])

    def score(samples: Sequence[Sample]) -> Scores:
        return [
            normalised(
                {
                    label: share_of_words(sample.options.get(label, label), input_text(sample))
                    for label in sample.labels
                }
            )
            for sample in samples
        ]

    return score


def _fit_thresholds(train: Sequence[Sample], names: Sequence[str]) -> Scorer:
    """Fit a tree on one number, the share of the first field's words that the second has: a leaf for each answer."""
    from sklearn.tree import DecisionTreeClassifier

    answers = [answer_words(sample) for sample in train]
    model = DecisionTreeClassifier(max_leaf_nodes=max(2, len(set(answers))), random_state=0)
    model.fit(_shares(train, names), answers)
    known = model.classes_.tolist()
    # A leaf without an answer leaves it possible.
    smallest = 1 / (len(train) + len(known))

    def score(samples: Sequence[Sample]) -> Scores:
        if not samples:
            return []
        logs = np.log(np.maximum(model.predict_proba(_shares(samples, names)), smallest))
        return [
            scores_of_words(sample, dict(zip(known, row, strict=True)))
            for sample, row in zip(samples, logs.tolist(), strict=True)
        ]

    return score


def _shares(samples: Sequence[Sample], names: Sequence[str]) -> Numbers:
    one, other = field_texts(samples, names)
    return np.array([[share_of_words(*pair)] for pair in zip(one, other, strict=True)])
