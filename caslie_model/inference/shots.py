"""Demonstrations: which training samples are shown with their answers before a question."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from caslie_model.data.samples import Groups, InputField, Sample, read_samples
from caslie_model.errors import ConfigError
from mmecinstruct.core.hashing import hash_draw

_PURPOSE = "shots"


def choose_shots(
    data: str, samples: Sequence[Sample], count: int, seed: int
) -> Mapping[str, tuple[Sample, ...]]:
    """Return the demonstrations of each sample: of its task, from the training split, and disjoint from it.

    Disjoint are samples without a common product, cluster, group of variants, user or query, and with another input. A
    larger count adds demonstrations and changes none.

    Args:
        data: A dataset folder, or user/name on the Hub.
        samples: The samples that are asked.
        count: Demonstrations of each.
        seed: Seed of the hash draws.

    Returns:
        Training samples by sample id.

    Raises:
        ConfigError: If a task has too few disjoint training samples.
    """
    if not count:
        return {}
    by_task: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_task[sample.task].append(sample)
    chosen: dict[str, tuple[Sample, ...]] = {}
    for task, asked in by_task.items():
        ring = sorted(
            (hash_draw(seed, _PURPOSE, each.id), each.id, each) for each in read_samples(data, task, "train")
        )
        for sample in asked:
            found = []
            for each in _onwards(ring, hash_draw(seed, _PURPOSE, sample.id)):
                if _are_disjoint(sample, each):
                    found.append(each)
                if len(found) == count:
                    break
            else:
                raise ConfigError(
                    f"shots={count}: {data} has {len(found)} training samples of {task} that share nothing with sample "
                    f"{sample.id}; give fewer"
                )
            chosen[sample.id] = tuple(found)
    return chosen


def _onwards(ring: Sequence[tuple[int, str, Sample]], start: int) -> Iterator[Sample]:
    """Yield training samples from a place in their hash order on; a row that is added there moves few others."""
    first = bisect_left(ring, (start,))
    for number in range(len(ring)):
        yield ring[(first + number) % len(ring)][2]


def _are_disjoint(one: Sample, other: Sample) -> bool:
    return (
        one.id != other.id
        and not _names(one.groups) & _names(other.groups)
        and _text(one.fields) != _text(other.fields)
    )


def _names(groups: Groups) -> set[tuple[str, str]]:
    return {
        *(("product", name) for name in groups.products),
        *(("cluster", name) for name in groups.clusters),
        *(("group", name) for name in groups.groups),
        *([("user", groups.user)] if groups.user is not None else []),
        *([("query", groups.query)] if groups.query is not None else []),
    }


def _text(fields: Sequence[InputField]) -> list[str]:
    return [" ".join(text.casefold().split()) for field in fields for text in field.texts]
