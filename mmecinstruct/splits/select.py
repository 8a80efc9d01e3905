"""Select the samples of each split up to the sizes of a recipe, none that holds what an earlier split holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.recipe import Sizes, TaskSettings
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.schemas.samples import SPLITS, TRAIN
from mmecinstruct.splits.contents import Contents, ImageHashes, contents_of
from mmecinstruct.splits.decontaminate import Held

STAGE = "select"


@dataclass
class Selection:
    """The chosen samples of all tasks.

    Attributes:
        chosen: By task the positions of its chosen samples, in the order of splits.
        report: By task and split: wanted, available, contaminated and chosen samples, and a note where the data did not
            suffice.
        rejections: Of the candidates that hold what an earlier split holds.
    """

    chosen: dict[str, list[int]] = field(default_factory=dict)
    report: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    rejections: list[Rejection] = field(default_factory=list)


def select_samples(
    candidates: Mapping[str, pa.Table],
    settings: Mapping[str, TaskSettings],
    sizes: Mapping[str, Sizes],
    seed: int,
    images: ImageHashes | None,
) -> Selection:
    """Choose up to the wanted number of samples per task and split, by hash of the id, with the recipe's label balance.

    Splits are filled one after another, each over all tasks. A candidate that holds what a chosen sample of an earlier
    split holds, of any task, is rejected as `contaminated` before its split is filled.

    Args:
        candidates: By task: columns id, label, split, fields, user_id, image_urls.
        settings: By task: the settings with the label balance.
        sizes: By task: the wanted samples of each split.
        seed: The recipe's seed.
        images: The images of all samples; None where contents are not compared.
    """
    selection = Selection({task: [] for task in candidates}, {task: {} for task in candidates})
    held = Held()
    for split in SPLITS:
        found = {
            task: pc.indices_nonzero(pc.equal(table["split"], split)).to_pylist()
            for task, table in candidates.items()
        }
        contaminated = {}
        if images is not None and split != TRAIN:
            contaminated = _contaminated(candidates, found, held, images)
        for task, table in candidates.items():
            meetings = contaminated.get(task, {})
            selection.rejections += [
                Rejection(STAGE, "contaminated", detail, "", table["id"][position].as_py(), task)
                for position, detail in meetings.items()
            ]
            positions = [position for position in found[task] if position not in meetings]
            part = _rows(table.select(["id", "label"]), positions)
            ids = part["id"].to_pylist()
            wanted = getattr(sizes[task], split)
            chosen, note = choose(
                ids, part["label"].to_pylist(), task, wanted, settings[task].label_balance, seed
            )
            if note and meetings:
                note += f"; {len(meetings)} more hold what an earlier split holds"
            if wanted or found[task]:
                selection.report[task][split] = {
                    "wanted": wanted,
                    "available": len(positions),
                    "contaminated": len(meetings),
                    "chosen": len(chosen),
                    "note": note,
                }
            positions = [positions[one] for one in chosen]
            selection.chosen[task] += positions
            if images is not None:
                names = [f"{split} sample {ids[one]} of {task}" for one in chosen]
                held.add(contents_of(task, _rows(table, positions), images), names)
    return selection


def _contaminated(
    candidates: Mapping[str, pa.Table], found: Mapping[str, list[int]], held: Held, images: ImageHashes
) -> dict[str, dict[int, str]]:
    """Return, by task, the positions of a split's candidates that hold what earlier splits hold, and what it is."""
    parts = [
        contents_of(task, _rows(candidates[task], positions), images) for task, positions in found.items()
    ]
    sizes = [len(positions) for positions in found.values()]
    meetings = iter(held.find(Contents.joined(parts, sizes), sum(sizes)))
    return {
        task: {
            position: f"{meeting.shared} as {meeting.other}"
            for position, meeting in zip(positions, meetings, strict=False)
            if meeting is not None
        }
        for task, positions in found.items()
    }


def _rows(table: pa.Table, positions: Sequence[int]) -> pa.Table:
    return table.take(pa.array(positions, pa.int64()))


def choose(
    ids: Sequence[str],
    labels: Sequence[str],
    task: str,
    wanted: int,
    balance: Mapping[str, float] | None,
    seed: int,
) -> tuple[list[int], str]:
    """Choose up to the wanted number of a task's samples of one split, by hash of the id.

    A balance is kept exactly: the label that is scarcest for its share limits the whole split.

    Args:
        ids: The id of each sample.
        labels: The label of each sample.
        task: The task's name.
        wanted: The number of samples.
        balance: The wanted share of each label.
        seed: The recipe's seed.

    Returns:
        The chosen positions, in order of the hash, and a note where the data did not suffice.
    """
    positions = sorted(
        range(len(ids)), key=lambda position: (hash_draw(seed, "select", task, ids[position]), ids[position])
    )
    quotas, note = _quotas(labels, wanted, balance)
    chosen = []
    taken: Counter[str] = Counter()
    for position in positions:
        label = labels[position] if balance else ""
        if taken[label] < quotas.get(label, 0):
            taken[label] += 1
            chosen.append(position)
    return chosen, note


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
