"""The world that all files of a miniature share: hash draws, fragments, products and phrases."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mmecinstruct.synthetic.raw_files import wording
from mmecinstruct.synthetic.raw_files.catalogue import Catalogue, PerDepartment
from mmecinstruct.synthetic.raw_files.codes import Codes
from mmecinstruct.synthetic.raw_files.fragments import Fragments, Ids
from mmecinstruct.synthetic.raw_files.hash_draws import HashDraws, Numbers
from mmecinstruct.synthetic.raw_files.vocabulary import ALL_DEPARTMENTS
from mmecinstruct.synthetic.raw_files.volumes import Volumes

STARS = (1, 2, 3, 4, 5)


class World:
    """The products and words of a miniature."""

    def __init__(self, seed: int, volumes: Volumes) -> None:
        """Build the world of a seed and numbers of records."""
        self.volumes = volumes
        self.draws = HashDraws(seed)
        self.fragments = Fragments()
        self.codes = Codes(self.fragments)
        self.catalogue = Catalogue(self.fragments, self.draws, volumes.products)
        self.phrases = Phrases(self.fragments, self.draws, self.catalogue)


@lru_cache(maxsize=2)
def world_of(seed: int, volumes: Volumes) -> World:
    """Return the world of a seed and volumes; it is built once per process."""
    return World(seed, volumes)


class Phrases:
    """Sentences as rows of fragments, chosen by hash draws of ids [n]."""

    def __init__(self, fragments: Fragments, draws: HashDraws, catalogue: Catalogue) -> None:
        add_all = fragments.add_all
        self._draws, self._catalogue = draws, catalogue
        self._lower_nouns = add_all(category.noun.lower() for category in catalogue.categories)
        self._said = [add_all(part) for part in _parted(wording.SAID_OF_IT)]
        self._does, self._when = add_all(" " + text for text in wording.DOES), add_all(wording.WHEN)
        self._heads, self._facts = add_all(wording.POINT_HEADS), add_all(wording.POINT_FACTS)
        self._reasons = add_all(wording.POINT_REASONS)
        self._stories = add_all(text.removesuffix("{noun}") for text in wording.STORIES)
        self._occasions, self._and_so = add_all(wording.OCCASIONS), add_all(wording.AND_SO)
        starts = [text.removesuffix("{part}") for text in wording.PART_STARTS]
        self._part_starts, self._next_part_starts = add_all(starts), add_all(" " + text for text in starts)
        self._parts = PerDepartment(fragments, lambda one: one.parts)
        self._part_ends = add_all(wording.PART_ENDS)
        self._opinions = ByStars(fragments, wording.PART_OPINIONS)
        self._closings = ByStars(fragments, wording.CLOSINGS)
        self._short = ByStars(fragments, wording.SHORT_REVIEWS)
        parted = {stars: _parted(texts) for stars, texts in wording.SUMMARIES.items()}
        self._summary_starts = ByStars(fragments, {stars: parts[0] for stars, parts in parted.items()})
        self._summary_ends = ByStars(fragments, {stars: parts[1] for stars, parts in parted.items()})
        self._summary_nouns = ByStars(
            fragments, {stars: tuple("x" if "{noun}" in text else "" for text in texts)
                        for stars, texts in wording.SUMMARIES.items()}
        )  # fmt: skip
        self._has_noun = fragments.add("x")
        self.topic_questions = add_all(wording.QUESTION_STARTS)
        self.departments = len(ALL_DEPARTMENTS)

    def description(self, category: Numbers, *ids: Numbers) -> Ids:
        """Return a sentence about a product of a category [n, 5]."""
        said = self._draws.below(len(self._said[0]), "said", *ids)
        return np.stack(
            [
                self._said[0][said],
                self._lower_nouns[category],
                self._said[1][said],
                self._pick(self._does, "does", ids),
                self._pick(self._when, "when", ids),
            ],
            axis=1,
        )

    def point(self, *ids: Numbers) -> Ids:
        """Return a bullet point [n, 3]."""
        return np.stack(
            [
                self._pick(self._heads, "point head", ids),
                self._pick(self._facts, "point fact", ids),
                self._pick(self._reasons, "point reason", ids),
            ],
            axis=1,
        )

    def story(self, category: Numbers, *ids: Numbers) -> Ids:
        """Return how a reviewer came to buy a product of a category [n, 4]."""
        return np.stack(
            [
                self._pick(self._stories, "story", ids),
                self._lower_nouns[category],
                self._pick(self._occasions, "occasion", ids),
                self._pick(self._and_so, "and so", ids),
            ],
            axis=1,
        )

    def opinion(self, department: Numbers, stars: Numbers, opens: NDArray[np.bool_], *ids: Numbers) -> Ids:
        """Return a reviewer's opinion on a part of a product [n, 4].

        Args:
            department: The departments, which have the parts [n].
            stars: The ratings [n].
            opens: Whether a sentence is the first of its text; the others begin with a blank [n].
            *ids: The ids of the sentences [n].
        """
        start = self._draws.below(len(self._part_starts), "part start", *ids)
        return np.stack(
            [
                np.where(opens, self._part_starts[start], self._next_part_starts[start]).astype(np.int32),
                self._parts.choose_by(self._draws, "part", department, *ids),
                self._opinions.choose(self._draws, "verdict", stars, *ids),
                self._pick(self._part_ends, "part end", ids),
            ],
            axis=1,
        )

    def part(self, department: Numbers, *ids: Numbers) -> Ids:
        """Return the name of a part [n]."""
        return self._parts.choose_by(self._draws, "part", department, *ids)

    def noun(self, category: Numbers) -> Ids:
        """Return the noun of a category in lower case [n]."""
        return self._lower_nouns[category]

    def closing(self, stars: Numbers, *ids: Numbers) -> Ids:
        """Return the closing sentence of a review [n]."""
        return self._closings.choose(self._draws, "closing", stars, *ids)

    def short_review(self, stars: Numbers, *ids: Numbers) -> Ids:
        """Return a review of a few words [n]."""
        return self._short.choose(self._draws, "short", stars, *ids)

    def summary(self, category: Numbers, stars: Numbers, *ids: Numbers) -> Ids:
        """Return the heading of a review [n, 3]."""
        named = self._summary_nouns.choose(self._draws, "summary", stars, *ids) == self._has_noun
        return np.stack(
            [
                self._summary_starts.choose(self._draws, "summary", stars, *ids),
                np.where(named, self._lower_nouns[category], 0).astype(np.int32),
                self._summary_ends.choose(self._draws, "summary", stars, *ids),
            ],
            axis=1,
        )

    def _pick(self, table: Ids, purpose: str, ids: tuple[Numbers, ...]) -> Ids:
        return table[self._draws.below(len(table), purpose, *ids)]


class ByStars:
    """Phrases of the ratings, each with its own list."""

    def __init__(self, fragments: Fragments, texts: dict[int, tuple[str, ...]]) -> None:
        self._table = fragments.add_all(text for stars in STARS for text in texts[stars])
        self._counts = np.array([len(texts[stars]) for stars in STARS], np.int64)
        self._first = np.cumsum(self._counts) - self._counts

    def choose(self, draws: HashDraws, purpose: str, stars: Numbers, *ids: Numbers) -> Ids:
        """Return a phrase of each rating [n]."""
        return self._table[self._first[stars - 1] + draws.below(self._counts[stars - 1], purpose, *ids)]


def _parted(texts: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the texts before and after the noun."""
    parts = [text.partition("{noun}") for text in texts]
    return tuple(part[0] for part in parts), tuple(part[2] for part in parts)
