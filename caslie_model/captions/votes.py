"""A vote of judges: language models say whether a caption is useful, and the majority decides.

A judge answers by the likelihoods of yes and no at one position, or by what it generates. What is neither yes nor no is
an abstention: an answer that cannot be read, equal likelihoods, likelihoods that a server does not give, a question
that got no answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from caslie_model.captions.agreement import krippendorff_alpha
from caslie_model.captions.asking import judge_answers, judge_name
from caslie_model.captions.decisions import Decision, Decisions, JudgedCaption
from caslie_model.captions.usefulness import TEMPLATE_VERSION, usefulness_question
from caslie_model.config.judging import JudgeConfig
from caslie_model.errors import ConfigError
from caslie_model.runtime.console import say
from mmecinstruct.tasks.task import YES_NO

# A judge that says the same of more captions than this share, of as many as this or more, tells them not apart.
_ONE_SIDED, _ENOUGH = 0.95, 20


def decide_by_vote(config: JudgeConfig, items: Sequence[JudgedCaption], root: Path) -> Decisions:
    """Ask each judge of each caption what was not asked before, and count the votes.

    Judges are asked one after another: one model is in memory at a time.

    Args:
        config: Judges, threshold, rule for ties.
        items: The captions.
        root: The folder that `captions/` lies in.

    Returns:
        The decisions.

    Raises:
        ConfigError: If a judge wrote the captions, or there are fewer judges than `least_votes`.
        MmecError: If a judge cannot be asked.
    """
    check_judges(config, items)
    questions = [usefulness_question(item) for item in items]
    votes: list[list[str | None]] = []
    judges, figures = [], []
    for model in config.judges:
        asked = judge_answers(config, model, questions, root, config.scoring, at_one_position=True)
        said = [None if answer is None else vote_of(answer) for answer in asked.answers]
        votes.append(said)
        judges.append({"model": judge_name(model), **asked.provenance})
        unanswered = sum(answer is None for answer in asked.answers)
        figures.append(_figures(judge_name(model), said, unanswered))
        if config.write_batch is None:
            _warn(figures[-1])
    by_caption = list(zip(*votes, strict=True))
    decided = {
        item.place: decision(said, config.threshold, config.ties, config.least_votes)
        for item, said in zip(items, by_caption, strict=True)
    }
    tie = "kept" if config.ties == "keep" else "dropped"
    provenance = {
        "rule": f"kept where the share of yes among the votes is above {config.threshold:g}; at {config.threshold:g} "
        f"it is {tie}; dropped with fewer than {config.least_votes} votes; abstentions are no votes",
        "question": TEMPLATE_VERSION,
        "scoring": config.scoring,
        "threshold": config.threshold,
        "ties": config.ties,
        "least_votes": config.least_votes,
        "judges": judges,
    }
    return Decisions(decided, provenance, {"judges": figures, **_agreement(items, by_caption)})


def check_judges(config: JudgeConfig, items: Sequence[JudgedCaption]) -> None:
    """Check that the judges may judge these captions.

    Args:
        config: The judges.
        items: The captions.

    Raises:
        ConfigError: If a judge wrote captions, there are fewer judges than `least_votes`, or several for a batch file.
    """
    if config.write_batch is not None and len(config.judges) > 1:
        raise ConfigError("write_batch: a batch file is for one model; give one of the judges at a time")
    if config.least_votes > len(config.judges):
        raise ConfigError(
            f"least_votes={config.least_votes}: {len(config.judges)} judges have no more votes than that"
        )
    captioners = {item.captioner.casefold(): item.captioner for item in items}
    own = [model for model in config.judges if judge_name(model).casefold() in captioners]
    if own and not config.allow_captioner:
        raise ConfigError(
            f"{own[0]} wrote the captions '{config.captions}' and would judge itself: name other judges, or give "
            "allow_captioner=true"
        )


def vote_of(answer: Mapping[str, Any]) -> str | None:
    """Return the vote in an answer: yes, no, or None for an abstention.

    Args:
        answer: A record of `judge_answers`: `scores` by label, or a `prediction`.
    """
    scores = answer.get("scores")
    if scores is not None:
        yes, no = (scores.get(label) for label in YES_NO)
        # Of one that is not among a server's likeliest tokens the other one is likelier.
        if yes == no:
            return None
    label = answer.get("prediction")
    return label if label in YES_NO else None


def decision(votes: Sequence[str | None], threshold: float, ties: str, least_votes: int) -> Decision:
    """Return what votes decide.

    Args:
        votes: yes, no or None (abstained) of each judge.
        threshold: Share of yes above which a caption is kept.
        ties: keep or drop: what becomes of a caption at the threshold.
        least_votes: Votes that must be there; with fewer a caption is dropped.
    """
    given = [vote for vote in votes if vote is not None]
    if not given:
        return Decision(False, None, tuple(votes))
    share = given.count("yes") / len(given)
    kept = share > threshold or (share == threshold and ties == "keep")
    return Decision(kept and len(given) >= least_votes, share, tuple(votes))


def _figures(name: str, votes: Sequence[str | None], unanswered: int) -> dict[str, Any]:
    counts = Counter(votes)
    given = counts["yes"] + counts["no"]
    return {
        "model": name,
        "votes": given,
        "yes": counts["yes"],
        "no": counts["no"],
        "abstained": counts[None],
        "unanswered": unanswered,
        "share_yes": counts["yes"] / given if given else None,
    }


def _warn(figures: Mapping[str, Any]) -> None:
    name, given = figures["model"], figures["votes"]
    if figures["abstained"]:
        say(
            f"{name}: {figures['abstained']} abstentions, {figures['unanswered']} of them questions without an answer, "
            "which are asked again next time"
        )
    for label in YES_NO:
        if given >= _ENOUGH and figures[label] > _ONE_SIDED * given:
            say(
                f"warning: {name} says {label} to {figures[label]} of {given} captions, and hardly tells them apart: "
                "take another judge, or look at its answers with scoring=generate"
            )


def _agreement(
    items: Sequence[JudgedCaption], votes: Sequence[Sequence[str | None]]
) -> dict[str, dict[str, Any]]:
    by_task: dict[str, list[Sequence[str | None]]] = {}
    for item, said in zip(items, votes, strict=True):
        by_task.setdefault(item.sample.task, []).append(said)
    return {
        "agreement": asdict(krippendorff_alpha(votes)),
        "by_task": {task: asdict(krippendorff_alpha(said)) for task, said in by_task.items()},
    }
