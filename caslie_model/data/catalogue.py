"""Attributes of products from a catalogue, and which product of a dataset is which of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from caslie_model.errors import ConfigError
from caslie_model.runtime.console import say
from mmecinstruct.core.errors import SourceError
from mmecinstruct.recipe import load_recipe
from mmecinstruct.sources.readers.batches import RowError
from mmecinstruct.sources.readers.fields import text_value
from mmecinstruct.sources.readers.tabular import read_rows
from mmecinstruct.synthetic.shop import product_attributes

# The image of this role shows what the reviewer chose to show, not what a catalogue says of the product.
ROLE_OF_OTHERS = "review"
# Between the attributes of a description, so none has it.
SEPARATOR = ";"
_LONGEST_VALUE = 100  # characters; a description is no attribute
_RECIPE = "recipe.yaml"

# The attributes of each product by its id; those that a product lacks are absent.
Catalogue = Mapping[str, Mapping[str, str]]


def read_catalogue(path: Path, id_column: str, attributes: Sequence[str]) -> dict[str, dict[str, str]]:
    """Read a catalogue. Rows that cannot be read and values over 100 characters are left out and counted on stderr.

    A semicolon in a value becomes a comma.

    Args:
        path: CSV, TSV, JSON lines or Parquet, a product in each row.
        id_column: The column of the products' ids.
        attributes: The columns to read.

    Returns:
        The attributes of each product by its id; those that a product lacks are absent.

    Raises:
        SourceError: If the file is missing, of no known kind, or has no row with one of the columns.
    """
    if not path.is_file():
        raise SourceError(f"catalogue={path}: there is no such file")
    columns = {"id_column": id_column, **{f"attributes: {name}": name for name in attributes}}
    products: dict[str, dict[str, str]] = {}
    unreadable = too_long = 0
    absent = set(columns.values())
    for _, row in read_rows(path, columns):
        if not isinstance(row, RowError):
            absent -= row.keys()
        name = "" if isinstance(row, RowError) else text_value(row.get(id_column))
        if isinstance(row, RowError) or not name:
            unreadable += 1
            continue
        words = {
            attribute: " ".join(text_value(row.get(attribute)).replace(SEPARATOR, ",").split())
            for attribute in attributes
        }
        too_long += sum(len(value) > _LONGEST_VALUE for value in words.values())
        products[name] = {key: value for key, value in words.items() if 0 < len(value) <= _LONGEST_VALUE}
    if absent:  # also of a table without rows
        columns_by_option = ", ".join(
            f"{column} ({option})" for option, column in columns.items() if column in absent
        )
        raise SourceError(f"{path}: no row has {columns_by_option}")
    if unreadable or too_long:
        say(f"{path}: {unreadable} rows without an id or not readable, {too_long} values too long: left out")
    return products


def sample_shop_catalogue(data: str, attributes: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the ground truth of the sample shop, made anew from the recipe that a dataset folder has.

    Args:
        data: The dataset folder.
        attributes: Names of attributes, such as `colour`.

    Returns:
        The attributes of each product by its id.

    Raises:
        ConfigError: If the dataset was not built from the sample shop, or its products have no such attribute.
    """
    path = Path(data) / _RECIPE
    recipe = load_recipe(str(path)) if path.is_file() else None
    if recipe is None or recipe.sample is None:
        raise ConfigError(
            f"{data} was not built from the sample shop, whose attributes are known: give `catalogue`, a table with "
            "the attributes of its products"
        )
    products = product_attributes(recipe.sample, recipe.seed)
    known = next(iter(products.values()))
    if unknown := [name for name in attributes if name not in known]:
        raise ConfigError(
            f"attributes: products of the sample shop have no {', '.join(unknown)}; they have {', '.join(known)}"
        )
    return {name: {each: values[each] for each in attributes} for name, values in products.items()}


def catalogue_id(product: str, catalogue: Catalogue) -> str | None:
    """Return a product's id in the catalogue, None where it has no attributes there.

    Args:
        product: Its id in the dataset, with the prefix of the source (`luma:24-WG086`), which the catalogue may lack.
        catalogue: The catalogue.
    """
    return next((name for name in (product, product.partition(":")[2]) if catalogue.get(name)), None)
