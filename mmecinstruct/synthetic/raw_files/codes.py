"""Ids, numbers, days and image names as rows of fragments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from mmecinstruct.synthetic.raw_files.fragments import EMPTY, Fragments, Ids
from mmecinstruct.synthetic.raw_files.hash_draws import Numbers, Words, mixed

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_IMAGE_DIGITS = _DIGITS + "abcdefghijklmnopqrstuvwxyz+"
_IMAGE_HEADS = ("71", "81", "61", "51", "41", "91")

# Coprime to 36; the product with a key below 2**34 stays below 2**63.
_ASIN_FACTOR = 536_870_909
_ASINS = 36**8
SPACES = 8
SPACE_BITS = 31

DAY = 86_400
FIRST_DAY = 9_617  # 1996-05-01, in days since 1970
LAST_DAY = 17_804  # 2018-09-30
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def product_key(space: int | Numbers, numbers: Numbers) -> Numbers:
    """Return the keys of products.

    Args:
        space: The key space, 0 to 7.
        numbers: The products' numbers in it, below 2**31.
    """
    return (np.asarray(space, np.int64) << SPACE_BITS) | numbers


class Codes:
    """Tables of fragments for ids, numbers, days and image names."""

    def __init__(self, fragments: Fragments) -> None:
        add_all = fragments.add_all
        self._three = add_all(a + b + c for a in _DIGITS for b in _DIGITS for c in _DIGITS)
        self._two = add_all(a + b for a in _DIGITS for b in _DIGITS)
        self._one = add_all(_DIGITS)
        self._asin_head, self._user_head = fragments.add("B0"), fragments.add("A")
        pairs = [a + b for a in _IMAGE_DIGITS for b in _IMAGE_DIGITS]
        self._image_pairs = add_all(pairs)
        self._escaped_pairs = add_all(pair.replace("+", "%2B") for pair in pairs)
        self._image_heads = add_all(_IMAGE_HEADS)
        self._letter = fragments.add("L")
        self.plain = add_all(str(number) for number in range(1000))
        self._padded = add_all(f"{number:03d}" for number in range(1000))
        self._with_comma = add_all(f"{number}," for number in range(1000))
        self._padded_comma = add_all(f"{number:03d}," for number in range(1000))
        self._cents = add_all(f".{number:02d}" for number in range(100))
        days = [_EPOCH + timedelta(days=day) for day in range(FIRST_DAY, LAST_DAY + 1)]
        self._written = add_all(f"{day:%m} {day.day}, {day.year}" for day in days)
        self._named = add_all(f"{day:%B} {day.day}, {day.year}" for day in days)
        self._seconds = add_all(str(day * DAY) for day in range(FIRST_DAY, LAST_DAY + 1))

    def asins(self, keys: Numbers) -> Ids:
        """Return the product numbers [n, 4], `B0` and eight characters, one to one."""
        rest = keys * _ASIN_FACTOR % _ASINS
        head = np.full(len(rest), self._asin_head, np.int32)
        return np.stack(
            [head, self._three[rest // 36**5], self._three[rest // 36**2 % 36**3], self._two[rest % 36**2]],
            axis=1,
        )

    def users(self, numbers: Numbers) -> Ids:
        """Return reviewers' ids [n, 6], an `A` and thirteen characters."""
        rest = mixed(numbers.astype(np.uint64) + np.uint64(0xA11CE))
        columns = [np.full(len(numbers), self._user_head, np.int32)]
        for _ in range(4):
            rest, digits = np.divmod(rest, np.uint64(36**3))
            columns.append(self._three[digits])
        return np.stack([*columns, self._one[rest % np.uint64(36)]], axis=1)

    def images(self, words: Words, escaped: bool = False) -> Ids:
        """Return image names [n, 6] such as `71Q8KloKI1L`.

        Args:
            words: 64 random bits for each image [n].
            escaped: Whether a `+` is written `%2B`.
        """
        rest, head = np.divmod(words, np.uint64(len(_IMAGE_HEADS)))
        columns = [self._image_heads[head]]
        table = self._escaped_pairs if escaped else self._image_pairs
        for _ in range(4):
            rest, pair = np.divmod(rest, np.uint64(len(table)))
            columns.append(table[pair])
        return np.stack([*columns, np.full(len(words), self._letter, np.int32)], axis=1)

    def grouped(self, values: Numbers) -> Ids:
        """Return whole numbers below 10**9 with commas [n, 3]: `1,234,567`."""
        millions, thousands, ones = values // 10**6, values // 1000 % 1000, values % 1000
        second = np.where(millions > 0, self._padded_comma[thousands], self._with_comma[thousands])
        return np.stack(
            [
                np.where(millions > 0, self._with_comma[millions], EMPTY),
                np.where(values >= 1000, second, EMPTY),
                np.where(values >= 1000, self._padded[ones], self.plain[ones]),
            ],
            axis=1,
        )

    def whole(self, values: Numbers) -> Ids:
        """Return whole numbers below 10**9 without commas [n, 3]."""
        millions, thousands, ones = values // 10**6, values // 1000 % 1000, values % 1000
        second = np.where(millions > 0, self._padded[thousands], self.plain[thousands])
        return np.stack(
            [
                np.where(millions > 0, self.plain[millions % 1000], EMPTY),
                np.where(values >= 1000, second, EMPTY),
                np.where(values >= 1000, self._padded[ones], self.plain[ones]),
            ],
            axis=1,
        )

    def amounts(self, cents: Numbers) -> Ids:
        """Return amounts of money without a sign [n, 4]: `1,299.00`."""
        return np.concatenate([self.grouped(cents // 100), self._cents[cents % 100][:, None]], axis=1)

    def written_days(self, days: Numbers) -> Ids:
        """Return days since 1970 as reviews write them [n]: `06 7, 2018`."""
        return self._written[days - FIRST_DAY]

    def named_days(self, days: Numbers) -> Ids:
        """Return days since 1970 as product pages write them [n]: `June 7, 2018`."""
        return self._named[days - FIRST_DAY]

    def seconds(self, days: Numbers) -> Ids:
        """Return the seconds since 1970 of days [n]."""
        return self._seconds[days - FIRST_DAY]
