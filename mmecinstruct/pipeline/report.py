"""The report of a build, for a person and for statistics.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmecinstruct.auditing import AuditReport
from mmecinstruct.core.parquet import read_parts
from mmecinstruct.engine.stage import REJECTIONS_FILE, StageOutput
from mmecinstruct.schemas.rejections import count_reasons
from mmecinstruct.stages.locate_images import TAKEN_DOWN


@dataclass(frozen=True)
class BuildReport:
    """The results of a build.

    Attributes:
        out: the dataset folder.
        up_to_date: the folder was there already; nothing was written.
        stages: of each stage, in order, its records in, kept, rejected and not sampled.
        measured: counts of single stages beside rows.
        sizes: task -> split -> samples wanted, available and chosen, with a note.
        missing: task that was not built -> why.
        audit: the content that splits share; None where nothing was written.
        fetched: URLs that this build asked for, by their outcome.
        left_out: sources that the recipe's licences do not allow, with why.
        warnings: what may not be passed on, or could not be honoured.
        taken_down: stage -> records that the takedown list kept out.
        truncated: raw files that ended too early, and where.
    """

    out: Path
    up_to_date: bool = False
    stages: Sequence[Mapping[str, Any]] = ()
    measured: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sizes: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    missing: Mapping[str, Sequence[str]] = field(default_factory=dict)
    audit: AuditReport | None = None
    fetched: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    taken_down: Mapping[str, int] = field(default_factory=dict)
    truncated: Sequence[str] = ()


def stage_rows(outputs: Sequence[StageOutput]) -> list[dict[str, Any]]:
    """Return the counted records of each stage."""
    return [
        {
            "stage": output.name,
            "records": output.records,
            "kept": output.kept,
            "rejected": output.rejected,
            **({"not_sampled": output.not_sampled} if output.not_sampled else {}),
        }
        for output in outputs
    ]


def measured(outputs: Sequence[StageOutput], synthetic_files: int) -> dict[str, dict[str, Any]]:
    """Return what stages `sample`, `hygiene` and `deduplicate` counted, and how many raw files are synthetic."""
    found = {output.name: output for output in outputs}
    masked: Counter[str] = Counter()
    for counts in found["hygiene"].extra.values():
        masked.update(counts["masked"])
    hygiene = {
        "records": found["hygiene"].records,
        "masked": dict(sorted(masked.items())),
        "profane": sum(counts["profane"] for counts in found["hygiene"].extra.values()),
        "names": found["curate_products"].extra["all"]["names"],
        "queries": found["curate_judgements"].extra["all"]["queries"],
    }
    return {
        **({"sampling": found["sample"].extra["all"]} if "sample" in found else {}),
        "hygiene": hygiene,
        "duplicates": found["deduplicate"].extra["all"],
        **({"miniature": {"files": synthetic_files}} if synthetic_files else {}),
    }


def taken_down(outputs: Sequence[StageOutput]) -> dict[str, int]:
    """Return how many records of each stage the takedown list kept out."""
    counts = {output.name: count_rejections([output])[TAKEN_DOWN] for output in outputs}
    return {name: count for name, count in counts.items() if count}


def count_rejections(outputs: Sequence[StageOutput]) -> Counter[str]:
    """Return the number of rejected rows per reason, over all stages given."""
    counts: Counter[str] = Counter()
    for output in outputs:
        for path in output.files(REJECTIONS_FILE):
            for part in read_parts(path, ["reason"]):
                counts.update(count_reasons(part))
    return counts


def truncated_files(parsed: Sequence[StageOutput]) -> list[str]:
    """Return which raw files ended too early, and where."""
    return [
        line for output in parsed for counts in output.extra.values() for line in counts.get("truncated", ())
    ]
