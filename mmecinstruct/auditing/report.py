"""The result of an audit: the checks, the overlaps of splits with examples, and the guessers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from mmecinstruct.auditing.shortcuts import Guess, Shortcuts
from mmecinstruct.schemas.samples import SPLITS
from mmecinstruct.version import __version__

if TYPE_CHECKING:
    import pandas as pd

REPORT_VERSION = 1

# Kinds of overlap in the order of the report, with what each means.
KINDS: dict[str, str] = {
    "product": "the same product id",
    "cluster": "a product of the same near-duplicate cluster",
    "variant": "another variant of one article: the same group, else a title that differs in two words at most",
    "user": "the same user",
    "query": "a query of the same words",
    "query_id": "the same query id",
    "image_url": "an image of the same URL",
    "image_bytes": "an image with the same bytes",
    "image_pixels": "an image with the same pixels, stored in other bytes",
    "image_near": "an image that looks nearly the same",
    "title_identical": "a product title of the same words",
    "title_near": "a product title of nearly the same words",
    "text_identical": "a question, review or snippet of the same words",
    "text_near": "a question, review or snippet of nearly the same words",
    "category": "test_ood only: a category that training rows of the task have",
}
CHECKED, PARTLY_CHECKED, NO_VALUES, NOT_CHECKED = (
    *("checked", "partly checked", "no values", "not checked"),
)
WITHIN, ACROSS, BY_DESIGN = "within a task", "across tasks", "by design"


@dataclass(frozen=True)
class Check:
    """The status of one kind of overlap.

    Attributes:
        kind: The kind, a key of KINDS.
        status: checked, partly checked, no values (in any row) or not checked.
        values: Distinct ids, images or texts that were compared.
        note: What was not checked and why.
    """

    kind: str
    status: str
    values: int
    note: str = ""


@dataclass(frozen=True)
class Example:
    """One sample of the later split and one of the earlier split, and what they share.

    Attributes:
        task: Task of the later sample.
        sample: Its id, or its file and row where it has none.
        place: Field of the input, or role and product of the image; empty for other kinds.
        other_task: Task of the earlier sample.
        other_sample: Its id, or its file and row where it has none.
        other_place: As `place`, of the earlier sample.
        shared: The shared value, for a person.
    """

    task: str
    sample: str
    place: str
    other_task: str
    other_sample: str
    other_place: str
    shared: str


@dataclass(frozen=True)
class Finding:
    """Samples of one task's later split that share something with the earlier split.

    Attributes:
        kind: The kind of overlap, a key of KINDS.
        earlier: The earlier split.
        later: The later split.
        task: The task of the samples.
        scope: within a task, across tasks or by design.
        samples: Number of affected samples of the later split.
        of: Number of samples of the task's later split.
        tolerance: The largest tolerated share, 0 to 1.
        examples: Examples of affected samples.
    """

    kind: str
    earlier: str
    later: str
    task: str
    scope: str
    samples: int
    of: int
    tolerance: float
    examples: tuple[Example, ...] = ()

    @property
    def share(self) -> float:
        """The affected share of the task's later split, 0 to 1."""
        return self.samples / self.of

    @property
    def exceeds(self) -> bool:
        """Whether the share is above the tolerance."""
        return self.share > self.tolerance


