"""`judge=utility`: a predictor of what a caption does for the right answer, which sees no right answer of its own row.

The utility of a caption is u = log p(right answer | text, caption) − log p(right answer | text). It is measured on rows
of training and validation alone, and teaches a small predictor there. The predictor decides about all rows, about those
too that it was taught with: each by a predictor that has seen no row of the same group. So captions of training are
chosen by what chooses captions of test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from caslie_model.captions.asking import ask_judge
from caslie_model.captions.decisions import Decision, Decisions, JudgedCaption, Place
from caslie_model.captions.utility_features import AskedCaption, Probabilities, features_of, most_likely
from caslie_model.captions.utility_folds import fold_samples
from caslie_model.captions.utility_predictor import Lesson, cross_fit
from caslie_model.config.judging import JudgeConfig
from caslie_model.data.samples import Sample, first_by_hash
from caslie_model.errors import ConfigError
from caslie_model.hub.public_names import public_name
from caslie_model.inference.questions import Question
from caslie_model.runtime.console import say

# Smaller changes are none: the right answer becomes 10 % more or less probable. Rounding of another batch size changes
# a log-likelihood by less than a hundredth of this.
LEAST_EFFECT = 0.1
TAUGHT_BY = ("train", "validation")


def decide_by_utility(config: JudgeConfig, items: Sequence[JudgedCaption], root: Path) -> Decisions:
    """Decide by a predictor of utility, which is taught by a language model.

    Args:
        config: The settings; the first of `judges` is the language model.
        items: All captions.
        root: The folder that `captions/` lies in.

    Returns:
        A decision for each caption: kept above `threshold`, by the probability that it helps, given that it helps or
        harms. A caption about which the model gave no likelihoods is not kept.

    Raises:
        ConfigError: If no row of training or validation is there to teach.
        MmecError: If the model cannot be asked.
    """
    if not any(item.sample.split in TAUGHT_BY for item in items):
        raise ConfigError(
            "judge=utility learns from rows of train and validation, and there are no captions of them among "
            f"{', '.join(config.splits)}; caption and judge these splits too"
        )
    asked = _asked(config, items, root)
    measured = _measured(config, items, asked)
    folds = fold_samples([item.sample for item in items], config.folds, config.seed)
    features = {place: features_of(each) for place, each in asked.items()}
    predictors = cross_fit(
        [
            Lesson(features[place], utility > 0, folds.of[place[0]], 1 / len(asked[place].sample.image_roles))
            for place, utility in sorted(measured.items())
            if abs(utility) > LEAST_EFFECT
        ],
        config.folds,
    )
    for reason in dict.fromkeys(each.why_constant for each in predictors if each.why_constant):
        say(f"utility: all captions of a fold get the same probability: {reason}")
    decided = {}
    for item in items:
        place = item.place
        if place not in asked:
            decided[place] = Decision(False)
            continue
        score = predictors[folds.of[place[0]]].probability(features[place])
        utility = measured.get(place)
        decided[place] = Decision(
            score > config.threshold,
            round(score, 6),
            utility=utility,
            effect=None if utility is None else effect_of(utility, asked[place]),
        )
    return Decisions(
        decided,
        {
            "rule": f"more probably helpful than harmful, by a predictor (threshold {config.threshold:g})",
            **_settings(config),
            "folds": config.folds,
            "measured": config.measured,
        },
    )


def decide_by_right_answer(config: JudgeConfig, items: Sequence[JudgedCaption], root: Path) -> Decisions:
    """Keep the captions that raise the likelihood of the right answer: an ablation that reads the answers of all rows.

    Args:
        config: The settings; the first of `judges` is the language model.
        items: All captions.
        root: The folder that `captions/` lies in.

    Returns:
        A decision for each caption.

    Raises:
        MmecError: If the model cannot be asked.
    """
    asked = _asked(config, items, root)
    decided = {}
    for item in items:
        if item.place not in asked:
            decided[item.place] = Decision(False)
            continue
        utility = utility_of(asked[item.place])
        decided[item.place] = Decision(
            utility > 0, utility=utility, effect=effect_of(utility, asked[item.place])
        )
    return Decisions(
        decided, {"rule": "chosen by the right answer: an ablation, not a result", **_settings(config)}
    )


def utility_of(asked: AskedCaption) -> float:
    """Return by how much a caption raises the log-likelihood of the right answer among the allowed ones.

    Args:
        asked: The caption.
    """
    right = asked.sample.output
    return round(math.log(asked.shown[right]) - math.log(asked.alone[right]), 4)


def effect_of(utility: float, asked: AskedCaption) -> str:
    """Return what a caption is: helpful, harmful, redundant (the text alone has the right answer) or useless.

    Args:
        utility: Its utility.
        asked: The caption.
    """
    if abs(utility) > LEAST_EFFECT:
        return "helpful" if utility > 0 else "harmful"
    return "redundant" if most_likely(asked.alone) == asked.sample.output else "useless"


def _asked(config: JudgeConfig, items: Sequence[JudgedCaption], root: Path) -> dict[Place, AskedCaption]:
    """Return the captions with the model's answers; those that it did not answer are left out."""
    ordered = sorted(items, key=lambda item: item.place)
    samples = list({item.sample.id: item.sample for item in ordered}.values())
    questions = [Question(sample) for sample in samples]
    questions += [
        Question(_with_one(item.sample, item.position, item.caption), variant=f"caption {item.position}")
        for item in ordered
    ]
    answers = [
        _probabilities(each) for each in ask_judge(config, config.judges[0], questions, root, "likelihood")
    ]
    alone = {sample.id: answer for sample, answer in zip(samples, answers, strict=False)}
    asked = {}
    for item, shown in zip(ordered, answers[len(samples) :], strict=True):
        without = alone[item.sample.id]
        if without is not None and shown is not None:
            asked[item.place] = AskedCaption(item.sample, item.position, item.caption, without, shown)
    if len(asked) < len(items):
        say(
            f"utility: {len(items) - len(asked)} of {len(items)} captions have no likelihoods and are not kept; run "
            "again to ask about them"
        )
    return asked


