"""`judge=utility`: a predictor of what a caption does for the right answer, which sees no right answer of its own row.

The utility of a caption is u = log p(right answer | text, caption) − log p(right answer | text). It is measured on rows
of training and validation alone, and teaches a small predictor there. The predictor decides about all rows, about those
too that it was taught with: each by a predictor that has seen no row of the same group. So captions of training are
chosen by what chooses captions of test.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from caslie_model.captions.asking import ask_judge
from caslie_model.captions.decisions import Decision, Decisions, JudgedCaption, Place
from caslie_model.captions.utility_features import Answers, Probabilities, features_of, most_likely
from caslie_model.captions.utility_folds import Folds, fold_samples
from caslie_model.captions.utility_predictor import Lesson, Predictor, cross_fit
from caslie_model.captions.utility_report import in_words, report_of
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
    teaching = _teaching(config, items)
    answers = _answers(config, _asked_about(config, items), root)
    measured = {
        item.place: utility_of(answers[item.place], item.sample.output)
        for item in items
        if item.sample.id in teaching and item.place in answers
    }
    folds = fold_samples([item.sample for item in items], config.folds, config.seed)
    known = {
        item.place: features_of(item, answers[item.place] if config.likelihoods else None)
        for item in items
        if item.place in answers or not config.likelihoods
    }
    predictors = _taught(config, items, measured, known, folds)
    scores = {
        place: round(predictors[folds.of[place[0]]].probability(features), 6)
        for place, features in known.items()
    }
    decided = {
        item.place: Decision(
            scores.get(item.place, 0.0) > config.threshold,
            scores.get(item.place),
            utility=measured.get(item.place),
            effect=None
            if item.place not in measured
            else effect_of(measured[item.place], answers[item.place], item.sample.output),
        )
        for item in items
    }
    report = report_of(items, decided, folds, LEAST_EFFECT)
    for line in in_words(report) if measured else ():
        say(line)
    return Decisions(
        decided,
        {
            "rule": f"more probably helpful than harmful, by a predictor (threshold {config.threshold:g})",
            **_settings(config),
            "folds": config.folds,
            "measured": config.measured,
            "likelihoods": config.likelihoods,
        },
        report,
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
    answers = _answers(config, items, root)
    decided = {item.place: Decision(False) for item in items}
    for item in items:
        if item.place in answers:
            utility = utility_of(answers[item.place], item.sample.output)
            effect = effect_of(utility, answers[item.place], item.sample.output)
            decided[item.place] = Decision(utility > 0, utility=utility, effect=effect)
    return Decisions(
        decided, {"rule": "chosen by the right answer: an ablation, not a result", **_settings(config)}
    )


def utility_questions(config: JudgeConfig, items: Sequence[JudgedCaption]) -> list[Question]:
    """Return what the model is asked, of utility and of a choice by the right answer: to count it without asking.

    Args:
        config: The settings.
        items: All captions.
    """
    return _questions(_asked_about(config, items))[2]


def utility_of(answers: Answers, right: str) -> float:
    """Return by how much a caption raises the log-likelihood of the right answer among the allowed ones.

    Args:
        answers: What the model answers with and without it.
        right: Label of the right answer.
    """
    return round(math.log(answers.shown[right]) - math.log(answers.alone[right]), 4)


def effect_of(utility: float, answers: Answers, right: str) -> str:
    """Return what a caption is: helpful, harmful, redundant (the text alone has the right answer) or useless.

    Args:
        utility: Its utility.
        answers: What the model answers with and without it.
        right: Label of the right answer.
    """
    if abs(utility) > LEAST_EFFECT:
        return "helpful" if utility > 0 else "harmful"
    return "redundant" if most_likely(answers.alone) == right else "useless"


def _taught(
    config: JudgeConfig,
    items: Sequence[JudgedCaption],
    measured: Mapping[Place, float],
    known: Mapping[Place, Mapping[str, float]],
    folds: Folds,
) -> list[Predictor]:
    """Return the predictor of each fold, taught by captions with an effect; each sample counts once."""
    of_sample = Counter(place[0] for place in measured)
    predictors = cross_fit(
        [
            Lesson(known[place], utility > 0, folds.of[place[0]], 1 / of_sample[place[0]])
            for place, utility in sorted(measured.items())
            if abs(utility) > LEAST_EFFECT
        ],
        config.folds,
    )
    reasons = [each.why_constant for each in predictors if each.why_constant]
    if reasons and measured:
        say(
            f"utility: {len(reasons)} of {config.folds} predictors keep all captions or none, by what most do to the "
            f"right answer: {reasons[0]}"
        )
    return predictors


def _asked_about(config: JudgeConfig, items: Sequence[JudgedCaption]) -> Sequence[JudgedCaption]:
    if config.likelihoods or config.judge == "gold":
        return items
    teaching = _teaching(config, items)
    return [item for item in items if item.sample.id in teaching]


def _questions(
    items: Sequence[JudgedCaption],
) -> tuple[list[JudgedCaption], list[Sample], list[Question]]:
    """Return captions and samples in a fixed order, and the questions: of each sample alone, then of each caption."""
    ordered = sorted(items, key=lambda item: item.place)
    samples = list({item.sample.id: item.sample for item in ordered}.values())
    questions = [Question(sample) for sample in samples]
    questions += [
        Question(_with_one(item.sample, item.position, item.caption), variant=f"caption {item.position}")
        for item in ordered
    ]
    return ordered, samples, questions


def _answers(config: JudgeConfig, items: Sequence[JudgedCaption], root: Path) -> dict[Place, Answers]:
    """Return the model's answers with and without each caption; where one is missing, the caption is left out."""
    ordered, samples, questions = _questions(items)
    found = [
        _probabilities(each) for each in ask_judge(config, config.judges[0], questions, root, "likelihood")
    ]
    of_text = {sample.id: each for sample, each in zip(samples, found, strict=False)}
    answers = {}
    for item, shown in zip(ordered, found[len(samples) :], strict=True):
        alone = of_text[item.sample.id]
        if alone is not None and shown is not None:
            answers[item.place] = Answers(alone, shown)
    if len(answers) < len(items) and config.write_batch is None:
        say(
            f"{len(items) - len(answers)} of {len(items)} captions have no likelihoods and are not kept; run again to "
            "ask about them"
        )
    return answers


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


def _teaching(config: JudgeConfig, items: Sequence[JudgedCaption]) -> frozenset[str]:
    """Return the ids of the samples whose right answers are read: of training and validation, `measured` a task."""
    by_task: dict[str, dict[str, Sample]] = {}
    for item in items:
        if item.sample.split in TAUGHT_BY:
            by_task.setdefault(item.sample.task, {})[item.sample.id] = item.sample
    return frozenset(
        sample.id
        for found in by_task.values()
        for sample in first_by_hash(found.values(), config.measured, config.seed, "measured by a judge")
    )


def _settings(config: JudgeConfig) -> dict[str, Any]:
    return {
        "judges": [public_name(name) for name in config.judges],
        "least_effect": LEAST_EFFECT,
        "seed": config.seed,
    }
