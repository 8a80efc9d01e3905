"""A shop's table of products, read through a recipe's mapping of columns, row by row with what each row lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from caslie_model.errors import ConfigError
from mmecinstruct.core.errors import SourceError, YamlError
from mmecinstruct.core.settings import QUIET, Settings, wrong_fields
from mmecinstruct.core.yaml_text import read_yaml
from mmecinstruct.images.settings import ImageSettings
from mmecinstruct.recipe import load_recipe
from mmecinstruct.sources import RawFile, parse_file
from mmecinstruct.sources.formats import file_format
from mmecinstruct.sources.readers.batches import RowError
from mmecinstruct.sources.readers.fields import text_value
from mmecinstruct.sources.readers.tabular import read_rows
from mmecinstruct.sources.settings import CatalogSource, ProductMapping
from mmecinstruct.text.normalise import html_to_text
from mmecinstruct.web.images.settings import FetchSettings

# Columns that are found by these names where no mapping names them.
_GUESSED = ("id", "title", "images")
# Rows whose names of columns are read for that.
_ROWS_FOR_NAMES = 100
_PREFIX = "shop"


class _Parts(Settings):
    """The parts of a recipe that reading a table of products takes."""

    products: ProductMapping
    images: ImageSettings = ImageSettings()
    fetch: FetchSettings = FetchSettings()


@dataclass(frozen=True)
class OwnMapping:
    """How a table is read.

    Attributes:
        products: Its columns; None: found by their names.
        images: Folders and limits of its images.
        fetch: Whether and how images are requested.
    """

    products: ProductMapping | None = None
    images: ImageSettings = field(default_factory=ImageSettings)
    fetch: FetchSettings = field(default_factory=FetchSettings)

    @classmethod
    def read(cls, file: Path | None) -> Self:
        """Return the mapping of a file: a recipe, its `products:` block, or the fields of that block alone.

        Raises:
            ConfigError: There is no such file, or it has no such block.
            RecipeError: The recipe is not valid.
        """
        if file is None:
            return cls()
        if not file.is_file():
            raise ConfigError(f"mapping {file}: there is no such file")
        try:
            content = read_yaml(file)
        except YamlError as error:
            raise ConfigError(str(error)) from error
        if not isinstance(content, dict):
            raise ConfigError(
                f"mapping {file}: a mapping of fields to columns, as a recipe's `products:` block is"
            )
        if "sources" in content:
            recipe = load_recipe(str(file))
            found = [each.products for each in recipe.sources if isinstance(each, CatalogSource)]
            if not found:
                raise ConfigError(
                    f"mapping {file}: the recipe has no source of kind catalog, which maps columns"
                )
            return cls(found[0], recipe.images, recipe.fetch)
        parts = content if "products" in content else {"products": content}
        if isinstance(parts["products"], dict):
            # The table is given.
            parts = {**parts, "products": {**parts["products"], "path": "table"}}
        try:
            read = _Parts.model_validate(parts, context=QUIET)
        except ValidationError as error:
            raise ConfigError(
                "\n".join([f"mapping {file}: not valid:", *wrong_fields(error, _Parts)])
            ) from error
        return cls(read.products, read.images, read.fetch)


@dataclass(frozen=True, slots=True)
class OwnRow:
    """A row of a table.

    Attributes:
        line: Its line, or its number in a Parquet file.
        id: The shop's id; empty where it has none.
        title: The title.
        images: Paths and web addresses of its images, the best first.
        cells: The texts of further columns, by what they are for; several in one cell are split.
        reason: Why nothing can be asked about it, else empty.
    """

    line: int
    id: str
    title: str = ""
    images: tuple[str, ...] = ()
    cells: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reason: str = ""


def read_own_table(
    path: Path,
    products: ProductMapping | None,
    columns: Mapping[str, str],
    *,
    titled: bool = True,
    with_images: bool = True,
    several: Sequence[str] = (),
) -> list[OwnRow]:
    """Read a table of products: CSV, TSV, JSON lines or Parquet.

    Args:
        path: The table.
        products: Its columns; None: `id`, `title` and `images`, in any case.
        columns: Further columns, by what they are for.
        titled: Whether a row needs a title.
        with_images: Whether images are read.
        several: Which of the further columns may hold several texts in a cell.

    Returns:
        All its rows in order, those that are rejected among them.

    Raises:
        SourceError: The file is missing, empty, of another format, or lacks a column.
    """
    if not path.is_file():
        raise SourceError(f"table {path}: there is no such file")
    names = _column_names(path)
    mapping = products or _guessed(path, names, titled)
    for what, column in columns.items():
        if column not in names:
            raise SourceError(f"{path}: no column '{column}' ({what}); it has {', '.join(names)}")
    read = ProductMapping(
        path="table",
        quoting=mapping.quoting,
        id=mapping.id,
        # A row without a title is rejected by the reader: where none is needed, its id stands for it.
        title=mapping.title if titled else mapping.id,
        images=mapping.images if with_images else None,
        list_separator=mapping.list_separator,
    )
    cells = _cells(path, read, columns, several)
    rows = _rows(path, read, cells)
    if not rows:
        raise SourceError(f"table {path}: it has no rows")
    return _without_repeated(sorted(rows, key=lambda row: row.line))


def _rows(
    path: Path, read: ProductMapping, cells: Mapping[int, Mapping[str, tuple[str, ...]]]
) -> list[OwnRow]:
    rows = []
    prefix = len(_PREFIX) + 1
    source = CatalogSource(kind="catalog", prefix=_PREFIX, products=read)
    for batch in parse_file(source, RawFile("products", path, path.name)):
        for rejection in batch.rejections:
            line = int(rejection.origin.rpartition(":")[2])
            reason = f"{rejection.reason}: {rejection.detail}"
            rows.append(OwnRow(line, rejection.record_id[prefix:], reason=reason))
        kept = batch.tables["products"].select(["product_id", "title", "image_urls"]).to_pylist()
        for line, row in zip(batch.lines, kept, strict=True):
            images = tuple(row["image_urls"] or ())
            rows.append(OwnRow(line, row["product_id"][prefix:], row["title"], images, cells.get(line, {})))
    return rows


def _without_repeated(rows: Sequence[OwnRow]) -> list[OwnRow]:
    """Reject rows whose id an earlier row has."""
    first: dict[str, int] = {}
    result = []
    for row in rows:
        if not row.reason and first.setdefault(row.id, row.line) != row.line:
            reason = f"repeated_id: line {first[row.id]} has this id too"
            row = OwnRow(row.line, row.id, row.title, reason=reason)
        result.append(row)
    return result


def _column_names(path: Path) -> tuple[str, ...]:
    names: dict[str, None] = {}
    if file_format(path).table == "parquet":
        return _names_in_parquet(path)
    for number, (_, row) in enumerate(read_rows(path, {})):
        if not isinstance(row, RowError):
            names |= dict.fromkeys(row)
        if number >= _ROWS_FOR_NAMES and names:
            break
    if not names:
        raise SourceError(f"table {path}: it has no row that can be read")
    return tuple(names)


def _names_in_parquet(path: Path) -> tuple[str, ...]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return tuple(pq.read_schema(path).names)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from error


def _guessed(path: Path, names: Sequence[str], titled: bool) -> ProductMapping:
    """Return a mapping of the columns that have the names of fields."""
    found: dict[str, Any] = {}
    for name in names:
        key = name.strip().casefold()
        if key in _GUESSED:
            found.setdefault(key, name)
    lacking = [name for name in _GUESSED[: 2 if titled else 1] if name not in found]
    if lacking:
        raise SourceError(
            f"{path}: no column {' and '.join(lacking)}; it has {', '.join(names)}: say in a mapping which columns "
            "are id and title"
        )
    return ProductMapping(path="table", **{"title": found["id"], **found})


def _cells(
    path: Path, read: ProductMapping, columns: Mapping[str, str], several: Sequence[str]
) -> dict[int, dict[str, tuple[str, ...]]]:
    """Return the texts of further columns by line and purpose."""
    if not columns:
        return {}
    cells = {}
    for line, row in read_rows(path, dict(columns), quoting=read.quoting):
        if isinstance(row, RowError):
            continue
        texts = {}
        for what, column in columns.items():
            value = row.get(column)
            parts: Sequence[Any] = [value]
            if what in several:
                parts = value if isinstance(value, list) else text_value(value).split(read.list_separator)
            read_texts = (html_to_text(text_value(part)) for part in parts)
            texts[what] = tuple(dict.fromkeys(text for text in read_texts if text))
        cells[line] = texts
    return cells
