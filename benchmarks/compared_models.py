"""How often `caslie_model compare` errs: pairs of simulated models whose true difference is known.

python benchmarks/compared_models.py --runs 2000 --out benchmarks/results/compared_models.md

Two models answer the same samples. Samples come in units: those of one unit tend to have one gold label and to be right
or wrong together, and both models tend to be right on the same samples. Where the models are equally good, the share of
p-values below .05 should be .05; the interval should hold the true difference in .95 of the runs; and where the true
difference is the one that the table calls detectable, it should be found in .8.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caslie_model.evaluation.compare_statistics import LEVEL, mcnemar, paired_difference
from caslie_model.evaluation.metrics import Bootstrap, confusion, primary
from caslie_model.evaluation.resampling import resampled_confusions, sample_weights

LABELS = {
    "F1": (("no", "yes"), (0.35, 0.65)),
    "macro F1": (tuple("ABCDE"), (0.35, 0.1, 0.1, 0.1, 0.35)),
    "accuracy": (tuple("ABCD"), (0.4, 0.3, 0.2, 0.1)),
    "recall@1": (tuple("ABCDEFGHIJKLMNOPQRST"), (0.05,) * 20),
}
_TOGETHER = 0.6  # of a unit's samples: of one kind
_ALIKE = 0.7  # of samples: as hard for the one model as for the other


@dataclass(frozen=True)
class Setting:
    """What is simulated: the metric, samples, samples a unit, and the shares that the models have right."""

    metric: str
    samples: int
    unit: int
    one: float
    other: float


@dataclass(frozen=True)
class Errors:
    """What was found: shares of the runs, and means over them."""

    found: float
    mcnemar_found: float
    held: float
    true: float
    detectable: float


NULL = [
    Setting(metric, samples, unit, right, right)
    for metric, right in (("F1", 0.8), ("macro F1", 0.65), ("accuracy", 0.7), ("recall@1", 0.25))
    for samples, unit in ((100, 1), (100, 2), (500, 1), (500, 4))
]
UNEQUAL = [
    Setting("accuracy", 500, 1, 0.7, 0.76),
    Setting("macro F1", 500, 1, 0.65, 0.71),
    Setting("accuracy", 1000, 4, 0.7, 0.76),
    Setting("accuracy", 1000, 1, 0.7, 0.708),
]


def simulate(setting: Setting, runs: int, resamples: int = 1000, seed: int = 0) -> Errors:
    """Compare two models in many runs.

    Args:
        setting: What is simulated.
        runs: How often.
        resamples: Bootstrap resamples of each comparison.
        seed: Of everything.
    """
    generator = np.random.default_rng(seed)
    labels, _ = LABELS[setting.metric]
    # The true difference: that of very many samples.
    gold, answers = _answers(setting, 400_000, generator)
    scores = [float(primary(setting.metric, confusion(gold, each, labels), labels)) for each in answers]
    true = scores[1] - scores[0]
    units = [f"u{index // setting.unit}" for index in range(setting.samples)]
    found = held = by_mcnemar = 0
    detectable = []
    for run in range(runs):
        gold, answers = _answers(setting, setting.samples, generator)
        weights = sample_weights(units, Bootstrap(resamples, seed + run))
        resampled = [
            primary(setting.metric, resampled_confusions(weights, gold, each, labels), labels)
            for each in answers
        ]
        scores = [float(primary(setting.metric, confusion(gold, each, labels), labels)) for each in answers]
        difference = paired_difference(scores[1] - scores[0], resampled[1] - resampled[0], len(set(units)))
        right = [[label == answer for label, answer in zip(gold, each, strict=True)] for each in answers]
        pairs = list(zip(*right, strict=True))
        found += difference.p < LEVEL
        by_mcnemar += mcnemar(pairs.count((True, False)), pairs.count((False, True))) < LEVEL
        held += difference.low <= (0 if setting.one == setting.other else true) <= difference.high
        detectable.append(difference.detectable or 0.0)
    return Errors(found / runs, by_mcnemar / runs, held / runs, true, float(np.mean(detectable)))


def _answers(
    setting: Setting, samples: int, generator: np.random.Generator
) -> tuple[list[str], list[list[str]]]:
    """Return gold labels, and the answers of both models."""
    labels, shares = LABELS[setting.metric]

    def hardness() -> np.ndarray:
        of_units = generator.random(-(-samples // setting.unit)).repeat(setting.unit)[:samples]
        return np.where(generator.random(samples) < _TOGETHER, of_units, generator.random(samples))

    gold = np.searchsorted(np.cumsum(shares), hardness()).clip(max=len(labels) - 1)
    shared = hardness()
    answers = []
    for share in (setting.one, setting.other):
        own = np.where(generator.random(samples) < _ALIKE, shared, hardness())
        wrong = (gold + generator.integers(1, len(labels), samples)) % len(labels)
        answers.append([labels[index] for index in np.where(own < share, gold, wrong)])
    return [labels[index] for index in gold], answers


def report(runs: int) -> str:
    """Return all settings as Markdown.

    Args:
        runs: Of each setting.
    """
    lines = [
        "# How often a comparison errs",
        "",
        f"`python benchmarks/compared_models.py --runs {runs}`: {runs:,} runs a setting of 1,000 resamples each; the "
        f"standard error of a share of .05 is {np.sqrt(0.05 * 0.95 / runs):.3f}. Samples of one unit tend to have one "
        "label and to be right or wrong together.",
        "",
        "| metric | samples | a unit has | true difference | found (p < .05) | by McNemar | interval holds it "
        "| detectable |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for setting in (*NULL, *UNEQUAL):
        errors = simulate(setting, runs)
        true = "0" if setting in NULL else f"{errors.true:.3f}"
        lines.append(
            f"| {setting.metric} | {setting.samples} | {setting.unit} | {true} | {errors.found:.3f} | "
            f"{errors.mcnemar_found:.3f} | {errors.held:.3f} | {errors.detectable:.3f} |"
        )
        print(lines[-1], flush=True)
    return "\n".join([*lines, ""])


def main() -> None:
    """Simulate and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    text = report(arguments.runs)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
