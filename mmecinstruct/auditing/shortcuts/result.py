"""The result of the guessers: accuracy, chance and what is a finding."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

# Splits with rows of fewer users, queries or articles are not guessed: the interval would span half of all accuracies.
MIN_ROWS = 30

# Blind guessers, with what each does.
BLIND: dict[str, str] = {
    "first_option": "takes the first option",
    "position": "takes the letter that is right most often in training",
    "longest_option": "takes the longest option",
    "shortest_option": "takes the shortest option",
    "popularity": "takes the option that training answers and histories name most often",
    "reverse_popularity": "takes the option that training answers and histories name least often",
    "options_alone": "rates each option by its words: TF-IDF and logistic regression",
    "image_size": "knows number, width and height of the images",
    "file_length": "knows number and bytes of the image files",
    "source": "knows the source",
    "instruction": "knows which instruction was taken",
    "order": "knows the place in the file",
}
# Guessers that read the input; they are never findings.
TEXT_BASELINES: dict[str, str] = {
    "input_alone": "reads the input, not the options: TF-IDF",
    "overlap": "takes the option that shares most words with the input",
    "everything": "reads instruction, input and options: TF-IDF and logistic regression",
}
GUESSERS = {**BLIND, **TEXT_BASELINES}


@dataclass(frozen=True)
class Guess:
    """What one guesser scored on one split of a task.

    Attributes:
        task: Name of the task.
        split: Name of the split.
        guesser: A key of GUESSERS.
        rows: Number of guessed samples.
        units: Number of users, queries or articles that they are of.
        accuracy: Share of right answers, 0 to 1; a tie of n options counts 1/n.
        lower: Lower end of the 95 % Wilson interval of the accuracy, over the units: rows of one are not independent.
        chance: The better of uniform guessing and the most frequent answer of the training samples.
        finding: A blind guesser whose `lower` exceeds `chance` by more than the tolerance.
    """

    task: str
    split: str
    guesser: str
    rows: int
    units: int
    accuracy: float
    lower: float
    chance: float
    finding: bool

    @property
    def is_blind(self) -> bool:
        """Whether the guesser should know nothing."""
        return self.guesser in BLIND


@dataclass(frozen=True)
class Unguessed:
    """A split of a task that was not guessed.

    Attributes:
        task: Name of the task.
        split: Name of the split.
        why: Why not.
    """

    task: str
    split: str
    why: str


@dataclass(frozen=True)
class Shortcuts:
    """The results of all guessers.

    Attributes:
        guesses: One per task, split and guesser.
        unguessed: Splits without a result.
    """

    guesses: tuple[Guess, ...] = ()
    unguessed: tuple[Unguessed, ...] = ()

    @property
    def findings(self) -> list[Guess]:
        """The guesses of blind guessers that exceed chance."""
        return [guess for guess in self.guesses if guess.finding]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "findings": len(self.findings),
            "guesses": [{**asdict(guess), "blind": guess.is_blind} for guess in self.guesses],
            "unguessed": [asdict(part) for part in self.unguessed],
        }

    def summary(self) -> dict[str, Any]:
        """Return, per task and split, chance and the best guessers of both kinds; and the findings."""
        parts: dict[tuple[str, str], list[Guess]] = {}
        for guess in self.guesses:
            parts.setdefault((guess.task, guess.split), []).append(guess)
        return {
            "parts": [
                {
                    "task": task,
                    "split": split,
                    "rows": guesses[0].rows,
                    "chance": guesses[0].chance,
                    "blind": _best(guess for guess in guesses if guess.is_blind),
                    "text": _best(guess for guess in guesses if not guess.is_blind),
                }
                for (task, split), guesses in parts.items()
            ],
            "findings": [{**asdict(guess), "means": GUESSERS[guess.guesser]} for guess in self.findings],
            "unguessed": [asdict(part) for part in self.unguessed],
        }


def _best(guesses: Any) -> dict[str, Any] | None:
    found = max(guesses, key=lambda guess: guess.accuracy, default=None)
    return None if found is None else {"guesser": found.guesser, "accuracy": found.accuracy}


def guess_line(guess: Guess) -> str:
    """Return what a guesser scored, in one line for a person."""
    return (
        f"a guesser that {GUESSERS[guess.guesser]} is right on {guess.accuracy:.3f} of {guess.rows} rows, "
        f"chance on {guess.chance:.3f}"
    )


def make_guess(
    task: str, split: str, guesser: str, right: float, rows: int, units: int, chance: float, tolerance: float
) -> Guess:
    """Return a guess with its interval, all figures rounded to three digits.

    Args:
        task: Name of the task.
        split: Name of the split.
        guesser: A key of GUESSERS.
        right: Number of right answers; shares of ties make it a fraction.
        rows: Number of guessed samples.
        units: Number of users, queries or articles that they are of.
        chance: Accuracy of chance, 0 to 1.
        tolerance: What the lower end of the interval may exceed chance by.
    """
    lower, chance = round(wilson_lower(right / rows, units), 3), round(chance, 3)
    finding = guesser in BLIND and round(lower - chance - tolerance, 6) > 0
    return Guess(task, split, guesser, rows, units, round(right / rows, 3), lower, chance, finding)


def wilson_lower(share: float, rows: int) -> float:
    """Return the lower end of the 95 % Wilson score interval of a share.

    Args:
        share: Observed share, 0 to 1.
        rows: Number of observations.
    """
    z = 1.959963984540054
    middle = share + z * z / (2 * rows)
    spread = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return max(0.0, (middle - spread) / (1 + z * z / rows))
