"""All baselines by name."""

from __future__ import annotations

from caslie_model.baselines.baseline import Baseline, FitData, Scorer
from caslie_model.baselines.classifiers import fit_boosting, fit_options_only, fit_tfidf
from caslie_model.baselines.content_neighbours import fit_image_knn, fit_title_knn
from caslie_model.baselines.item_neighbours import fit_item_knn, fit_popularity
from caslie_model.baselines.overlap import fit_title_overlap
from caslie_model.baselines.trivial import fit_first_option, fit_majority, fit_random
from caslie_model.config.evaluation import OF_BASELINES
from caslie_model.errors import ModelError

_OF_SEQUENCES = ("sr",)


def _fit_sasrec(data: FitData) -> Scorer:
    from caslie_model.baselines.sasrec import fit_sasrec

    return fit_sasrec(data)


_ALL = (
    Baseline("majority", "the most frequent answer of the training split", fit_majority),
    Baseline("random", "an answer by hash draw", fit_random),
    Baseline("first-option", "the first option, or yes", fit_first_option),
    Baseline("title-overlap", "the answer by the words that title, query or option share", fit_title_overlap),
    Baseline("options-only", "options by their words, place and length, without the input", fit_options_only),
    Baseline("tfidf", "TF-IDF of words and characters with logistic regression", fit_tfidf),
    Baseline("boosting", "boosted trees on similarities, lengths and agreeing numbers", fit_boosting),
    Baseline(
        "popularity",
        "the option bought most often in the training split",
        fit_popularity,
        tasks=_OF_SEQUENCES,
    ),
    Baseline(
        "item-knn",
        "the option most often bought together with the history",
        fit_item_knn,
        tasks=_OF_SEQUENCES,
    ),
    Baseline(
        "title-knn",
        "the option whose title is nearest to the history, by TF-IDF",
        fit_title_knn,
        tasks=_OF_SEQUENCES,
    ),
    Baseline(
        "image-knn",
        "the option whose image is nearest to the history",
        fit_image_knn,
        tasks=_OF_SEQUENCES,
        reads_images=True,
    ),
    Baseline(
        "sasrec",
        "self-attention over the history, trained on the training sequences",
        _fit_sasrec,
        tasks=_OF_SEQUENCES,
    ),
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
