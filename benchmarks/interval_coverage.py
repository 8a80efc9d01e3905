"""How often do the 95 % intervals of an evaluation hold the true value?

    python benchmarks/interval_coverage.py [--repetitions 4000] [--processes 2] [--out NAME]

Answers are sampled from populations whose accuracy, F1 and macro F1 are known. In each population a label has a chance
of its own to be answered rightly, errors go to other labels, and 5 % of them are no answer. Samples are independent, or
come in clusters of 1 to 5, or 1 to 15, of which each sample takes question and answer from its cluster with a chance of
a half: the correlation within clusters is .25. The coverage of the interval is shown beside that of the percentiles of
400 resamples of clusters, and of rows.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from caslie_model.evaluation.intervals import (
    FEW_ROWS,
    FEW_UNITS,
    Cells,
    estimate_cells,
    mean_share,
    metric_shares,
)
from caslie_model.evaluation.metrics import Bootstrap, Floats, primary
from caslie_model.evaluation.resampling import sample_weights

RESULTS = Path(__file__).parent / "results" / "interval_coverage"
AIM = 0.93
RESAMPLES = 400
# The percentiles are looked at in so many of the repetitions: a standard error of .01 shows what they lack.
COMPARED = 1000
CORRELATION = 0.25
# Rows of a cluster at most: independent rows, clusters, and large ones.
CLUSTERS = (1, 5)
LARGE_CLUSTER = 15
SEED = 1


@dataclass(frozen=True)
class Case:
    """A population, and how it is sampled.

    Attributes:
        classes: Number of labels.
        skewed: Whether the labels are of unequal frequency (of two: .9 and .1).
        accuracy: Chance of a right answer, averaged over the labels.
        cluster: Rows of a cluster at most; 1: samples are independent.
        rows: Number of samples.
    """

    classes: int
    skewed: bool
    accuracy: float
    cluster: int
    rows: int

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels; of two, yes is the rarer one."""
        return ("no", "yes") if self.classes == 2 else tuple(f"{i:02}" for i in range(self.classes))

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that are looked at."""
        return ("accuracy", "macro F1", *(["F1"] if self.classes == 2 else []))

    def chances(self) -> Floats:
        """Return the chance of each right and given answer [L, L + 1]."""
        size = self.classes
        there = np.ones(size)
        if self.skewed:
            there = np.array([0.9, 0.1]) if size == 2 else 1 / np.arange(1, size + 1) ** 1.3
        there = there / there.sum()
        right = self.accuracy + (1 - self.accuracy) / 2 * np.linspace(1, -1, size)
        others = np.tile(there / 2 + 0.5 / size, (size, 1))
        np.fill_diagonal(others, 0)
        others *= ((1 - right) / others.sum(axis=1))[:, None]
        no_answer = np.zeros(size) if size == 2 else 0.05 * (1 - right)
        result = np.column_stack([others * (1 if size == 2 else 0.95), no_answer])
        result[range(size), range(size)] = right
        return np.asarray(result * there[:, None])


def cases() -> Iterator[Case]:
    """Yield all cases, from the smallest on."""
    populations = list(product((2, 3, 5, 20), (False, True), (0.6, 0.9)))
    for population, cluster, rows in product(populations, CLUSTERS, (50, 100, 500)):
        yield Case(*population, cluster, rows)
    for population, rows in product(populations, (500, 100)):
        yield Case(*population, LARGE_CLUSTER, rows)


def sample_cells(
    case: Case, chances: Floats, generator: np.random.Generator
) -> tuple[Cells, npt.NDArray[np.intp]]:
    """Return the cell of the confusion matrix and the cluster of each of the case's rows."""
    own = generator.choice(chances.size, case.rows, p=chances.reshape(-1))
    if case.cluster == 1:
        return own, np.arange(case.rows)
    sizes = generator.integers(1, case.cluster + 1, case.rows)
    cluster = np.repeat(np.arange(case.rows), sizes)[: case.rows]
    shared = generator.choice(chances.size, cluster[-1] + 1, p=chances.reshape(-1))
    takes = generator.random(case.rows) < math.sqrt(CORRELATION)
    return np.where(takes, shared[cluster], own), cluster


@cache
def unit_weights(count: int) -> Floats:
    """Return how often each of so many units is in each resample."""
    units = [f"{i:04}" for i in range(count)]
    return sample_weights(units, Bootstrap(RESAMPLES, SEED)).astype(np.float64)


def percentiles(metric: str, cells: Cells, unit_of: npt.NDArray[np.intp], case: Case) -> tuple[float, float]:
    """Return the percentile interval over resamples of units."""
    above, below, _ = metric_shares(metric, cells, unit_of, case.labels)
    weights = unit_weights(len(above))
    low, high = np.percentile(mean_share(weights @ above, weights @ below), [2.5, 97.5])
    return float(low), float(high)


