"""Name the splits that a recipe wants and that have no sample, with what to set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmecinstruct.recipe import Recipe
from mmecinstruct.schemas.samples import SPLITS, TEST_OOD

# Of each task and split: samples wanted, available, contaminated and chosen, and a note.
Sizes = Mapping[str, Mapping[str, Mapping[str, Any]]]


def empty_splits(recipe: Recipe, sizes: Sizes) -> list[str]:
    """Return one sentence for each split that is empty in all tasks, and for each split that one task lacks.

    A split of no share, or of no wanted samples, is left out.

    Args:
        recipe: The recipe.
        sizes: The report of the selection, of the tasks that were built.
    """
    found = []
    for split in SPLITS:
        if split == TEST_OOD and not recipe.split.ood_categories:
            continue
        if split != TEST_OOD and not getattr(recipe.split, split):
            continue
        wanting = [task for task, splits in sizes.items() if splits.get(split, {}).get("wanted")]
        lacking = [task for task in wanting if not sizes[task][split]["chosen"]]
        if lacking == wanting and wanting:
            remedy = _remedy(recipe, split, [sizes[task][split] for task in wanting])
            found.append(f"{split} is empty: {', '.join(wanting)} have no sample of it; {remedy}")
            continue
        for task in lacking:
            there = [f"{entry['chosen']} of {name}" for name, entry in sizes[task].items() if entry["chosen"]]
            remedy = _remedy(recipe, split, [sizes[task][split]])
            found.append(f"{task}: no {split} sample, but {', '.join(there)}; {remedy}")
    return found


def _remedy(recipe: Recipe, split: str, entries: Sequence[Mapping[str, Any]]) -> str:
    """Say why a split has no sample, and what to set."""
    if any(entry["available"] for entry in entries):
        notes = dict.fromkeys(entry["note"] for entry in entries if entry["available"])
        return f"{'; '.join(filter(None, notes))}: set other sizes, or another label_balance of the task"
    share = "split.ood_categories" if split == TEST_OOD else f"split.{split}"
    more = (
        f"other {share}"
        if split == TEST_OOD
        else f"a larger {share} (now {recipe.split.model_dump()[split]})"
    )
    contaminated = sum(entry["contaminated"] for entry in entries)
    if contaminated:
        return (
            f"all {contaminated} candidates hold a text or an image of an earlier split: set {more} or a smaller "
            "sizes.train, or split.decontaminate to false, which keeps them"
        )
    if split == TEST_OOD:
        return f"no record of these categories fits, see its rejections: set {more}, or add products"
    return f"the hash assigns it no fitting record: set another seed (now {recipe.seed}) or {more}, or add products"
