"""Licences: which sources a recipe may use, and which publishers a dataset's samples come from.

A source is open if anyone may redistribute it for any purpose. Sources for non-commercial use and sources without a
stated licence are not open. Your own catalogue is open if the recipe's `publish.license` names a licence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmecinstruct.core.errors import RecipeError
from mmecinstruct.recipe import Recipe
from mmecinstruct.sources.publishers import CATALOGUE, SAMPLE, find_publisher, publishers, publishers_of
from mmecinstruct.sources.publishers.facts import (
    NOT_STATED,
    NOTHING,
    YES,
    YOURS,
    Publisher,
    Redistribution,
)
from mmecinstruct.sources.settings import Source
from mmecinstruct.tasks import TASKS

# Values of `publish.license` that name no licence.
_NO_LICENCE = frozenset({"", "other", "unknown"})

_PRODUCTS, _IMAGES = "products", "images"
# Kind of source -> prefix of its product ids, and the records that it gives.
_GIVES: dict[str, tuple[str, frozenset[str]]] = {
    "amazon18_metadata": ("amazon18", frozenset({_PRODUCTS, "relations"})),
    "amazon18_reviews": ("amazon18", frozenset({"reviews"})),
    "amazon18_ratings": ("amazon18", frozenset({"reviews"})),
    "amazon23_metadata": ("amazon23", frozenset({_PRODUCTS})),
    "amazon23_reviews": ("amazon23", frozenset({"reviews"})),
    "amazonqa": ("amazon18", frozenset({"questions"})),
    "mave": ("amazon18", frozenset({"category_labels"})),
    "esci": ("esci", frozenset({_PRODUCTS, "judgements"})),
    "sqid": ("esci", frozenset({_IMAGES})),
    "esci_s": ("esci", frozenset({_IMAGES})),
    "abo": ("abo", frozenset({_PRODUCTS})),
}
ORIGIN_SEPARATOR = "+"


@dataclass(frozen=True)
class LicenceChoice:
    """A recipe after its licences were applied.

    Attributes:
        recipe: The recipe with the sources that are used.
        left_out: The other sources, each with the reason.
        warnings: Data that may not be redistributed, one sentence per kind.
    """

    recipe: Recipe
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def apply_licences(recipe: Recipe) -> LicenceChoice:
    """Leave out the sources that `recipe.licences` does not allow.

    Args:
        recipe: The recipe as given.

    Returns:
        The recipe with the sources that are used, the sources left out, and warnings.

    Raises:
        RecipeError: No source of products is left; or, with `licences: open`, images would be embedded that nobody
            states to be redistributable.
    """
    if recipe.licences != "open":
        return LicenceChoice(recipe, warnings=tuple(_warnings(recipe)))
    kept, left_out = [], []
    for source in recipe.sources:
        closed = [one for one in _publishers(recipe, source) if _terms(recipe, one, one.licence.texts) != YES]
        if closed or not _publishers(recipe, source):
            why = "; ".join(f"{one.name}: {_why_closed(one)}" for one in closed)
            left_out.append(f"{source.kind} ({why or 'its terms are unknown'})")
        else:
            kept.append(source)
    left_out = list(dict.fromkeys(left_out))
    if not any(_gives_products(source) for source in kept):
        what = "no source is left" if not kept else "no source of products is left"
        raise RecipeError(
            f"licences: open: {what}. Left out: {', '.join(left_out) or 'none'}. Add a source that `mmec sources` "
            "shows as redistributable, or build with licences: any and keep the folder to yourself"
        )
    chosen = recipe.model_copy(update={"sources": tuple(kept)})
    closed_images = _closed_images(chosen)
    if closed_images:
        raise RecipeError(
            f"images.publish: embed, with licences: open: no terms allow redistributing the images of "
            f"{', '.join(closed_images)}; set images.publish to reference, or remove the source"
        )
    return LicenceChoice(chosen, tuple(left_out))


def left_out_kinds(wanted: Recipe, chosen: Recipe, task: str) -> list[str]:
    """Return the kinds of the sources that licences left out and that a task needs.

    Args:
        wanted: The recipe as given.
        chosen: The recipe with the sources that are used.
        task: The full name of a task.

    Returns:
        Kinds of sources in the order of the recipe, each once.
    """
    uses = {_PRODUCTS, *_read_by(task)}
    return list(
        dict.fromkeys(
            source.kind
            for source in wanted.sources
            if source not in chosen.sources and _given(source)[1] & uses
        )
    )


def credits(recipe: Recipe, tasks: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return the publishers that the samples of a dataset come from.

    A sample counts for every publisher of the recipe that can have given its products, its images or the records that
    its task needs; if two can, for both. A prefix of ids that no source of the recipe gives becomes an entry of its
    own with unknown terms.

    Args:
        recipe: The recipe with the sources that were used.
        tasks: Task -> split -> statistics, whose `origins` count samples by the prefixes of their products' ids.

    Returns:
        One entry per publisher, in the order of `publishers`, then one per unknown prefix.
    """
    samples: dict[str, int] = {}
    unknown: dict[str, int] = {}
    for task, splits in tasks.items():
        for statistics in splits.values():
            for origin, count in statistics.get("origins", {}).items():
                prefixes = set(origin.split(ORIGIN_SEPARATOR))
                givers, known = _givers(recipe, task, prefixes)
                for name in givers:
                    samples[name] = samples.get(name, 0) + count
                for prefix in sorted(prefixes - known):
                    unknown[prefix] = unknown.get(prefix, 0) + count
    found = [
        {
            "name": one.name,
            "title": one.title,
            "homepage": one.homepage,
            "licence": one.licence.words,
            "spdx": one.licence.spdx,
            "texts": _terms(recipe, one, one.licence.texts),
            "images": _terms(recipe, one, one.licence.images),
            "samples": samples[one.name],
        }
        for one in publishers()
        if one.name in samples
    ]
    nobody = {
        "homepage": None,
        "licence": "not known",
        "spdx": None,
        "texts": NOT_STATED,
        "images": NOT_STATED,
    }
    return found + [
        {"name": prefix, "title": prefix, **nobody, "samples": count}
        for prefix, count in sorted(unknown.items())
    ]