def _with_one(sample: Sample, position: int, caption: str) -> Sample:
    """Return a sample with the caption of one of its images alone."""
    shown = [None] * len(sample.image_roles)
    return replace(sample, captions=(*shown[:position], caption, *shown[position + 1 :]))


def _probabilities(answer: Mapping[str, Any] | None) -> Probabilities | None:
    """Return the probabilities among the allowed answers, None where the likelihood of one is not known."""
    scores: Mapping[str, float | None] = (answer or {}).get("scores") or {}
    known = {label: value for label, value in scores.items() if value is not None}
    if not scores or len(known) < len(scores):
        return None
    largest = max(known.values())
    # A probability of 0 would make a utility infinite.
    parts = {label: max(math.exp(value - largest), 1e-12) for label, value in known.items()}
    total = math.fsum(parts.values())
    return {label: part / total for label, part in parts.items()}


def _measured(
    config: JudgeConfig, items: Sequence[JudgedCaption], asked: Mapping[Place, AskedCaption]
) -> dict[Place, float]:
    """Return the utility of captions of training and validation, of `measured` samples a task at most."""
    teachers: dict[str, dict[str, Sample]] = {}
    for item in items:
        if item.sample.split in TAUGHT_BY:
            teachers.setdefault(item.sample.task, {})[item.sample.id] = item.sample
    chosen = {
        sample.id
        for found in teachers.values()
        for sample in first_by_hash(found.values(), config.measured, config.seed, "measured by a judge")
    }
    return {place: utility_of(each) for place, each in asked.items() if place[0] in chosen}


def _settings(config: JudgeConfig) -> dict[str, Any]:
    return {
        "judges": [public_name(name) for name in config.judges],
        "least_effect": LEAST_EFFECT,
        "seed": config.seed,
    }