def simulate(case: Case, repetitions: int, compared: int = 0) -> list[dict[str, Any]]:
    """Return the coverage of each metric's intervals.

    Args:
        case: The population.
        repetitions: How often it is sampled.
        compared: In how many of these to look at the percentiles of the bootstrap, too.

    Returns:
        A row a metric.
    """
    chances = case.chances()
    clusters = (*CLUSTERS, LARGE_CLUSTER).index(case.cluster)
    numbers = (case.classes, case.skewed, case.accuracy, clusters, case.rows)
    generator = np.random.default_rng([SEED, *(round(100 * float(number)) for number in numbers)])
    truth = {metric: float(primary(metric, chances, case.labels)) for metric in case.metrics}
    held = {(m, w): 0 for m in case.metrics for w in ("interval", "bootstrap", "rows")}
    width = dict.fromkeys(case.metrics, 0.0)
    units = 0
    for number in range(repetitions):
        cells, cluster = sample_cells(case, chances, generator)
        units += int(cluster[-1]) + 1
        for metric, value in truth.items():
            low, high = estimate_cells(metric, cells, cluster, case.labels).interval
            found = {"interval": (low, high)}
            width[metric] += high - low
            if number < compared:
                found["bootstrap"] = percentiles(metric, cells, cluster, case)
                found["rows"] = percentiles(metric, cells, np.arange(case.rows), case)
            for way, (lower, upper) in found.items():
                held[metric, way] += lower <= value <= upper
    rarest = float(chances.sum(axis=1).min() * case.rows)
    rows = []
    for metric, value in truth.items():
        share = held[metric, "interval"] / repetitions
        notes = [
            *([f"a class of {rarest:.1f} rows"] if metric != "accuracy" and rarest < FEW_ROWS - 1e-9 else []),
            *([f"{units / repetitions:.0f} units"] if units / repetitions < FEW_UNITS else []),
            *(["50 rows"] if case.rows == 50 else []),
        ]
        rows.append(
            {
                **asdict(case),
                "metric": metric,
                "true": round(value, 4),
                "rarest_class_rows": round(rarest, 1),
                "units": round(units / repetitions, 1),
                "coverage": round(share, 4),
                "standard_error": round(math.sqrt(share * (1 - share) / repetitions), 4),
                "width": round(width[metric] / repetitions, 4),
                "bootstrap_coverage": round(held[metric, "bootstrap"] / compared, 4) if compared else None,
                "rows_bootstrap_coverage": round(held[metric, "rows"] / compared, 4) if compared else None,
                "marked": "; ".join(notes),
            }
        )
    return rows


def page(result: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    rows = result["rows"]
    expected = [row for row in rows if not row["marked"]]
    lowest = min(expected, key=lambda row: row["coverage"])
    short = [row for row in expected if row["coverage"] < AIM]
    large = [row for row in rows if row["cluster"] == LARGE_CLUSTER]
    lines = [
        "# Coverage of 95 % intervals",
        "",
        f"`python benchmarks/interval_coverage.py --repetitions {result['repetitions']}`, seed {SEED}; "
        f"{result['seconds'] / 60:.0f} minutes in {result['processes']} processes. The standard error of a coverage "
        f"is at most {max(row['standard_error'] for row in rows):.4f}; the bootstrap was looked at in the first "
        f"{result['compared']:,} repetitions.{result.get('note', '')}",
        "",
        f"Of {len(expected)} unmarked rows {len(short)} are below {AIM}; the lowest is {lowest['coverage']:.3f}. "
        f"The percentile bootstrap of clusters is below {AIM} in "
        f"{sum(row['bootstrap_coverage'] < AIM for row in expected)} of them (lowest "
        f"{min(row['bootstrap_coverage'] for row in expected):.3f}), that of rows in "
        f"{sum(row['rows_bootstrap_coverage'] < AIM for row in expected)} (lowest "
        f"{min(row['rows_bootstrap_coverage'] for row in expected):.3f}). Marked rows have 50 rows, a class of fewer "
        f"than {FEW_ROWS} expected rows (F1 and macro F1), or fewer than {FEW_UNITS} units. Of the {len(large)} rows "
        f"with clusters of up to {LARGE_CLUSTER} rows, marked or not, "
        f"{sum(row['coverage'] < AIM for row in large)} are below {AIM} "
        f"(lowest {min((row['coverage'] for row in large), default=1.0):.3f}).",
        "",
        "| classes | frequency | accuracy | clusters | n | metric | true | rarest class | coverage | width | "
        "bootstrap | bootstrap of rows | marked |",
        "|--:|---|--:|---|--:|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['classes']} | {'skewed' if row['skewed'] else 'balanced'} | {row['accuracy']} | "
            f"{'1 to ' if row['cluster'] > 1 else ''}{row['cluster']} | {row['rows']} | {row['metric']} | "
            f"{row['true']:.3f} | {row['rarest_class_rows']:.1f} | {row['coverage']:.3f} | {row['width']:.3f} | "
            f"{row['bootstrap_coverage']:.3f} | {row['rows_bootstrap_coverage']:.3f} | {row['marked']} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    """Simulate all cases and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=4000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    start = time.monotonic()
    compared = min(COMPARED, options.repetitions)
    rows = []
    with ProcessPoolExecutor(options.processes) as pool:
        every = list(cases())
        found = pool.map(simulate, every, [options.repetitions] * len(every), [compared] * len(every))
        for case, more in zip(every, found, strict=True):
            rows += more
            print(case, [row["coverage"] for row in more], flush=True)
    result = {
        "repetitions": options.repetitions,
        "compared": compared,
        "resamples": RESAMPLES,
        "processes": options.processes,
        "correlation": CORRELATION,
        "seconds": round(time.monotonic() - start),
        "rows": rows,
    }
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(page(result))


if __name__ == "__main__":
    main()
