"""Select the samples of each split up to the sizes of a recipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.recipe import Sizes, TaskSettings
from mmecinstruct.schemas.samples import SPLITS


@dataclass
class Selection:
    """The chosen samples of one task.

    Attributes:
        chosen: Positions of the chosen samples by split, in order.
        report: By split: wanted, available, chosen, and a note where the data did not suffice.
    """

    chosen: dict[str, list[int]] = field(default_factory=dict)
    report: dict[str, dict[str, object]] = field(default_factory=dict)


def select_samples(
    ids: Sequence[str],
    labels: Sequence[str],
    splits: Sequence[str | None],
    task: str,
    settings: TaskSettings,
    sizes: Sizes,
    seed: int,
) -> Selection:
    """Choose up to the wanted number of samples per split, by hash of the id, with the recipe's label balance.

    A balance is kept exactly: the label that is scarcest for its share limits the whole split.

    Args:
        ids: The id of each sample.
        labels: The label of each sample.
        splits: The split of each sample; None for a rejected one.
        task: The task's name.
        settings: The task's settings with the label balance.
        sizes: The wanted samples of each split.
        seed: The recipe's seed.

    Returns:
        The chosen positions, and a report per split.
    """
    selection = Selection()
    for split in SPLITS:
        wanted = getattr(sizes, split)
        positions = [position for position, name in enumerate(splits) if name == split]
        positions.sort(key=lambda position: (hash_draw(seed, "select", task, ids[position]), ids[position]))
        quotas, note = _quotas([labels[position] for position in positions], wanted, settings.label_balance)
        chosen = []
        taken: Counter[str] = Counter()
        for position in positions:
            label = labels[position] if settings.label_balance else ""
            if taken[label] < quotas.get(label, 0):
                taken[label] += 1
                chosen.append(position)
        selection.chosen[split] = chosen
        if wanted or positions:
            selection.report[split] = {
                "wanted": wanted,
                "available": len(positions),
                "chosen": len(chosen),
                "note": note,
            }
    return selection


def _quotas(
    labels: Sequence[str], wanted: int, balance: Mapping[str, float] | None
) -> tuple[dict[str, int], str]:
    if not balance:
        note = f"only {len(labels)} of {wanted} can be built" if len(labels) < wanted else ""
        return {"": wanted}, note
    available = Counter(labels)
    limit, scarcest = float(wanted), ""
    for label, share in sorted(balance.items()):
        if share > 0 and available[label] / share < limit:
            limit, scarcest = available[label] / share, label
    # Largest remainder method: the quotas add up to a reachable size.
    total = int(limit + 1e-9)
    exact = {label: share * total for label, share in sorted(balance.items())}
    quotas = {label: int(value + 1e-9) for label, value in exact.items()}
    for label in sorted(exact, key=lambda name: (-(exact[name] - quotas[name]), name)):
        if sum(quotas.values()) < total and quotas[label] < available[label]:
            quotas[label] += 1
    note = ""
    if scarcest:
        note = f"label {scarcest} has {available[scarcest]} samples, which limits {wanted} to {sum(quotas.values())}"
    return quotas, note
