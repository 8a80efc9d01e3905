"""The figures of every task, split and part, from samples and the answers to them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from caslie_model.data.samples import Sample, read_outputs
from caslie_model.evaluation.metrics import DEFAULT_BOOTSTRAP, Bootstrap, majority_label, score_part
from mmecinstruct.core.hashing import hash_draw

# The parts of a split that are scored, and whether a sample of it needs its image.
PARTS: dict[str, bool | None] = {"all": None, "visual_critical": True, "not_visual_critical": False}


def majority_labels(data: str, samples: Sequence[Sample]) -> dict[tuple[str, str], tuple[str, str]]:
    """Return the majority baseline of each task and split.

    Args:
        data: A dataset folder, or user/name on the Hub.
        samples: The evaluated samples.

    Returns:
        By (task, split): the most frequent label, and the split it was counted in: train, otherwise the evaluated one.
    """
    result = {}
    for task, split in dict.fromkeys((sample.task, sample.split) for sample in samples):
        trained = read_outputs(data, task, "train")
        here = [sample.output for sample in samples if (sample.task, sample.split) == (task, split)]
        result[task, split] = (majority_label(trained or here), "train" if trained else split)
    return result


def score(
    samples: Sequence[Sample],
    answers: Mapping[str, str | None],
    baselines: Mapping[tuple[str, str], tuple[str, str]],
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    not_finite: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Return the figures of every part of every task and split.

    Args:
        samples: The evaluated samples.
        answers: Label by sample id, None when unparsable; a sample without an entry is missing. Both are wrong.
        baselines: As `majority_labels` returns them.
        bootstrap: Number of resamples and seed, from which each part's own follows.
        not_finite: Ids of samples without an answer because their scores are no finite numbers.

    Returns:
        Figures by name for each part.
    """
    results = []
    for task, split in dict.fromkeys((sample.task, sample.split) for sample in samples):
        whole = [sample for sample in samples if (sample.task, sample.split) == (task, split)]
        majority, counted_in = baselines[task, split]
        for part, critical in PARTS.items():
            rows = [s for s in whole if critical is None or s.visual_critical is critical]
            if not rows:
                continue
            labels = tuple(dict.fromkeys(label for sample in rows for label in sample.labels))
            given = [answers.get(sample.id) for sample in rows]
            known = [s.text_only_accuracy for s in rows if s.text_only_accuracy is not None]
            figures = score_part(
                task,
                [sample.output for sample in rows],
                given,
                labels if labels == ("yes", "no") else tuple(sorted(labels)),
                majority,
                Bootstrap(bootstrap.resamples, hash_draw(bootstrap.seed, "bootstrap", task, split, part)),
            )
            results.append(
                {
                    "task": task,
                    "split": split,
                    "part": part,
                    **figures,
                    "majority_from": counted_in,
                    "unparsable": sum(
                        s.id in answers and answers[s.id] is None and s.id not in not_finite for s in rows
                    ),
                    "not_finite": sum(s.id in not_finite for s in rows),
                    "missing": sum(s.id not in answers for s in rows),
                    "text_only_accuracy": sum(known) / len(known) if known else None,
                }
            )
    return results
