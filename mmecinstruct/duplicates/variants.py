"""Recognise variants of one article by their titles, where the source does not say which products are variants.

Variants are products of one brand and one top-level category whose titles are equal but for words of colour, size or
material, or numbers with a unit: each in the same place and of the same kind, and at the end one may lack it. What is
left of the title has to identify the article: at least MIN_WORDS words beside the brand's own. Where the source names
no brand it is MIN_WORDS_UNBRANDED, another material makes another article, and colour and size stand at the end, as
shops append them. A number without a unit counts as a size only in the notation of shops, between hyphens
(`Pant-32-Brown`); numbers of model names (`D3200`) never count.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from mmecinstruct.duplicates.clusters import Edge
from mmecinstruct.text.variant_words import COLOURS, MATERIALS, SHADES, SIZE_NAMES, SIZES, UNITS
from mmecinstruct.text.words import normalised_text

MIN_WORDS = 2
MIN_WORDS_UNBRANDED = 3


def _any_of(words: Iterable[str]) -> str:
    return "(?:" + "|".join(sorted(map(re.escape, words), key=lambda word: (-len(word), word))) + ")"


_NUMBER = r"\d+(?:[.,/]\d+)*"
_SIZE = "|".join(
    (
        # 30 x 40 cm, 500ml, 12-inch, 6 pack, 15"
        rf"(?<![\w.,-]){_NUMBER}(?:\s*[x×]\s*{_NUMBER})*[\s-]*(?:{_any_of(UNITS)}\b|[\"”″])",
        rf"(?<![\w.,-]){_NUMBER}(?:\s*[x×]\s*{_NUMBER})+(?!\w)",
        r"\b(?:pack|set)\s+of\s+\d+\b",
        rf"\b{_any_of(SIZE_NAMES)}\b[\s.:]*(?:{_NUMBER}|[smlx]{{1,4}})(?!\w)",
        # Hoodie-M-Black, Shirt (L), Pant-32-Brown
        r"(?<=[-–/,|(])\s*[sml](?=\s*(?:[-–/,|)\]]|$))",
        r"(?<=[-–/,|(])\s*\d\d(?:[.,]5)?(?=\s*(?:[-–/,|]\s*[^\W\d]|\)))",
        rf"\b{_any_of(SIZES)}\b",
    )
)
_COLOUR = rf"\b(?:{_any_of(SHADES)}[\s-]*)?{_any_of(COLOURS)}\b"
# None begins within a word: looked at first, since the long lists of words take most of the time.
_PROPERTY = re.compile(
    rf"(?<!\w)(?:(?P<size>{_SIZE})|(?P<colour>{_COLOUR})|(?P<material>\b{_any_of(MATERIALS)}\b))"
)
# In place of a property stands a letter that no title has, as titles are case-folded.
_MARKS = {"size": "S", "colour": "C", "material": "M"}
MARKS = frozenset(_MARKS.values())
_REPEATED = re.compile(r"\b([SCM])(?: \1)+\b")


def article_words(title: str, materials: bool = True) -> str:
    """Return the words of a title, those of colour, size and material and numbers with a unit as C, S and M.

    Args:
        title: Any title.
        materials: Whether words of materials are properties.
    """

    def mark(found: re.Match[str]) -> str:
        kind = found.lastgroup or ""
        return f" {_MARKS[kind]} " if materials or kind != "material" else found[0]

    text = _PROPERTY.sub(mark, unicodedata.normalize("NFKC", title).casefold())
    return _REPEATED.sub(r"\1", " ".join(re.findall(r"\w+", text)))


def variant_edges(products: Sequence[Mapping[str, Any]]) -> list[Edge]:
    """Return edges between variants, each with the first one of its article; equal titles need none.

    Args:
        products: Rows with product_id, title, brand, category and group_id. A product with a group is left out: its
            source says what it belongs to.
    """
    first: dict[tuple[str, str, str], tuple[str, str]] = {}
    edges = []
    name = cache(normalised_text)  # of few brands and categories
    for row in sorted(products, key=lambda row: row["product_id"]):
        if row["group_id"] is not None:
            continue
        title, brand = row["title"] or "", name(row["brand"] or "")
        article = _article(title, brand)
        if article is None:
            continue
        key = brand, name(row["category"] or ""), article
        one, its_title = first.setdefault(key, (row["product_id"], title))
        if one != row["product_id"] and normalised_text(title) != normalised_text(its_title):
            edges.append((one, row["product_id"]))
    return edges


def _article(title: str, brand: str) -> str | None:
    """Return the text that variants have in common; None where it does not identify an article."""
    words = article_words(title, materials=bool(brand)).split()
    identifying = set(words) - set(brand.split()) - MARKS
    if len(identifying) < (MIN_WORDS if brand else MIN_WORDS_UNBRANDED):
        return None
    marks = sum(word in MARKS for word in words)
    while words[-1] in MARKS:
        words.pop()
        marks -= 1
    return " ".join(words) if brand or not marks else None
