"""Samples as rows of numbers: one a sample where all have the same answers, else one an option."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from caslie_model.baselines.scores import answer_words
from caslie_model.baselines.text_features import (
    AnswerCentres,
    Numbers,
    Sparse,
    TextVectors,
    agreeing_numbers,
    cosines,
    field_names,
    field_texts,
    input_text,
    length_numbers,
    pair_numbers,
    share_of_words,
)
from caslie_model.data.samples import Sample


class Inputs(Protocol):
    """What a classifier is given of samples."""

    def words(self, samples: Sequence[Sample], *, known: bool = False) -> Sparse:
        """Return TF-IDF, of pairs of texts what they share, and similarities; [rows, features]."""
        ...

    def similarities(self, samples: Sequence[Sample], *, known: bool = False) -> Numbers:
        """Return similarities, lengths, and how far numbers agree; [rows, features]."""
        ...


class InputsOfSamples:
    """A row for each sample of a task with fixed answers.

    Args:
        train: Training samples, in the order of their ids.
    """

    def __init__(self, train: Sequence[Sample]) -> None:
        self._train = train
        self._names = field_names(train)
        self._vectors = TextVectors(text for texts in field_texts(train, self._names) for text in texts)
        self._answers = sorted({answer_words(sample) for sample in train})
        inputs = self._vectors.of([input_text(sample) for sample in train])
        self._centres = [AnswerCentres(train, each, self._answers) for each in inputs]

    def words(self, samples: Sequence[Sample], *, known: bool = False) -> Sparse:
        """Return TF-IDF of each field, the words that pairs of fields share, and similarities of these.

        Args:
            samples: The samples.
            known: Whether they are the training samples.
        """
        from itertools import combinations

        from scipy.sparse import csr_matrix, hstack

        texts = field_texts(samples, self._names)
        vectors = [self._vectors.of(each) for each in texts]
        blocks = [block for pair in vectors for block in pair]
        blocks += [one[0].multiply(other[0]) for one, other in combinations(vectors, 2)]
        return hstack([*blocks, csr_matrix(pair_numbers(texts, vectors))], format="csr")

    def similarities(self, samples: Sequence[Sample], *, known: bool = False) -> Numbers:
        """Return similarities of pairs of fields, nearness to the inputs of each answer, lengths, agreeing numbers.

        Args:
            samples: The samples.
            known: Whether they are the training samples, which are left out of what they are compared with.
        """
        from itertools import combinations

        texts = field_texts(samples, self._names)
        columns = [pair_numbers(texts, [self._vectors.of(each) for each in texts])]
        columns += [length_numbers(each) for each in texts]
        columns += [agreeing_numbers(one, other) for one, other in combinations(texts, 2)]
        own = [answer_words(sample) for sample in samples] if known else None
        whole = self._vectors.of([input_text(sample) for sample in samples])
        for centres, vectors in zip(self._centres, whole, strict=True):
            for answer in self._answers:
                columns.append(centres.nearness(vectors, [answer] * len(samples), own)[:, None])
        return np.hstack(columns)


class InputsOfOptions:
    """A row for each option of each sample.

    Args:
        train: Training samples, in the order of their ids.
    """

    def __init__(self, train: Sequence[Sample]) -> None:
        self._train = train
        self._vectors = TextVectors(
            text for sample in train for text in (*_entries(sample), *sample.options.values())
        )
        answers = sorted({answer_words(sample) for sample in train})
        inputs = self._vectors.of([input_text(sample) for sample in train])
        self._centres = [AnswerCentres(train, each, answers) for each in inputs]

    def words(self, samples: Sequence[Sample], *, known: bool = False) -> Sparse:
        """Return the words of the option, those that the input has too, and the similarities of both.

        Args:
            samples: The samples.
            known: Whether they are the training samples.
        """
        from scipy.sparse import csr_matrix, hstack

        of_option, of_input, _ = self._pairs(samples)
        shared = of_option[0].multiply(of_input[0])
        return hstack([of_option[0], shared, csr_matrix(self._similar(samples, known))], format="csr")

    def similarities(self, samples: Sequence[Sample], *, known: bool = False) -> Numbers:
        """Return similarities of option and input, the option's length, agreeing numbers.

        Args:
            samples: The samples.
            known: Whether they are the training samples, which are left out of what they are compared with.
        """
        options = flat_options(samples)
        texts = [input_text(sample) for sample in samples for _ in sample.labels]
        return np.hstack(
            [self._similar(samples, known), length_numbers(options), agreeing_numbers(options, texts)]
        )

    def _pairs(self, samples: Sequence[Sample]) -> tuple[list[Sparse], list[Sparse], list[int]]:
        """Return words and characters of options and of inputs, a row for each option, and the sample of each row."""
        of_row = [place for place, sample in enumerate(samples) for _ in sample.labels]
        options = flat_options(samples)
        different = sorted(set(options))
        place = {text: number for number, text in enumerate(different)}
        rows = [place[text] for text in options]
        of_option = [each[rows] for each in self._vectors.of(different)]
        of_input = [each[of_row] for each in self._vectors.of([input_text(each) for each in samples])]
        return of_option, of_input, of_row

    def _similar(self, samples: Sequence[Sample], known: bool) -> Numbers:
        of_option, of_input, of_row = self._pairs(samples)
        options = flat_options(samples)
        own = [answer_words(samples[row]) for row in of_row] if known else None
        entries = [_entries(sample) for sample in samples]
        starts = np.cumsum([0, *(len(each) for each in entries)])
        of_entry = self._vectors.of([text for each in entries for text in each])
        columns = []
        for option, whole, entry, centres in zip(of_option, of_input, of_entry, self._centres, strict=True):
            columns += [cosines(option, whole), centres.nearness(whole, options, own)]
            # Of a list, such as a history, the nearest entry and the last one.
            nearest, last, done = np.zeros(len(options)), np.zeros(len(options)), 0
            for place, sample in enumerate(samples):
                size = len(sample.labels)
                rows = entry[starts[place] : starts[place + 1]]
                if rows.shape[0]:
                    found = (option[done : done + size] @ rows.T).toarray()
                    nearest[done : done + size], last[done : done + size] = found.max(axis=1), found[:, -1]
                done += size
            columns += [nearest, last]
        texts = [input_text(samples[row]) for row in of_row]
        columns.append(
            np.array([share_of_words(option, text) for option, text in zip(options, texts, strict=True)])
        )
        return np.column_stack(columns)


def flat_options(samples: Sequence[Sample]) -> list[str]:
    """Return the words of all options of all samples, one after the other.

    Args:
        samples: The samples.
    """
    return [sample.options.get(label, label) for sample in samples for label in sample.labels]


def _entries(sample: Sample) -> list[str]:
    return [text for field in sample.fields for text in field.texts]