def cannot_pass_on(terms: Redistribution | str) -> bool:
    """Return whether the stated terms do not allow redistribution by anyone for any purpose."""
    return terms not in (YES, YOURS, NOTHING)


def _givers(recipe: Recipe, task: str, prefixes: Iterable[str]) -> tuple[set[str], set[str]]:
    """Return the publishers that can have given a task's samples of these prefixes, and the known prefixes."""
    wanted = {_PRODUCTS, _IMAGES, *_read_by(task)}
    givers: set[str] = set()
    known: set[str] = set()
    for source in recipe.sources:
        prefix, gives = _given(source)
        if prefix not in prefixes:
            continue
        if _PRODUCTS in gives:
            known.add(prefix)
        if gives & wanted:
            givers.update(one.name for one in _publishers(recipe, source))
    return givers, known


def _read_by(task: str) -> tuple[str, ...]:
    """Return the tables that a task's samples are made from; of a task of another program nothing is known."""
    return (*TASKS[task].requires, *TASKS[task].also_reads) if task in TASKS else ()


def _given(source: Source) -> tuple[str, frozenset[str]]:
    if source.kind in find_publisher(CATALOGUE).kinds:
        read = {table for task in TASKS for table in _read_by(task)}
        return str(getattr(source, "prefix", "")), frozenset(read)
    return _GIVES.get(source.kind, ("", frozenset()))


def _gives_products(source: Source) -> bool:
    return _PRODUCTS in _given(source)[1]


def _publishers(recipe: Recipe, source: Source) -> Sequence[Publisher]:
    return (find_publisher(SAMPLE),) if recipe.sample is not None else publishers_of(source)


def _terms(recipe: Recipe, publisher: Publisher, terms: Redistribution) -> Redistribution:
    """Return a publisher's terms; for your own catalogue, those that the recipe states."""
    stated = recipe.publish.license.strip().lower() not in _NO_LICENCE
    return YES if terms == YOURS and stated else terms


def _why_closed(publisher: Publisher) -> str:
    if publisher.name == CATALOGUE:
        return "publish.license names no licence"
    return publisher.licence.spdx or publisher.licence.words


def _warnings(recipe: Recipe) -> Iterable[str]:
    used = dict.fromkeys(one for source in recipe.sources for one in _publishers(recipe, source))
    closed = [one.name for one in used if cannot_pass_on(one.licence.texts)]
    if closed:
        yield (
            f"the publishers of {', '.join(closed)} do not state that anyone may redistribute their records; see the "
            "card, and: mmec sources NAME"
        )
    images = _closed_images(recipe)
    if images:
        yield (
            f"embedded images of {', '.join(images)}: no terms allow redistributing them; before you publish the "
            "folder: --set images.publish=reference"
        )


def _closed_images(recipe: Recipe) -> list[str]:
    """Return the publishers whose images would be embedded although no terms allow redistributing them."""
    if recipe.images.publish != "embed":
        return []
    used = dict.fromkeys(one for source in recipe.sources for one in _publishers(recipe, source))
    if recipe.licences == "open":
        return [one.name for one in used if _terms(recipe, one, one.licence.images) not in (YES, NOTHING)]
    return [one.name for one in used if cannot_pass_on(one.licence.images)]
