"""Problems of a dataset folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

# Problems of one reason in one file; further ones are counted.
SHOWN_PER_REASON = 20


@dataclass(frozen=True)
class Problem:
    """One problem of a dataset folder.

    Attributes:
        file: Path below the folder.
        row: Number of the row within the file, from 0; None where the problem concerns no row.
        sample_id: Id of the sample; empty where the problem concerns no sample.
        reason: Machine-readable, snake_case.
        detail: For a person.
    """

    file: str
    row: int | None
    sample_id: str
    reason: str
    detail: str

    def __str__(self) -> str:
        position = self.file if self.row is None else f"{self.file} row {self.row}"
        sample = f" (sample {self.sample_id})" if self.sample_id else ""
        return f"{position}{sample}: {self.reason}: {self.detail}"


def format_problems(problems: Sequence[Problem]) -> str:
    """Return one line per problem."""
    return "\n".join(str(problem) for problem in problems)


@dataclass
class ProblemLog:
    """Problems in the order found; of one reason in one file only the first are kept."""

    found: list[Problem] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, file: str, reason: str, detail: str, row: int | None = None, sample_id: str = "") -> None:
        """Add a problem; further ones of one reason in one file are counted."""
        # Names of files may hold bytes that no terminal shows.
        file, detail = (text.encode(errors="replace").decode() for text in (file, detail))
        self.counts[file, reason] += 1
        if self.counts[file, reason] <= SHOWN_PER_REASON:
            self.found.append(Problem(file, row, sample_id, reason, " ".join(detail.split())[:300]))

    def problems(self) -> list[Problem]:
        """Return the problems, and how many more of a reason there are."""
        more = [
            Problem(file, None, "", reason, f"{count - SHOWN_PER_REASON} more")
            for (file, reason), count in self.counts.items()
            if count > SHOWN_PER_REASON
        ]
        return self.found + more
