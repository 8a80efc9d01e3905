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
    """The chosen samples of one task (positions by split, in order) and what was wanted and there."""

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
    """Choose up to the wanted number per split, by hash of the id, keeping the recipe's label balance.

    A balance is kept exactly: the label that is scarcest for its share limits the whole split. The report has
    per split: wanted, available, chosen, and a note where the data did not suffice.
    """
    selection = Selection()
    for split in SPLITS:
        wanted = getattr(sizes, split)
        places = [place for place, name in enumerate(splits) if name == split]
        places.sort(key=lambda place: (hash_draw(seed, "select", task, ids[place]), ids[place]))
        quotas, note = _quotas([labels[place] for place in places], wanted, settings.label_balance)
        chosen = []
        taken: Counter[str] = Counter()
        for place in places:
            label = labels[place] if settings.label_balance else ""
            if taken[label] < quotas.get(label, 0):
                taken[label] += 1
                chosen.append(place)
        selection.chosen[split] = chosen
        if wanted or places:
            selection.report[split] = {
                "wanted": wanted,
                "available": len(places),
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
    # Largest remainder, so that the shares of a reachable size add up to it.
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
