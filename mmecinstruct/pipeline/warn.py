"""Warnings of a build about its inputs: useless or missing files, too many processes, unknown categories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmecinstruct.core.errors import RecipeError
from mmecinstruct.core.parquet import read_parts
from mmecinstruct.engine.stage import REJECTIONS_FILE, StageOutput
from mmecinstruct.recipe import Recipe
from mmecinstruct.schemas.rejections import count_reasons
from mmecinstruct.sources import source_files
from mmecinstruct.sources.publishers import absent_files
from mmecinstruct.sources.synthetic_files import SyntheticFiles
from mmecinstruct.stages.curate_products import SPELLINGS, CurateProducts
from mmecinstruct.stages.files import CuratedTables
from mmecinstruct.text.names import same_categories

LISTED_CATEGORIES = 40


def synthetic_inputs(recipe: Recipe, root: Path) -> list[str]:
    """Return the raw files of the recipe that a miniature wrote: nothing in them is their publishers'."""
    origins = (file.origin for source in recipe.sources for file in source_files(source, root))
    return SyntheticFiles(root).among(dict.fromkeys(origins))


def warn_of_synthetic(names: Sequence[str], root: Path) -> list[str]:
    """Return a warning where raw files are a miniature's."""
    if not names:
        return []
    return [
        f"{root}: `mmec miniature` wrote {len(names)} of the raw files, such as {names[0]}: nothing in them is real, "
        "so the dataset is for trying things out; the card says so"
    ]


def warn_of_useless(recipe: Recipe, root: Path, parsed: Sequence[StageOutput]) -> list[str]:
    """Return a warning for each file without a usable record, such as a web page, a pointer or an empty file."""
    warnings = []
    for source, output in zip(recipe.sources, parsed, strict=True):
        for number, file in enumerate(source_files(source, root)):
            if (source.kind, file.role) == ("abo", "images"):  # which becomes no table of its own
                continue
            folders = [output.folder / key for key in output.extra if key.startswith(f"{number:05d}")]
            tables = [path for folder in folders for path in folder.glob("*.parquet")]
            if any(path.name != REJECTIONS_FILE and pq.read_metadata(path).num_rows for path in tables):
                continue
            counts: Counter[str] = Counter()
            for path in tables:
                for part in read_parts(path, ["reason"]):
                    counts.update(count_reasons(part))
            why = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
            problem = f"none of its records can be used ({why})" if why else "it has no record"
            warnings.append(f"{file.origin}: {problem}; see that it is its publisher's file, and whole")
    return warnings


# What a lost cell costs, and what to do, by its kind.
_UNREAD = {
    "times": "these reviews have no time, and sequential recommendation rejects sequences with them (no_timestamp); "
    "reviews.day_first says how dates such as 05/01/2023 are read",
    "images": "an object is no path and no URL: write the URL, or a list of URLs, into the column",
}


def warn_of_unread(parsed: Sequence[StageOutput]) -> list[str]:
    """Return a warning for each file and kind of cells that could not be read, with an example."""
    found: dict[tuple[str, str], tuple[int, str, str]] = {}
    for output in parsed:
        for counts in output.extra.values():
            for kind, (count, example, origin) in counts.get("unread", {}).items():
                key = origin.rpartition(":")[0], kind
                before, *first = found.get(key, (0, example, origin))
                found[key] = (before + count, first[0], first[1])
    return [
        f"{file}: {count} {kind} could not be read, such as {example} ({origin}); {_UNREAD[kind]}"
        for (file, kind), (count, example, origin) in found.items()
    ]


def warn_of_absent(recipe: Recipe, folder: Path) -> list[str]:
    """Name missing published files of sets with other files present: a glob matches only files that exist."""
    return [
        f"{source.kind}: not in {folder}, so that the dataset lacks what they hold: {', '.join(absent)}; mmec pull "
        "fetches them or says how to get them; then build again"
        for source in recipe.sources
        if recipe.sample is None and (absent := absent_files(source, folder))
    ]


def warn_of_processes(recipe: Recipe, processes: int) -> list[str]:
    """Return a warning where more processes are wanted than the recipe's memory allows."""
    most = recipe.resources.most_workers
    if processes <= most:
        return []
    return [
        f"{processes} worker processes may take more than resources.memory ({recipe.resources.memory}), which suffices "
        f"for {most}; give fewer --workers, or more memory (--set resources.memory=8GB)"
    ]


def warn_of_spellings(outputs: Sequence[StageOutput]) -> list[str]:
    """Return a warning where names of categories differ in spelling alone.

    Args:
        outputs: Of all stages.
    """
    curated = [one for one in outputs if one.name == CurateProducts.name]
    found = curated[0].extra["all"][SPELLINGS] if curated else {}
    if not found:
        return []
    listed = ", ".join(f"'{name}' and '{kept}'" for name, kept in sorted(found.items())[:LISTED_CATEGORIES])
    more = len(found) - LISTED_CATEGORIES
    others = f" and {more} more" if more > 0 else ""
    return [
        f"categories: spellings of one name, which count as one category: {listed}{others}; the second spelling of "
        "each pair, the more frequent one, is published; give one spelling to keep it"
    ]


def check_ood_categories(
    wanted: Sequence[str], tables: CuratedTables, sample: StageOutput | None, left_out: Sequence[str] = ()
) -> list[str]:
    """Check that products are in each out-of-domain category: without one its test would silently be empty.

    Args:
        wanted: the recipe's out-of-domain categories.
        tables: the curated tables.
        sample: the output of `sample`, where the recipe samples. Then all products count, sampled or not: a recipe may
            want none of the category.
        left_out: sources that the recipe's licences do not allow. They may be what holds the category, so where there
            are any, its absence is no error.

    Returns:
        A warning where a category may have been left out.

    Raises:
        RecipeError: names an unknown category and those that there are.
    """
    there: set[str] = set()
    for path in tables.products.paths if wanted else ():
        table = pq.read_table(path, columns=["category", "other_category_paths"])
        there.update(table["category"].unique().to_pylist())
        paths = pc.list_flatten(table["other_category_paths"])
        there.update(pc.list_element(paths.filter(pc.greater(pc.list_value_length(paths), 0)), 0).to_pylist())
    known = there | (set(sample.extra["all"]["ood_products"]) if sample else set())
    unknown = [name for name in sorted(wanted) if not same_categories([name], known)]
    if not unknown:
        return []
    listed = ", ".join(f"'{name}'" for name in sorted(filter(None, there))[:LISTED_CATEGORIES])
    categories = f"top-level categories that there are: {listed or 'none'}"
    if not left_out:
        raise RecipeError(f"split.ood_categories: no product is in '{unknown[0]}'; {categories}")
    named = ", ".join(f"'{name}'" for name in unknown)
    return [
        f"split.ood_categories: no product is in {named}, so there is no out-of-domain test of it: licences: open "
        f"left out {', '.join(left_out)}; {categories}"
    ]
