"""Texts of samples as TF-IDF of words and of characters, and their similarities as numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caslie_model.baselines.scores import answer_words
from caslie_model.data.samples import Sample
from mmecinstruct.auditing.shortcuts.guessers import WORD

Numbers = NDArray[np.float64]
# A sparse matrix of scipy, [texts, features].
Sparse = Any

_WORDS = re.compile(WORD)
_NUMBERS = re.compile(r"\d+(?:[.,]\d+)*")


def words_of(text: str) -> frozenset[str]:
    """Return the words of a text.

    Args:
        text: The text; in scripts without blanks, letters are words.
    """
    return frozenset(_WORDS.findall(text.lower()))


def share_of_words(text: str, other: str) -> float:
    """Return the share of the words of one text that the other has; 0 for a text without words.

    Args:
        text: The one.
        other: The other.
    """
    words = words_of(text)
    return len(words & words_of(other)) / max(1, len(words))


def field_texts(samples: Sequence[Sample], names: Sequence[str]) -> list[list[str]]:
    """Return the text of each field of each sample, [fields][samples]; empty where a sample lacks it.

    Args:
        samples: The samples.
        names: Names of the fields.
    """
    found = [{field.name: "\n".join(field.texts) for field in sample.fields} for sample in samples]
    return [[texts.get(name, "") for texts in found] for name in names]


def field_names(samples: Sequence[Sample]) -> list[str]:
    """Return the names of all fields that samples have, in the order of their input.

    Args:
        samples: The samples.
    """
    return list(dict.fromkeys(field.name for sample in samples for field in sample.fields))


def input_text(sample: Sample) -> str:
    """Return all texts of a sample's input.

    Args:
        sample: The sample.
    """
    return "\n".join(text for field in sample.fields for text in field.texts)


def has_words(texts: Iterable[str]) -> bool:
    """Return whether any of the texts has a word.

    Args:
        texts: The texts.
    """
    return any(_WORDS.search(text) for text in texts)


class TextVectors:
    """TF-IDF of words, alone and in pairs, and of two to four characters within words.

    Args:
        texts: The texts that the weights are taken from; some of them have words.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        known = sorted(set(texts))
        self._words = TfidfVectorizer(token_pattern=WORD, ngram_range=(1, 2), sublinear_tf=True).fit(known)
        self._characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True).fit(
            known
        )

    def of(self, texts: Sequence[str]) -> tuple[Sparse, Sparse]:
        """Return words and characters of texts, each [texts, features], of length 1 each.

        Args:
            texts: The texts.
        """
        return self._words.transform(texts), self._characters.transform(texts)


def cosines(one: Sparse, other: Sparse) -> Numbers:
    """Return the cosines of the rows of two matrices of the same shape, [rows].

    Args:
        one: Rows of length 1 or 0.
        other: As many.
    """
    return np.asarray(one.multiply(other).sum(axis=1), dtype=np.float64).ravel()


class AnswerCentres:
    """How near inputs are to the training inputs that an answer was right for.

    Args:
        train: Training samples.
        inputs: Vectors of their inputs, [samples, features], of length 1 or 0.
        answers: Words of the answers to tell apart.
    """

    def __init__(self, train: Sequence[Sample], inputs: Sparse, answers: Sequence[str]) -> None:
        from scipy.sparse import csr_matrix

        self._place = {words: place for place, words in enumerate(answers)}
        right = [self._place[answer_words(sample)] for sample in train]
        shape = (len(answers) + 1, len(train))
        member = csr_matrix((np.ones(len(train)), (right, np.arange(len(train)))), shape=shape)
        # The last row is that of answers which training does not have.
        self._sums = (member @ inputs).tocsr()
        self._lengths = self._squares(self._sums)

    @staticmethod
    def _squares(rows: Sparse) -> Numbers:
        return np.asarray(rows.multiply(rows).sum(axis=1), dtype=np.float64).ravel()

    def nearness(self, inputs: Sparse, answers: Sequence[str], own: Sequence[str] | None = None) -> Numbers:
        """Return the cosine of each input with the sum of the training inputs of an answer, [inputs].

        Args:
            inputs: Vectors of inputs, [inputs, features].
            answers: Words of an answer for each input.
            own: For training inputs, the words of their right answers: such an input is left out of its own sum, as
                one that is asked is in none.
        """
        places = np.array([self._place.get(words, len(self._place)) for words in answers], dtype=np.int64)
        dots, lengths = cosines(inputs, self._sums[places]), self._lengths[places]
        if own is not None:
            squares = self._squares(inputs)
            is_own = np.array([one == other for one, other in zip(answers, own, strict=True)], dtype=np.bool_)
            lengths = np.where(is_own, lengths - 2 * dots + squares, lengths)
            dots = np.where(is_own, dots - squares, dots)
        # Rounding may leave a trace of a sum that is empty.
        empty = lengths < 1e-9
        return np.where(empty, 0.0, dots / np.sqrt(np.where(empty, 1.0, lengths)))


def pair_numbers(texts: Sequence[Sequence[str]], vectors: Sequence[tuple[Sparse, Sparse]]) -> Numbers:
    """Return how far fields agree in pairs, [samples, 4 for each pair].

    Args:
        texts: Texts of each field, [fields][samples].
        vectors: Words and characters of each field.

    Returns:
        For each pair the cosines of words and characters, and the shares of the words of the one that the other has.
    """
    columns = []
    for one, other in combinations(range(len(texts)), 2):
        columns += [cosines(a, b) for a, b in zip(vectors[one], vectors[other], strict=True)]
        columns += [
            _each(share_of_words, texts[one], texts[other]),
            _each(share_of_words, texts[other], texts[one]),
        ]
    return np.column_stack(columns) if columns else np.zeros((len(texts[0]) if texts else 0, 0))


def share_of_numbers(text: str, other: str) -> float:
    """Return the share of the numbers in one text, prices and sizes, that the other has; -1 for a text without.

    Args:
        text: The one.
        other: The other.
    """
    numbers = set(_NUMBERS.findall(text))
    return len(numbers & set(_NUMBERS.findall(other))) / len(numbers) if numbers else -1.0


def length_numbers(texts: Sequence[str]) -> Numbers:
    """Return characters, words and numbers of texts, [texts, 3].

    Args:
        texts: The texts.
    """
    return np.array(
        [[len(text), len(_WORDS.findall(text)), len(_NUMBERS.findall(text))] for text in texts],
        dtype=np.float64,
    ).reshape(-1, 3)


def agreeing_numbers(texts: Sequence[str], others: Sequence[str]) -> Numbers:
    """Return the shares of numbers that two columns of texts have of each other, [texts, 2].

    Args:
        texts: The one column.
        others: The other.
    """
    return np.column_stack(
        [_each(share_of_numbers, texts, others), _each(share_of_numbers, others, texts)]
    ).reshape(-1, 2)


def _each(compare: Callable[[str, str], float], texts: Sequence[str], others: Sequence[str]) -> Numbers:
    return np.array([compare(*pair) for pair in zip(texts, others, strict=True)], dtype=np.float64)
