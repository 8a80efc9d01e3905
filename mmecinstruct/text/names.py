"""Names of categories and brands, cleaned."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from mmecinstruct.text.normalise import is_markup, plain_title

if TYPE_CHECKING:
    pass


_REMEMBERED = 250  # characters of what is remembered between records; no name has as many
_CATEGORY_LENGTH = 60


_CATEGORY_WORDS = 8


# Bullet points that slipped into category paths: shares of a material, care instructions.
_BULLET = re.compile(
    r"\d\s*%|^(?:imported|made in|machine wash|hand wash|dry clean|package dimensions)\b", re.IGNORECASE
)


def clean_category_path(path: Iterable[object]) -> list[str]:
    """Return a category path, entities resolved, cut at the first element that is no category's name.

    Publishers append bullet points and broken tags to paths. Such elements have a tag's or a script's
    characters, end like a sentence, or are longer than names are.
    """
    names: list[str] = []
    for element in path:
        name = _category_name(element) if isinstance(element, str) and len(element) <= _REMEMBERED else ""
        if not name:
            break
        names.append(name)
    return names


@lru_cache(maxsize=50_000)
def _category_name(element: str) -> str:
    """Return the name, empty where the element is none. Few names stand in millions of paths."""
    name = plain_title(element)
    return name if name and _is_category_name(name) else ""


def _is_category_name(name: str) -> bool:
    if len(name) > _CATEGORY_LENGTH or is_markup(name) or ">" in name:
        return False
    return name[-1] not in ".!?:;" and len(name.split()) <= _CATEGORY_WORDS and not _BULLET.search(name)


_BRAND_PAGE = re.compile(r"^Visit (?:Amazon's (.+) Page|the (.+) Store)$")


_BRAND_LENGTH = 100


def clean_brand(brand: object) -> str | None:
    """Return a brand's name, None where there is none or it is markup.

    `Visit Amazon's X Page` and `Visit the X Store` are X.
    """
    return _brand_name(brand) if isinstance(brand, str) and 0 < len(brand) <= _REMEMBERED else None


@lru_cache(maxsize=50_000)
def _brand_name(brand: str) -> str | None:
    name = plain_title(brand)
    if page := _BRAND_PAGE.match(name):
        name = page[1] or page[2]
    return name if name and len(name) <= _BRAND_LENGTH and not is_markup(name) else None
