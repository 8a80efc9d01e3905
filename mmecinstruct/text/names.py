"""Clean names of categories and brands."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import lru_cache

from mmecinstruct.text.normalise import is_markup, normalise_text, plain_title

# Longer texts are not cached; no name is as long.
_CACHED_LENGTH = 250
_CATEGORY_LENGTH = 60
_CATEGORY_WORDS = 8

# Bullet points that slipped into category paths: shares of a material, care instructions.
_BULLET = re.compile(
    r"\d\s*%|^(?:imported|made in|machine wash|hand wash|dry clean|package dimensions)\b", re.IGNORECASE
)


def clean_category_path(path: Iterable[object]) -> list[str]:
    """Return a category path, entities resolved, cut at the first element that is no category name.

    Publishers append bullet points and broken tags to paths. Such elements have the characters of a tag or a script,
    end like a sentence, or are longer than names.
    """
    names: list[str] = []
    for element in path:
        name = _category_name(element) if isinstance(element, str) and len(element) <= _CACHED_LENGTH else ""
        if not name:
            break
        names.append(name)
    return names


@lru_cache(maxsize=50_000)
def _category_name(element: str) -> str:
    """Return the name, empty where the element is none. Cached: millions of paths have few names."""
    name = plain_title(element)
    return name if name and _is_category_name(name) else ""


def _is_category_name(name: str) -> bool:
    if len(name) > _CATEGORY_LENGTH or is_markup(name) or ">" in name:
        return False
    return (
        name[-1] not in ".!?:;。！？：；"
        and len(name.split()) <= _CATEGORY_WORDS
        and not _BULLET.search(name)
    )


@lru_cache(maxsize=50_000)
def category_key(name: str) -> str:
    """Return what two spellings of a category's name have in common: normalised, case-folded."""
    return normalise_text(name).casefold()


def same_categories(wanted: Iterable[str], names: Collection[str | None]) -> set[str]:
    """Return those of the names that are a spelling of a wanted category."""
    keys = set(map(category_key, wanted))
    return {name for name in names if name and category_key(name) in keys}


_BRAND_PAGE = re.compile(r"^Visit (?:Amazon's (.+) Page|the (.+) Store)$")
_BRAND_LENGTH = 100


def clean_brand(brand: object) -> str | None:
    """Return a brand's name, None where there is none or it is markup.

    `Visit Amazon's X Page` and `Visit the X Store` are X.
    """
    return _brand_name(brand) if isinstance(brand, str) and 0 < len(brand) <= _CACHED_LENGTH else None


@lru_cache(maxsize=50_000)
def _brand_name(brand: str) -> str | None:
    name = plain_title(brand)
    if page := _BRAND_PAGE.match(name):
        name = page[1] or page[2]
    return name if name and len(name) <= _BRAND_LENGTH and not is_markup(name) else None
