"""Ratings without text: CSV without a header, its columns in the order of 2018 or of 2014."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

from tests.mmecinstruct.publisher_files.goods import asin_of, purchases, user_of
from tests.mmecinstruct.publisher_files.packed import open_text

Order = Literal["2018", "2014"]  # item,user,rating,timestamp or user,item,rating,timestamp


def write_ratings(
    folder: Path, domain: str, goods_count: int, users: int, seed: int, order: Order = "2018"
) -> Counter[str]:
    """Write amazon<order>/<domain>.csv; return its lines and the expected rejections by reason."""
    counts: Counter[str] = Counter()
    with open_text(folder / f"amazon{order}" / f"{domain}.csv") as file:
        for purchase in purchases(domain, goods_count, users, seed):
            item, user, rating = (
                asin_of(domain, purchase.good),
                user_of(purchase.user),
                f"{purchase.rating}.0",
            )
            reason = ""
            if purchase.chance % 499 == 0:
                rating, reason = "0.0", "bad_rating"
            elif purchase.chance % 503 == 1:
                user, reason = "", "missing_id"
            first, second = (item, user) if order == "2018" else (user, item)
            file.write(f"{first},{second},{rating},{purchase.seconds}\n")
            counts["lines"] += 1
            if reason:
                counts[reason] += 1
        file.write(f"{asin_of(domain, 0)},{user_of(0)}\n")
        counts.update(("lines", "bad_row"))
    return counts
