"""Files in the format of Amazon Berkeley Objects: listings in several languages, and images.

A listing is known by its number and its marketplace: two of them may have the same number.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

from mmecinstruct.core.hashing import hash_draw
from tests.mmecinstruct.publisher_files.goods import Good, goods
from tests.mmecinstruct.publisher_files.packed import open_text

DOMAIN = "Furniture"
# Marketplace -> (country, language).
_MARKETPLACES = {
    "amazon.com": ("US", "en_US"),
    "amazon.in": ("IN", "en_IN"),
    "amazon.co.uk": ("GB", "en_GB"),
    "amazon.de": ("DE", "de_DE"),
    "amazon.co.jp": ("JP", "ja_JP"),
}
_FOREIGN = {
    "de_DE": "{brand} {series} Möbelstück aus Holz, ideal für jedes Zimmer",
    "ja_JP": "{brand} {series} 家具 天然木 お部屋にぴったり",
}


def write_listings(
    folder: Path, count: int, seed: int, files: int = 16, image_side: int | None = None
) -> Counter[str]:
    """Write abo/listings_<i>.json.gz and abo/images.csv.gz; return what they hold.

    image_side: pixels of the images rendered below abo/images/small, or none. Counts: `lines`, `english` (listings
    with a title in English), `images` (rows of images.csv.gz), `unknown_image` (English listings whose image
    no row names), and by reason the records to be rejected.
    """
    counts: Counter[str] = Counter()
    images: dict[str, str] = {}  # id -> path, in the order of images.csv.gz
    for number in range(files):
        with open_text(folder / "abo" / f"listings_{number:x}.json.gz") as file:
            for item in goods(DOMAIN, count, seed):
                if item.number % files != number:
                    continue
                for row in _listings(item):
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
                    counts["lines"] += 1
                    _count_listing(row, counts)
            if number == 0:
                file.write('{"brand": [{"language_tag": "en_US", "value": "Riv\n')
                counts.update(("lines", "broken_json"))
    for item in goods(DOMAIN, count, seed):
        known = _image_ids(item)
        images.update({image_id: _path_of(image_id, seed) for image_id in known if not _is_lost(image_id)})
    with open_text(folder / "abo" / "images.csv.gz") as file:
        file.write("image_id,height,width,path\n")
        for image_id, path in images.items():
            side = image_side or 256
            file.write(f"{image_id},{side},{side},{path}\n")
            counts["images"] += 1
            if image_side is not None:
                target = folder / "abo" / "images" / "small" / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(_jpeg(image_id, image_side, seed))
    return counts


def _listings(item: Good) -> list[dict[str, Any]]:
    """Return a good's listing, and for one in thirty the same number in a second marketplace."""
    first = list(_MARKETPLACES)[(0, 0, 0, 0, 0, 1, 2, 3, 4)[item.chance % 9]]
    marketplaces = [first]
    if item.chance % 30 == 7:
        marketplaces.append("amazon.co.uk" if first != "amazon.co.uk" else "amazon.com")
    return [_listing(item, marketplace) for marketplace in marketplaces]


def _listing(item: Good, marketplace: str) -> dict[str, Any]:
    chance = item.chance
    country, language = _MARKETPLACES[marketplace]
    series = item.title.split()[1]
    names = [
        {
            "language_tag": language,
            "value": _FOREIGN.get(language, "{title}").format(
                title=item.title, brand=item.brand, series=series
            ),
        }
    ]
    if language == "de_DE" and chance % 2:  # English too, but not first
        names.append({"language_tag": "en_GB", "value": item.title})
    main, *others = _image_ids(item)
    row: dict[str, Any] = {
        "brand": [{"language_tag": language, "value": item.brand}],
        "bullet_point": [
            {"language_tag": language, "value": f"Made of {item.material.lower()}"},
            {"language_tag": language, "value": f"Color: {item.colour}"},
        ],
        "color": [
            {"language_tag": language, "standardized_values": [item.colour], "value": item.colour.lower()}
        ],
        "color_code": ["#1E1E1E"] if chance % 7 == 1 else [],
        "country": country,
        "domain_name": marketplace,
        "item_dimensions": {
            "height": {"normalized_value": {"unit": "inches", "value": 7.5}, "unit": "inches", "value": 7.5}
        },
        "item_id": item.asin,
        "item_keywords": [{"language_tag": language, "value": item.noun.lower()}],
        "item_name": names,
        "item_weight": [
            {"normalized_value": {"unit": "pounds", "value": 3.0}, "unit": "pounds", "value": 3.0}
        ],
        "main_image_id": main,
        "marketplace": "Amazon",
        "model_year": [{"value": 2017}],
        "node": [
            {"node_id": 1 + chance % 10**9, "node_name": f"/Categories/{item.top}/{item.middle}/{item.fine}"}
        ],
        "other_image_id": others,
        "product_type": [{"value": item.noun.upper().replace(" ", "_")}],
    }
    if chance % 61 == 2:
        del row["item_name"]
    elif chance % 67 == 3:
        row["item_name"] = []
    if chance % 71 == 4:
        row["item_id"] = ""
    if chance % 47 == 5:
        del row["main_image_id"], row["other_image_id"]
    if chance % 43 == 6:
        del row["node"]
    elif chance % 59 == 8:
        row["node"] = [{"node_id": 11601270031, "node_name": "/Categories"}]
    for name in ("brand", "bullet_point", "color", "item_weight", "model_year", "item_keywords"):
        if hash_draw(chance, "miniature gap", name) % 11 == 0:
            row.pop(name)
    return row


def _count_listing(row: dict[str, Any], counts: Counter[str]) -> None:
    """Count a listing by the expected result of a parser for English."""
    if not row["item_id"]:
        counts["missing_id"] += 1
    elif not row.get("item_name"):
        counts["missing_title"] += 1
    elif any(name["language_tag"].startswith("en_") for name in row["item_name"]):
        counts["english"] += 1
        if "main_image_id" in row and all(
            _is_lost(image_id) for image_id in (row["main_image_id"], *row["other_image_id"])
        ):
            counts["unknown_image"] += 1
    else:
        counts["other_language"] += 1


def _image_ids(item: Good) -> list[str]:
    """Return the main image's id and, for every second good, that of another."""
    return [item.image_id, f"0{item.image_id[1:]}"] if item.chance % 2 else [item.image_id]


def _is_lost(image_id: str) -> bool:
    """Return whether images.csv.gz lacks an image."""
    return hash_draw(0, "miniature lost picture", image_id) % 37 == 0


def _path_of(image_id: str, seed: int) -> str:
    name = f"{hash_draw(seed, 'miniature image path', image_id):016x}"[:8]
    return f"{name[:2]}/{name}.jpg"


def _jpeg(image_id: str, side: int, seed: int) -> bytes:
    """Return a small JPEG with blurred patches of colour that no other image has."""
    from PIL import Image

    patches = Image.new("RGB", (5, 5))
    for number in range(25):
        colour = hash_draw(seed, "miniature patch", image_id, str(number))
        patches.putpixel((number % 5, number // 5), (colour & 255, colour >> 8 & 255, colour >> 16 & 255))
    target = io.BytesIO()
    patches.resize((side, side), Image.Resampling.BICUBIC).save(target, "JPEG", quality=80)
    return target.getvalue()
