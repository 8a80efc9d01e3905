"""Titles of variants are found among patterned titles without a comparison of all pairs."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pyarrow as pa
import pytest

from mmecinstruct.auditing import variants
from mmecinstruct.auditing.variants import MAX_LINKS, are_variants, title_variants, word_frequency

SIMILARITY = 0.85


def table(titles: Sequence[str]) -> pa.Table:
    return pa.table({"key": [f"key of {title}" for title in titles], "words": list(titles)})


def linked(earlier: Sequence[str], later: Sequence[str]) -> set[tuple[str, str]]:
    one, other = table(earlier), table(later)
    links = title_variants(one, other, SIMILARITY, word_frequency(pa.concat_tables([one, other])))
    return {(row["left"], row["right"]) for row in links.to_pylist()}


def test_all_pairs_are_found_that_the_rule_ties() -> None:
    rng = random.Random(3)
    words = [*("mug", "pot", "red", "blue", "xl", "s", "oak", "rain", "jacket", "x1", "x2"), "10", "20", "20"]

    def title() -> str:
        start = [f"line{rng.randrange(6)}", rng.choice(["soft", "warm"])]
        return " ".join([*start, *rng.choices(words, k=rng.randrange(2, 5))])

    titles = sorted({title() for _ in range(900)})
    earlier, later = titles[::2], titles[1::2]
    frequency = word_frequency(table(titles))
    expected = {
        (f"key of {one}", f"key of {other}")
        for other in later
        for one in earlier
        if are_variants(one, other, SIMILARITY, frequency)
    }
    assert len(expected) > 50
    assert linked(earlier, later) == expected


def test_patterned_titles_are_not_compared_pair_by_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0

    def counted(*pair: object) -> bool:
        nonlocal compared
        compared += 1
        return are_variants(*pair)  # type: ignore[arg-type]

    monkeypatch.setattr(variants, "are_variants", counted)
    colours = ("red", "blue", "green", "black")
    cases = [f"slim silicone case cover for phone m{number} {colours[number % 4]}" for number in range(1200)]
    assert linked(cases[:900], cases[900:]) == set()
    assert compared < 1200
    cards = [f"gift card in a box for name{number}" for number in range(1200)]
    assert len(linked(cards[:900], cards[900:])) == 300 * MAX_LINKS
    assert compared < 1200 + 300 * MAX_LINKS + 1
