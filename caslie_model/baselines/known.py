"""All baselines by name."""

from __future__ import annotations

from caslie_model.baselines.baseline import Baseline
from caslie_model.baselines.classifiers import fit_boosting, fit_options_only, fit_tfidf
from caslie_model.baselines.overlap import fit_title_overlap
from caslie_model.baselines.trivial import fit_first_option, fit_majority, fit_random
from caslie_model.config.evaluation import OF_BASELINES
from caslie_model.errors import ModelError

_ALL = (
    Baseline("majority", "the most frequent answer of the training split", fit_majority),
    Baseline("random", "an answer by hash draw", fit_random),
    Baseline("first-option", "the first option, or yes", fit_first_option),
    Baseline("title-overlap", "the answer by the words that title, query or option share", fit_title_overlap),
    Baseline("options-only", "options by their words, place and length, without the input", fit_options_only),
    Baseline("tfidf", "TF-IDF of words and characters with logistic regression", fit_tfidf),
    Baseline("boosting", "boosted trees on similarities, lengths and agreeing numbers", fit_boosting),
)
BASELINES = {baseline.name: baseline for baseline in _ALL}


def known_baseline(name: str) -> Baseline:
    """Return a baseline.

    Args:
        name: Its name, with or without `baseline:`.

    Raises:
        ModelError: If there is none of this name.
    """
    short = name.removeprefix(OF_BASELINES)
    if short not in BASELINES:
        raise ModelError(f"no baseline '{short}'; there are {', '.join(BASELINES)}")
    return BASELINES[short]
