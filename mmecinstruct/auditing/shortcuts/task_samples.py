"""The samples of one task as guessers see them: what can be chosen, what is right, what else is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmecinstruct.tasks import TASKS

Row = Mapping[str, Any]
# Scores of all choices of all samples, one after the other.
Scores = NDArray[np.float64]

# More different answers than these are open texts, which no guesser chooses from.
MAX_LABELS = 100


@dataclass(frozen=True)
class Part:
    """The samples of one split of a task.

    Attributes:
        rows: Rows of `samples.SAMPLED`, each with `place`: its place in the split, 0 to 1, and `row` within the split.
        labels: The answers of all samples; empty where each sample has options of its own.
    """

    rows: Sequence[Row]
    labels: tuple[str, ...]

    @cached_property
    def choices(self) -> list[Sequence[str]]:
        """The texts that each sample chooses from."""
        return [self.labels or row["options"] for row in self.rows]

    @cached_property
    def answers(self) -> NDArray[np.int64]:
        """The place of the right choice of each sample."""
        if self.labels:
            return np.array([self.labels.index(row["output"]) for row in self.rows], dtype=np.int64)
        return np.array([row["answer"] for row in self.rows], dtype=np.int64)

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """The number of choices of each sample."""
        return np.array([len(choices) for choices in self.choices], dtype=np.int64)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The position of each sample's first choice among the choices of all."""
        return np.cumsum(self.sizes) - self.sizes

    @cached_property
    def is_right(self) -> NDArray[np.bool_]:
        """Whether each choice of all samples is the right one."""
        right = np.zeros(int(self.sizes.sum()), dtype=np.bool_)
        right[self.starts + self.answers] = True
        return right

    @cached_property
    def texts(self) -> list[str]:
        """The text of each sample's input."""
        return [row["text"] for row in self.rows]

    def of_choices(self, values: Sequence[Any]) -> list[Any]:
        """Return a value per sample as a value per choice."""
        return [value for value, size in zip(values, self.sizes.tolist(), strict=True) for _ in range(size)]

    def flat(self) -> list[str]:
        """Return the choices of all samples, one after the other."""
        return [choice for choices in self.choices for choice in choices]

    def outputs(self) -> list[str]:
        """Return the text of each sample's answer."""
        return [row["output"] for row in self.rows]

    def named(self) -> Counter[str]:
        """Count the texts that are an answer, or a product of an input that lists products."""
        counts = Counter(self.outputs())
        for row in self.rows:
            counts.update(row["items"])
        return counts

    def right(self, scores: Scores) -> Scores:
        """Return what each sample adds to the right answers of a guesser: 1, 0, or 1/n for a tie of n choices.

        Args:
            scores: The guesser's score of each choice.
        """
        # Scores that differ only by the order of additions are a tie.
        scores = np.round(scores, 9)
        best = scores == np.repeat(np.maximum.reduceat(scores, self.starts), self.sizes)
        ties = np.add.reduceat(best.astype(np.int64), self.starts)
        return best[self.starts + self.answers] / ties

    def chance(self, train: Part) -> float:
        """Return the accuracy of chance: the better of uniform guessing and the most frequent answer of training."""
        uniform = float((1 / self.sizes).mean())
        counts = Counter(train.outputs())
        if not counts:
            return uniform
        majority = min(counts, key=lambda output: (-counts[output], output))
        return max(uniform, self.outputs().count(majority) / len(self.rows))


def labels_of(task: str, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the answers that all samples of a task choose from; none where samples have options of their own.

    Args:
        task: Name of the task.
        rows: The samples of all splits.
    """
    offered = {tuple(row["options"]) for row in rows}
    if len(offered) > 1:
        return ()
    (options,) = offered
    known = TASKS[task].labels if task in TASKS and not options else None
    return options or tuple(sorted({*(known or ()), *(row["output"] for row in rows)}))
