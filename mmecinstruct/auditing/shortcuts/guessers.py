"""The guessers. Each returns scores of the choices of a split, or None where it has nothing to go by.

scikit-learn runs in one thread with fixed seeds, on rows in the order of their hashes: the same samples give the same
scores.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmecinstruct.auditing.shortcuts.result import MIN_ROWS
from mmecinstruct.auditing.shortcuts.task_samples import Part, Row, Scores

Guesser = Callable[[Part, Part], Scores | None]
Features = NDArray[np.float64]

# Words; in scripts without blanks, letters.
WORD = r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|[^\W\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]+"
_WORDS = re.compile(WORD)
# Hashed words of a text.
_BUCKETS = 2**16
# Values of a column that are told from each other.
_VALUES = 50
# Least training samples of a leaf of a tree, and of an answer that a tree rates.
_LEAF, _CLASS = 20, 10
# Images of a sample whose sizes are told from each other.
_IMAGES = 2


def guess_all(train: Part, part: Part) -> dict[str, Scores]:
    """Return the scores of all guessers that have something to go by, in the order of GUESSERS.

    Args:
        train: The training samples.
        part: The samples of another split.
    """
    guessers = (
        {**_OF_OPTIONS, **_OF_ALL, **_BASELINES} if not part.labels else {**_OF_ALL, **_LABEL_BASELINES}
    )
    found = {name: guesser(train, part) for name, guesser in guessers.items()}
    return {name: scores for name, scores in found.items() if scores is not None}


def _enough(train: Part) -> bool:
    return len(train.rows) >= MIN_ROWS


# --- blind: options ------------------------------------------------------------------------------------


def _first(train: Part, part: Part) -> Scores:
    scores = np.zeros(len(part.is_right))
    scores[part.starts] = 1
    return scores


def _position(train: Part, part: Part) -> Scores | None:
    if not _enough(train):
        return None
    counts = np.bincount(train.answers, minlength=int(part.sizes.max()))
    return np.concatenate([counts[:size] for size in part.sizes.tolist()]).astype(np.float64)


def _longest(train: Part, part: Part) -> Scores:
    return np.array([len(choice) for choice in part.flat()], dtype=np.float64)


def _shortest(train: Part, part: Part) -> Scores:
    return -_longest(train, part)


def _popularity(train: Part, part: Part) -> Scores | None:
    counts = train.named()
    return np.array([counts[choice] for choice in part.flat()], dtype=np.float64) if _enough(train) else None


def _reverse_popularity(train: Part, part: Part) -> Scores | None:
    scores = _popularity(train, part)
    return None if scores is None else -scores


def _options_alone(train: Part, part: Part) -> Scores | None:
    if not _enough(train):
        return None
    return _fitted(_words(train.flat()), train.is_right, _words(part.flat()))[:, 1]


# --- blind: what is known beside the question ------------------------------------------------------------


def _image_size(train: Part, part: Part) -> Scores | None:
    return _by_images(train, part, lambda image: image[1:3])


def _file_length(train: Part, part: Part) -> Scores | None:
    if not any(image[3] for row in train.rows for image in row["images"]):
        return None
    return _by_images(train, part, lambda image: image[3:])


def _by_images(train: Part, part: Part, facts: Callable[[Sequence[int]], Sequence[int]]) -> Scores | None:
    if any(image[0] >= 0 for row in train.rows for image in row["images"]):
        return _by_option_images(train, part, facts)
    if not any(row["images"] for row in train.rows):
        return None
    empty = [0] * len(facts([0, 0, 0, 0]))

    def features(row: Row) -> list[float]:
        found = [facts(image) for image in row["images"][:_IMAGES]]
        found += [empty] * (_IMAGES - len(found))
        return [len(row["images"]), *(number for image in found for number in image)]

    return _by_facts(train, part, features)


def _by_option_images(
    train: Part, part: Part, facts: Callable[[Sequence[int]], Sequence[int]]
) -> Scores | None:
    """Rate each option by the image that shows it."""
    empty = [0] * len(facts([0, 0, 0, 0]))

    def features(one: Part) -> Features:
        found = []
        for row, choices in zip(one.rows, one.choices, strict=True):
            images = {image[0]: image for image in row["images"]}
            for place in range(len(choices)):
                shown = place in images
                found.append([float(shown), *(facts(images[place]) if shown else empty)])
        return np.array(found, dtype=np.float64)

    if not _enough(train):
        return None
    rates, classes = _tree(features(train), train.is_right, features(part))
    return rates[:, list(classes).index(True)]


def _source(train: Part, part: Part) -> Scores | None:
    return _by_value(train, part, "source")


def _instruction(train: Part, part: Part) -> Scores | None:
    return _by_value(train, part, "instruction")


def _by_value(train: Part, part: Part, column: str) -> Scores | None:
    counts = Counter(row[column] for row in train.rows)
    if len(counts) < 2:
        return None
    values = sorted(counts, key=lambda value: (-counts[value], value))[:_VALUES]
    return _by_facts(train, part, lambda row: [float(row[column] == value) for value in values])


def _order(train: Part, part: Part) -> Scores | None:
    return _by_facts(
        train, part, lambda row: [row["place"], *(float(row["row"] % period) for period in (2, 3, 4, 5))]
    )


def _by_facts(train: Part, part: Part, features: Callable[[Row], list[float]]) -> Scores | None:
    """Predict the answer from numbers of a sample that should not tell it.

    A tree learns the label. Where samples have options, one tree learns the letter and one the text of the answer; what
    counts is what the numbers add to the frequency of both.
    """
    if not _enough(train):
        return None
    known, asked = (np.array([features(row) for row in one.rows], dtype=np.float64) for one in (train, part))
    if part.labels:
        return _rates(known, train.outputs(), asked, part, part.flat())
    letters = [place for size in part.sizes.tolist() for place in range(size)]
    counts = Counter(train.outputs())
    common = [output if counts[output] >= _CLASS else "" for output in train.outputs()]
    by_letter = _rates(known, train.answers.tolist(), asked, part, letters, relative=True)
    return by_letter + _rates(known, common, asked, part, part.flat(), relative=True)


def _rates(
    known: Features,
    targets: Sequence[Any],
    asked: Features,
    part: Part,
    choices: Sequence[Any],
    *,
    relative: bool = False,
) -> Scores:
    """Return how likely a tree finds each choice; relative: the logarithm of how much more likely than in training."""
    rates, classes = _tree(known, targets, asked)
    if relative:
        counts = Counter(targets)
        shares = np.array([counts[one] / len(targets) for one in classes.tolist()])
        rates = np.log((rates + 0.01) / (shares + 0.01))
    columns = {one: column for column, one in enumerate(classes.tolist())}
    # A choice that training does not know is as likely as before.
    rates = np.hstack([rates, np.zeros((len(rates), 1))])
    column = np.array([columns.get(choice, len(columns)) for choice in choices], dtype=np.int64)
    return rates[np.repeat(np.arange(len(part.rows)), part.sizes), column]


def _tree(
    known: Features, targets: Sequence[Any] | NDArray[Any], asked: Features
) -> tuple[Features, NDArray[Any]]:
    """Return the probability of each class, [rows, classes], and the classes."""
    from sklearn.tree import DecisionTreeClassifier

    leaf = max(_LEAF, len(known) // 50)
    tree = DecisionTreeClassifier(max_depth=8, min_samples_leaf=leaf, random_state=0).fit(known, targets)
    return tree.predict_proba(asked), tree.classes_


# --- text baselines --------------------------------------------------------------------------------------


def _input_of_labels(train: Part, part: Part) -> Scores | None:
    return _labels_by_text(train, part, train.texts, part.texts)


def _everything_of_labels(train: Part, part: Part) -> Scores | None:
    def texts(one: Part) -> list[str]:
        return [
            "\n".join((row["instruction"], text, *row["options"]))
            for row, text in zip(one.rows, one.texts, strict=True)
        ]

    return _labels_by_text(train, part, texts(train), texts(part), pairs=True)


def _labels_by_text(
    train: Part, part: Part, known: list[str], asked: list[str], *, pairs: bool = False
) -> Scores | None:
    if not _enough(train) or len(set(train.outputs())) < 2:
        return None
    rates = _fitted(_words(known, pairs=pairs), train.answers, _words(asked, pairs=pairs))
    scores = np.zeros((len(part.rows), len(part.labels)))
    scores[:, np.unique(train.answers)] = rates
    return scores.ravel()


def _input_of_options(train: Part, part: Part) -> Scores | None:
    """Rate each option by how near the input is to the training inputs that it was the answer to."""
    if not _enough(train):
        return None
    from scipy.sparse import csr_matrix
    from sklearn.preprocessing import normalize

    outputs = sorted(set(train.outputs()))
    index = {output: number for number, output in enumerate(outputs)}
    rows = [index[output] for output in train.outputs()]
    member = csr_matrix(
        (np.ones(len(rows)), (rows, np.arange(len(rows)))), shape=(len(outputs) + 1, len(rows))
    )
    known, asked = _words(train.texts), _words(part.texts)
    centres = normalize(member @ known)
    of_choice = [index.get(choice, len(outputs)) for choice in part.flat()]
    of_input = np.repeat(np.arange(len(part.rows)), part.sizes)
    return np.asarray(asked[of_input].multiply(centres[of_choice]).sum(axis=1)).ravel()


def _overlap(train: Part, part: Part) -> Scores:
    """Rate each option by the share of its words that the input has."""
    inputs = part.of_choices([set(_WORDS.findall(text.lower())) for text in part.texts])
    options = [set(_WORDS.findall(choice.lower())) for choice in part.flat()]
    return np.array([len(a & b) / max(1, len(b)) for a, b in zip(inputs, options, strict=True)])


def _everything_of_options(train: Part, part: Part) -> Scores | None:
    if not _enough(train):
        return None
    from scipy.sparse import csr_matrix, hstack

    def features(one: Part) -> Any:
        options = _words(one.flat())
        inputs = _words(one.texts)[np.repeat(np.arange(len(one.rows)), one.sizes)]
        shared = inputs.multiply(options)
        total, overlap = shared.sum(axis=1), _overlap(train, one)[:, None]
        return hstack([options, shared, csr_matrix(total), csr_matrix(overlap)], format="csr")

    return _fitted(features(train), train.is_right, features(part))[:, 1]


def _words(texts: list[str], *, pairs: bool = False) -> Any:
    """Return hashed and weighted words of texts as a sparse matrix, [texts, buckets]."""
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(
        n_features=_BUCKETS,
        alternate_sign=False,
        token_pattern=WORD,
        ngram_range=(1, 2 if pairs else 1),
    ).transform(texts)


def _fitted(known: Any, targets: NDArray[Any], asked: Any) -> Features:
    """Return the probabilities of the classes by TF-IDF and logistic regression, [rows, classes]."""
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    # A feature of one text alone tells nothing of another text.
    used = np.flatnonzero(known.getnnz(axis=0) > 1)
    if not len(used):
        shares = np.unique(targets, return_counts=True)[1] / len(targets)
        return np.tile(shares, (asked.shape[0], 1))
    known, asked = known[:, used], asked[:, used]
    model = make_pipeline(TfidfTransformer(sublinear_tf=True), LogisticRegression(max_iter=200))
    with warnings.catch_warnings():
        # The last steps of a regression change no rank.
        warnings.simplefilter("ignore")
        return np.asarray(model.fit(known, targets).predict_proba(asked))


_OF_OPTIONS: dict[str, Guesser] = {
    "first_option": _first,
    "position": _position,
    "longest_option": _longest,
    "shortest_option": _shortest,
    "popularity": _popularity,
    "reverse_popularity": _reverse_popularity,
    "options_alone": _options_alone,
}
_OF_ALL: dict[str, Guesser] = {
    "image_size": _image_size,
    "file_length": _file_length,
    "source": _source,
    "instruction": _instruction,
    "order": _order,
}
_BASELINES: dict[str, Guesser] = {
    "input_alone": _input_of_options,
    "overlap": _overlap,
    "everything": _everything_of_options,
}
_LABEL_BASELINES: dict[str, Guesser] = {
    "input_alone": _input_of_labels,
    "everything": _everything_of_labels,
}
