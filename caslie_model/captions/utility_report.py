"""How good the predictor of utility is, on captions whose group it has not seen, and what its choice brings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from caslie_model.captions.decisions import Decision, JudgedCaption, Place
from caslie_model.captions.utility_folds import Folds, largest_share

if TYPE_CHECKING:
    import numpy as np

EFFECTS = ("helpful", "harmful", "redundant", "useless")
RESAMPLES = 300


def report_of(
    items: Sequence[JudgedCaption],
    decided: Mapping[Place, Decision],
    folds: Folds,
    least_effect: float,
) -> dict[str, Any]:
    """Return the figures of a choice by utility.

    Args:
        items: All captions.
        decided: The decisions about them.
        folds: The folds of their samples.
        least_effect: Utility from which a caption helps or harms.

    Returns:
        `effects`: captions of each class by task; `kept`: share by task and split; `utility`: mean by task of all
        captions, of those that are kept (others count 0), and of a choice by the right answer; `predictor`: how well it
        tells captions that help from those that harm; `groups`: what the folds are made of.
    """
    ordered = sorted(items, key=lambda item: item.place)
    measured = [item for item in ordered if decided[item.place].utility is not None]
    by_task: dict[str, list[Decision]] = {}
    for item in measured:
        by_task.setdefault(item.sample.task, []).append(decided[item.place])
    kept: dict[str, dict[str, list[bool]]] = {}
    for item in ordered:
        of_task = kept.setdefault(item.sample.task, {})
        of_task.setdefault(item.sample.split, []).append(decided[item.place].kept)
    return {
        "effects": {
            task: {effect: Counter(each.effect for each in found)[effect] for effect in EFFECTS}
            for task, found in by_task.items()
        },
        "kept": {
            task: {split: _mean(values) for split, values in splits.items()} for task, splits in kept.items()
        },
        "utility": {task: _gains(found) for task, found in by_task.items()},
        "predictor": _quality(
            [
                (folds.of[item.sample.id], folds.group[item.sample.id], decided[item.place])
                for item in measured
                if abs(decided[item.place].utility or 0.0) > least_effect
            ]
        ),
        "groups": {
            "count": len(set(folds.group.values())),
            "largest": round(largest_share(folds), 4),
            "links_cut": folds.cut,
        },
    }


def in_words(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that a person reads.

    Args:
        report: As `report_of` returns it.
    """
    for task, effects in report["effects"].items():
        gains = report["utility"][task]
        yield (
            f"{task}: {', '.join(f'{count} {effect}' for effect, count in effects.items())}; mean utility of all "
            f"{gains['all']:+.3f}, of the kept {gains['kept']:+.3f}, by the right answer "
            f"{gains['by_right_answer']:+.3f}"
        )
    quality = report["predictor"]
    if quality["auc"] is None:
        yield "whether the predictor is better than chance cannot be told: too few captions help, or harm"
        return
    low, high = quality["auc_interval"]
    figures = (
        f"AUC {quality['auc']:.2f} (95 % {low:.2f} to {high:.2f}), Brier {quality['brier']:.3f} (base rate "
        f"{quality['brier_of_base_rate']:.3f})"
    )
    if quality["better_than_chance"]:
        yield f"captions that help are told from those that harm, in groups not seen: {figures}"
    else:
        yield (
            f"the predictor is no better than chance: {figures}. Its decisions stand, and say little; compare them "
            "with judge=all and judge=none"
        )


def _gains(decisions: Sequence[Decision]) -> dict[str, float]:
    utilities = [decision.utility or 0.0 for decision in decisions]
    return {
        "all": _mean(utilities),
        "kept": _mean([u * each.kept for u, each in zip(utilities, decisions, strict=True)]),
        "by_right_answer": _mean([max(0.0, u) for u in utilities]),
    }


def _quality(told: Sequence[tuple[int, str, Decision]]) -> dict[str, Any]:
    """Return figures over captions with an effect: fold, group and decision of each."""
    import numpy as np

    helps = np.array([(each.utility or 0.0) > 0 for _, _, each in told], dtype=float)
    scores = np.array([each.score or 0.0 for _, _, each in told])
    fold = np.array([number for number, _, _ in told])
    ones = np.ones(len(told))
    auc = _auc(helps, scores, fold, ones)
    found: dict[str, Any] = {"captions": len(told), "helpful": int(helps.sum()), "auc": auc}
    if auc is None:
        return found
    names = {name: number for number, name in enumerate(sorted({group for _, group, _ in told}))}
    group = np.array([names[each] for _, each, _ in told])
    generator = np.random.default_rng(0)
    resampled = []
    for _ in range(RESAMPLES):
        counts = np.bincount(generator.integers(0, len(names), len(names)), minlength=len(names))
        resampled.append(_auc(helps, scores, fold, counts[group].astype(float)))
    interval = np.quantile([each for each in resampled if each is not None], [0.025, 0.975])
    base = float(helps.mean())
    likely = np.clip(np.where(helps > 0, scores, 1 - scores), 1e-6, 1)
    return {
        **found,
        "auc": round(auc, 4),
        "auc_interval": [round(float(end), 4) for end in interval],
        "better_than_chance": bool(interval[0] > 0.5),
        "brier": round(float(np.mean((scores - helps) ** 2)), 4),
        "brier_of_base_rate": round(base * (1 - base), 4),
        "log_loss": round(float(-np.mean(np.log(likely))), 4),
        "log_loss_of_base_rate": round(float(-base * np.log(base) - (1 - base) * np.log(1 - base)), 4),
    }


def _auc(
    helps: np.ndarray[Any, Any],
    scores: np.ndarray[Any, Any],
    fold: np.ndarray[Any, Any],
    weight: np.ndarray[Any, Any],
) -> float | None:
    """Return the AUC over pairs of captions of a fold, as each fold has a predictor of its own; None without pairs."""
    import numpy as np

    pairs = won = 0.0
    for number in np.unique(fold):
        here = fold == number
        rank = np.unique(scores[here], return_inverse=True)[1]
        more, less = (np.bincount(rank, weight[here] * (helps[here] == value)) for value in (1, 0))
        won += float((more * (np.cumsum(less) - less / 2)).sum())
        pairs += float(more.sum() * less.sum())
    return won / pairs if pairs else None


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / max(1, len(values)), 4)
