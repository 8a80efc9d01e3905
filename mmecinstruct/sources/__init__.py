"""Parse raw files, as their publishers ship them, into tables: one module per source.

`source_files` finds the files of a recipe's source, `parse_file` reads one of them. Every record is either kept or
has one rejection with its file and line.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mmecinstruct.core.errors import SourceError
from mmecinstruct.curate.settings import MAX_TEXT
from mmecinstruct.sources import (
    abo,
    amazon2018,
    amazon2023,
    amazonqa,
    esci,
    esci_s,
    mave,
    own_catalogue,
    sqid,
)
from mmecinstruct.sources.readers.batches import ParsedBatch, RawFile
from mmecinstruct.sources.readers.matching import matching_files, stays_below
from mmecinstruct.sources.readers.text_cap import cap_texts
from mmecinstruct.sources.settings import (
    AboSource,
    Amazon2023Metadata,
    Amazon2023Reviews,
    AmazonMetadata,
    AmazonQaSource,
    AmazonRatings,
    AmazonReviews,
    CatalogSource,
    EsciPages,
    EsciSource,
    MaveSource,
    Source,
    SqidSource,
)

__all__ = ["ParsedBatch", "RawFile", "parse_file", "source_files", "source_patterns"]


def source_files(source: Source, root: Path) -> list[RawFile]:
    """Return the files of a source below the data root, globs expanded, sorted within each role.

    Raises:
        SourceError: A path matches nothing or leads out of the root; the message names the recipe field.
    """
    return [
        RawFile(role, root / origin, origin)
        for role, field, pattern, optional in source_patterns(source)
        for origin in _matches(source, field, pattern, root, optional)
    ]


def source_patterns(source: Source) -> list[tuple[str, str, str, bool]]:
    """Return (role, recipe field, path or glob, may be absent) of each of a source's tables."""
    if isinstance(source, CatalogSource):
        mappings = [(role, getattr(source, role)) for role in own_catalogue.ROLES]
        return [
            (role, f"{role}.path", mapping.path, getattr(mapping, "optional", False))
            for role, mapping in mappings
            if mapping is not None
        ]
    if isinstance(source, EsciSource | AboSource):
        roles = ("examples", "products", "sources") if source.kind == "esci" else ("listings", "images")
        return [(role, role, path, False) for role in roles if (path := getattr(source, role)) is not None]
    role_of = {
        "amazon18_metadata": "metadata",
        "amazon18_reviews": "reviews",
        "amazon18_ratings": "ratings",
        "amazon23_metadata": "metadata",
        "amazon23_reviews": "reviews",
        "esci_s": "pages",
        "sqid": "images",
        "amazonqa": "questions",
        "mave": "labels",
    }
    return [(role_of[source.kind], "path", source.path, False)]


def _matches(source: Source, field: str, pattern: str, root: Path, optional: bool) -> list[str]:
    named = f"source '{source.kind}', field {field}: '{pattern}'"
    if not stays_below(pattern):
        raise SourceError(f"{named} must be a path below the data root ({root}), without '..'")
    origins = matching_files(root, pattern)
    if not origins and not optional:
        pull = (
            ", or run `mmec pull` with the same recipe and data root"
            if _can_be_pulled(source, field, pattern)
            else ""
        )
        raise SourceError(
            f"{named} matches no file below {root}; put the file there{pull}, correct the field in the recipe "
            "or give another data root (--data)"
        )
    return origins


def _can_be_pulled(source: Source, field: str, pattern: str) -> bool:
    from mmecinstruct.sources.publishers import publishers
    from mmecinstruct.sources.publishers.remote import files_of_path

    try:
        files = files_of_path(source.kind, field, pattern, publishers())
    except SourceError:  # no publisher has such a file
        return False
    return any(file.url is not None or file.hub is not None for file in files)


def parse_file(source: Source, file: RawFile, max_text: int = MAX_TEXT) -> Iterator[ParsedBatch]:
    """Yield the tables of one raw file in batches, without reading the whole file into memory.

    Args:
        source: The recipe's source that names the file.
        file: The file, or a part of it.
        max_text: The largest number of characters of one text.

    Raises:
        SourceError: The file cannot be read or is not what its source says it is.
    """
    return cap_texts(_parse_file(source, file), file.origin, max_text)


def _parse_file(source: Source, file: RawFile) -> Iterator[ParsedBatch]:
    match source:
        case AmazonMetadata():
            return amazon2018.parse_metadata(file)
        case AmazonReviews():
            return amazon2018.parse_reviews(file)
        case AmazonRatings():
            return amazon2018.parse_ratings(file)
        case Amazon2023Metadata():
            return amazon2023.parse_metadata(file)
        case Amazon2023Reviews():
            return amazon2023.parse_reviews(file)
        case EsciSource() if file.role == "sources":
            return esci.parse_query_kinds(file)
        case EsciSource() if file.role == "examples":
            return esci.parse_examples(file, source.locale)
        case EsciSource():
            return esci.parse_products(file, source.locale)
        case EsciPages():
            return esci_s.parse_pages(file, source.locale)
        case AboSource() if file.role == "images":
            return abo.parse_images(file)
        case AboSource():
            files = source_files(source, _root_of(file))
            return abo.parse_listings(
                file, [other.path for other in files if other.role == "images"], source.language
            )
        case SqidSource():
            return sqid.parse_image_urls(file)
        case AmazonQaSource():
            return amazonqa.parse_questions(file)
        case MaveSource():
            return mave.parse_labels(file)
        case CatalogSource():
            return own_catalogue.parse_table(source, file)


def _root_of(file: RawFile) -> Path:
    """Return the data root, below which a file's origin is its path."""
    return file.path.parents[len(PurePosixPath(file.origin).parts) - 1]