@dataclass(frozen=True)
class AuditReport:
    """The result of an audit.

    Attributes:
        rows: Samples by task and split.
        checks: The status of each kind of overlap.
        findings: The overlaps per kind, pair of splits, task and scope.
        totals: Affected samples of all tasks, each once, by (kind, scope, earlier split, later split).
        settings: The settings of the audit.
        unread: Parquet files of the folder that are not samples of a known split.
        guessed: What the guessers scored; None where the settings leave them out.
    """

    rows: dict[str, dict[str, int]]
    checks: tuple[Check, ...]
    findings: tuple[Finding, ...]
    totals: dict[tuple[str, str, str, str], int]
    settings: dict[str, Any] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    guessed: Shortcuts | None = None

    @property
    def shortcuts(self) -> list[Guess]:
        """The blind guessers that exceed chance by more than the tolerance."""
        return [] if self.guessed is None else self.guessed.findings

    @property
    def exceeded(self) -> list[Finding]:
        """The overlaps above their tolerance."""
        return [finding for finding in self.findings if finding.exceeds]

    @property
    def unchecked(self) -> list[Check]:
        """The kinds of overlap that were not checked, at least in part of the folder."""
        return [check for check in self.checks if check.status in (NOT_CHECKED, PARTLY_CHECKED)]

    @property
    def proves_nothing(self) -> bool:
        """Whether no kind was checked, because the files lack all columns that are compared."""
        return all(check.status == NOT_CHECKED for check in self.checks)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs of splits that the folder has, earlier first."""
        present = [split for split in SPLITS if any(split in splits for splits in self.rows.values())]
        return [(a, b) for position, a in enumerate(present) for b in present[position + 1 :]]

    @property
    def table(self) -> pd.DataFrame:
        """The findings, one a row, without their examples."""
        import pandas as pd

        columns = (
            *("kind", "scope", "task", "earlier", "later"),
            *("samples", "of", "share", "tolerance", "exceeds"),
        )
        rows = [[getattr(finding, name) for name in columns] for finding in self.findings]
        return pd.DataFrame(rows, columns=list(columns))

    @property
    def guesses(self) -> pd.DataFrame:
        """What every guesser scored on every task and split, one a row."""
        import pandas as pd

        columns = [field.name for field in fields(Guess)]
        return pd.DataFrame(
            [astuple(guess) for guess in self.guessed.guesses] if self.guessed else [], columns=columns
        )

    def split_rows(self, split: str) -> int:
        """Return the number of samples of a split, over all tasks."""
        return sum(splits.get(split, 0) for splits in self.rows.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the whole report as plain values; the same folder and settings give the same content."""
        return {
            "audit_version": REPORT_VERSION,
            "project_version": __version__,
            "settings": self.settings,
            "rows": self.rows,
            "unread_files": list(self.unread),
            "exceeded": len(self.exceeded),
            "checks": [asdict(check) for check in self.checks],
            "totals": [
                {
                    "kind": kind,
                    "scope": scope,
                    "earlier": earlier,
                    "later": later,
                    "samples": samples,
                    "share": round(samples / self.split_rows(later), 6),
                }
                for (kind, scope, earlier, later), samples in self.totals.items()
            ],
            "findings": [
                {**asdict(finding), "share": round(finding.share, 6), "exceeds": finding.exceeds}
                for finding in self.findings
            ],
            "shortcuts": None if self.guessed is None else self.guessed.as_dict(),
        }

    def to_json(self) -> str:
        """Return the whole report as JSON."""
        return json.dumps(self.as_dict(), indent=1, ensure_ascii=False) + "\n"

    def summary(self) -> dict[str, Any]:
        """Return the counts without examples, for the card and the statistics."""
        return {
            "pairs": [list(pair) for pair in self.pairs],
            "lines": [
                {
                    "kind": kind,
                    "means": KINDS[kind],
                    "scope": scope,
                    "samples": [self._cell(kind, scope, *pair) for pair in self.pairs],
                }
                for kind, scope in summary_lines(self)
            ],
            "checks": {
                check.kind: {
                    "means": KINDS[check.kind],
                    "status": check.status,
                    "values": check.values,
                    "note": check.note,
                }
                for check in self.checks
            },
            "exceeded": [
                {
                    "kind": finding.kind,
                    "means": KINDS[finding.kind],
                    "scope": finding.scope,
                    "task": finding.task,
                    "earlier": finding.earlier,
                    "later": finding.later,
                    "samples": finding.samples,
                    "of": finding.of,
                }
                for finding in self.exceeded
            ],
            "shortcuts": None if self.guessed is None else self.guessed.summary(),
        }

    def _cell(self, kind: str, scope: str, earlier: str, later: str) -> int:
        return self.totals.get((kind, scope, earlier, later), 0)


def summary_lines(report: AuditReport) -> list[tuple[str, str]]:
    """Return the (kind, scope) lines of a summary: both strict scopes of every checked kind, and overlaps by design."""
    lines: list[tuple[str, str]] = []
    by_design = {kind for kind, scope, _, _ in report.totals if scope == BY_DESIGN}
    for check in report.checks:
        if check.status in (CHECKED, PARTLY_CHECKED):
            scopes: Sequence[str] = [WITHIN] if check.kind == "category" else [WITHIN, ACROSS]
            lines += [(check.kind, scope) for scope in scopes]
            lines += [(check.kind, BY_DESIGN)] if check.kind in by_design else []
    return lines
