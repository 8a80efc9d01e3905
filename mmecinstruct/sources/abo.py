"""Amazon Berkeley Objects: listings in many languages, and a table of their images.

A listing names its images by id; `images.csv.gz` gives the path of each. That table is read whole before each file of
listings, about 80 MB of memory for its 400,000 rows. Its errors are reported once, when it is parsed as a file of the
source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mmecinstruct.sources.readers.batches import ParsedBatch, RawFile, RowError, Rows, parse_records, shown
from mmecinstruct.sources.readers.fields import text_value
from mmecinstruct.sources.readers.json_lines import read_json_lines
from mmecinstruct.sources.readers.rows import Row
from mmecinstruct.sources.readers.tabular import read_csv
from mmecinstruct.text.names import clean_brand, clean_category_path
from mmecinstruct.text.normalise import description_text, feature_texts, is_markup, plain_title

PREFIX = "abo"
IMAGE_ROOT = "https://amazon-berkeley-objects.s3.amazonaws.com/images/small/"

_IMAGE_COLUMNS = {f"the table of images has {name}": name for name in ("image_id", "path")}
# The first name of a path in English-language shops.
_ENGLISH_ROOT = "Categories"


class ListingLine(msgspec.Struct, gc=False):
    """The fields of a listing that are read."""

    item_id: Any = None
    item_name: Any = None
    brand: Any = None
    bullet_point: Any = None
    product_description: Any = None
    color: Any = None
    product_type: Any = None
    node: Any = None
    main_image_id: Any = None
    other_image_id: Any = None


def parse_images(file: RawFile) -> Iterator[ParsedBatch]:
    """Check the rows of the table of images, which yields no table of its own.

    Reasons: missing_id, missing_url (no path, or one that leads out of the folder of images).
    """
    return parse_records(read_csv(file.path, _IMAGE_COLUMNS), _parse_image, (), file.origin)


def _parse_image(row: Row, _number: int, _rows: Rows) -> RowError | None:
    image_id = row["image_id"].strip()
    if not image_id:
        return RowError("missing_id", "image_id is empty")
    if not _image_path(row):
        return RowError("missing_url", f"path is {shown(row['path'])}", f"{PREFIX}:{image_id}")
    return None


def _image_path(row: Row) -> str:
    path = row["path"].strip().lstrip("/")
    return "" if ".." in path.split("/") else str(path)


def read_image_paths(files: Sequence[Path]) -> dict[str, str]:
    """Return the path of each image below the folder of images, by its id.

    Raises:
        SourceError: A file cannot be read or lacks a column.
    """
    return {
        image_id: path
        for file in files
        for _, row in read_csv(file, _IMAGE_COLUMNS)
        if not isinstance(row, RowError)
        if (image_id := row["image_id"].strip()) and (path := _image_path(row))
    }


def parse_listings(file: RawFile, images: Sequence[Path], language: str) -> Iterator[ParsedBatch]:
    """Yield products and their fine categories (the product type) of a file of listings.

    Reasons: missing_id, missing_title, other_language (there is a title, but none in the wanted language),
    title_not_text.

    Args:
        file: The file of listings.
        images: The files of the table of images.
        language: `en`, or with a country `en_US`.
    """
    paths = read_image_paths(images)

    def parse(line: ListingLine, _number: int, rows: Rows) -> RowError | None:
        item = text_value(line.item_id)
        if not item:
            return RowError("missing_id", f"item_id is {shown(line.item_id)}")
        record_id = f"{PREFIX}:{item}"
        title = plain_title(next(iter(_in_language(line.item_name, language)), ""))
        if not title:
            tags = _languages(line.item_name)
            if tags:
                return RowError("other_language", f"its title is in {', '.join(tags)}", record_id)
            return RowError("missing_title", "the title is empty", record_id)
        if is_markup(title):
            return RowError("title_not_text", title, record_id)
        product_type = _product_type(line.product_type)
        path = _category_path(line.node, language) or ([product_type] if product_type else [])
        rows["products"].append(
            (
                record_id,
                PREFIX,
                title,
                clean_brand(next(iter(_in_language(line.brand, language)), None)),
                path[0] if path else None,
                path,
                description_text(_in_language(line.product_description, language)),
                feature_texts(_in_language(line.bullet_point, language)),
                None,
                None,
                clean_brand(next(iter(_in_language(line.color, language)), None)),
                _image_urls(line, paths),
                None,
            )
        )
        if product_type:
            rows["category_labels"].append((record_id, product_type, []))
        return None

    lines = read_json_lines(file.path, ListingLine, part=file.part)
    return parse_records(lines, parse, ("products", "category_labels"), file.origin)


def _entries(values: object) -> list[dict[str, Any]]:
    return [entry for entry in values if isinstance(entry, dict)] if isinstance(values, list) else []


def _languages(values: object) -> list[str]:
    """Return the languages of a field's texts, each once."""
    tags = (shown(entry.get("language_tag")) for entry in _entries(values) if text_value(entry.get("value")))
    return list(dict.fromkeys(tags))[:10]


def _in_language(values: object, language: str) -> list[str]:
    """Return a field's texts in a language, in the order of the listing.

    Where the language has no country, the first country in the field is taken: a listing may have the same text in
    British, Indian and American English.
    """
    found: dict[str, list[str]] = {}
    for entry in _entries(values):
        tag, text = text_value(entry.get("language_tag")).replace("-", "_"), text_value(entry.get("value"))
        if text and (tag == language or tag.startswith(f"{language}_")):
            found.setdefault(tag, []).append(text)
    return found.get(language) or next(iter(found.values()), [])


def _product_type(values: object) -> str:
    """Return the name of a product type: `CELLULAR_PHONE_CASE` is `Cellular Phone Case`."""
    words = values if isinstance(values, str) else next((e.get("value") for e in _entries(values)), None)
    names = clean_category_path([text_value(words).replace("_", " ").title()])
    return names[0] if names else ""


def _category_path(nodes: object, language: str) -> list[str]:
    """Return the first path in the shop's tree, without its root (`/Categories/Shoes/Boots`).

    A listing may be of a shop whose language is not its title's. The root identifies English shops.
    """
    for node in _entries(nodes):
        root, *names = text_value(node.get("node_name")).strip("/").split("/")
        if names and (root == _ENGLISH_ROOT) == (language.partition("_")[0] == "en"):
            return clean_category_path(names)
    return []


def _image_urls(line: ListingLine, paths: dict[str, str]) -> list[str]:
    """Return the URLs of the small images (256 pixels), the main one first, each once."""
    others = line.other_image_id if isinstance(line.other_image_id, list) else [line.other_image_id]
    image_paths = (paths.get(text_value(image_id)) for image_id in (line.main_image_id, *others))
    return [IMAGE_ROOT + path for path in dict.fromkeys(image_paths) if path]
