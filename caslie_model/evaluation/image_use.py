"""What images did: the same samples answered with their own images, with none, and with those of other samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from caslie_model.data.samples import Sample
from caslie_model.evaluation.intervals import difference_interval, estimate_share
from caslie_model.evaluation.records import PUBLISHED, Records, is_right
from caslie_model.evaluation.units import Units, sample_units
from caslie_model.inference.variants import NO_IMAGES, SHUFFLED_IMAGES

# Ways to ask without the own images, by variant of the record.
OTHER_IMAGES = {NO_IMAGES: "none", SHUFFLED_IMAGES: "other samples'"}
# By whether the answer is right with the own images, and without.
KINDS = {
    (True, False): "helpful",
    (False, True): "harmful",
    (True, True): "redundant",
    (False, False): "no_use",
}


def image_use(samples: Sequence[Sample], records: Records) -> list[dict[str, Any]]:
    """Return, for each task and split, what the own images did to the answers.

    Compared are the samples that were asked in both ways: a request that failed in one of them says nothing of images.
    Where the dataset tells the images of its samples, those without one are left out.

    Args:
        samples: The evaluated samples.
        records: Of predictions, of the variants "" and of `OTHER_IMAGES`.

    Returns:
        A row for each task, split and other kind of images; none where the samples were asked in one way.
    """
    rows = []
    for task, split in dict.fromkeys((sample.task, sample.split) for sample in samples):
        whole = [sample for sample in samples if (sample.task, sample.split) == (task, split)]
        units = sample_units(task, whole)
        told = any(sample.image_roles for sample in whole)
        for variant, shown in OTHER_IMAGES.items():
            chosen = [
                (sample, unit)
                for sample, unit in zip(whole, units.names, strict=True)
                if {(sample.id, PUBLISHED), (sample.id, variant)} <= records.keys()
                and (sample.image_roles or not told)
            ]
            if chosen:
                rows.append({"task": task, "split": split, **_row(chosen, records, variant, shown, units)})
    return rows


def _row(
    chosen: Sequence[tuple[Sample, str]], records: Records, variant: str, shown: str, units: Units
) -> dict[str, Any]:
    names = [unit for _, unit in chosen]
    own = np.array([is_right(records, sample, PUBLISHED) for sample, _ in chosen])
    other = np.array([is_right(records, sample, variant) for sample, _ in chosen])
    found = Counter(KINDS[bool(a), bool(b)] for a, b in zip(own, other, strict=True))
    differences = own.astype(np.float64) - other
    accuracies: dict[str, Any] = {}
    for name, right in (("own", own), ("other", other)):
        each = estimate_share(right, names)
        accuracies |= {f"accuracy_{name}": each.value, f"accuracy_{name}_interval": list(each.interval)}
    return {
        "other_images": shown,
        "samples": len(chosen),
        "unit": units.kind,
        "units": len(set(names)),
        **{kind: found[kind] for kind in KINDS.values()},
        **accuracies,
        "difference": float(differences.mean()),
        "difference_interval": list(difference_interval(differences, names)),
    }
