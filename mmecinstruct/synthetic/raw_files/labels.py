"""MAVE's labels, line by line; as in the real file, most label products that are in no other file."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmecinstruct.synthetic.raw_files.catalogue import COLOUR_COLUMN, OUTSIDE, Products
from mmecinstruct.synthetic.raw_files.codes import product_key
from mmecinstruct.synthetic.raw_files.fragments import EMPTY, Ids, Piece
from mmecinstruct.synthetic.raw_files.hash_draws import Numbers, spread
from mmecinstruct.synthetic.raw_files.line_dirt import LineDirt
from mmecinstruct.synthetic.raw_files.world import World

_LABELLED = 2_226_509 / 15_500_000  # of all products
_OUTSIDE_FROM = 1_500_000_000


class Labels:
    """The lines of the file of labels."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.rows = world.volumes.labels
        sizes = [round(products * _LABELLED) for products in world.volumes.products]
        self._ends = np.minimum(np.cumsum(sizes), self.rows)
        add, add_all = world.fragments.add, world.fragments.add_all
        self._id, self._category, self._attributes = (
            add('{"id": "'),
            add('", "category": "'),
            add('", "attributes": ['),
        )
        self._names = add_all(category.name for category in world.catalogue.categories)
        self._keys = add_all(
            f'{before}{{"key": "{name}", "evidences": [{{"value": "'
            for before, name in (("", "Type"), (", ", "Color"), (", ", "Brand"))
        )
        self._pids = add_all(f'", "pid": {paragraph}, "begin": ' for paragraph in (0, 0, 4))
        self._until, self._done_attribute, self._done = add(', "end": '), add("}]}"), add("]}\n")
        self._dirt = LineDirt(world, "mave", '{"id": "B000', '", "categ')

    def products(self, rows: Numbers) -> Products:
        """Return the labelled products of rows."""
        position = spread(rows, self.rows)
        department = np.searchsorted(self._ends, position, side="right")
        starts = np.concatenate([[0], self._ends])
        found = product_key(OUTSIDE, position + _OUTSIDE_FROM)
        for one, products in enumerate(self._world.volumes.products):
            if products:
                number = spread(position - starts[one], products)
                found = np.where(department == one, product_key(one, number), found)
        return self._world.catalogue.of_keys(found)

    def text(self, first: int, last: int) -> pa.Buffer:
        """Return the lines of rows from `first` to before `last`."""
        rows = np.arange(first, last)
        return self._world.fragments.join(len(rows), [self._dirt.before(rows), *self._line(rows)]).data

    def _line(self, rows: Numbers) -> list[Piece]:
        catalogue = self._world.catalogue
        products = self.products(rows)
        category = catalogue.category(products)
        titles = catalogue.titles(products)
        starts = np.cumsum(self._world.fragments.lengths(titles), axis=1)
        noun = catalogue.noun_column(products)
        colour = titles[:, COLOUR_COLUMN] != EMPTY
        brand = catalogue.brands[catalogue.brand(products)]
        every = np.ones(len(rows), bool)
        return [
            self._id,
            self._world.codes.asins(products.key),
            self._category,
            self._names[category],
            self._attributes,
            *self._attribute(0, catalogue.nouns[category], starts[np.arange(len(rows)), noun], every),
            *self._attribute(
                1, catalogue.colours[catalogue.colour(products)], starts[:, COLOUR_COLUMN], colour
            ),
            *self._attribute(2, brand, self._world.fragments.lengths(brand), every),
            self._done,
        ]

    def _attribute(self, number: int, value: Ids, end: Numbers, there: NDArray[np.bool_]) -> list[Piece]:
        """Return an attribute whose value ends at `end` of its paragraph, in the rows that have it."""
        codes = self._world.codes
        begin = end - self._world.fragments.lengths(value)
        block = np.concatenate(
            [
                _column(self._keys[number], value), value[:, None],
                _column(self._pids[number], value), codes.whole(begin),
                _column(self._until, value), codes.whole(end), _column(self._done_attribute, value),
            ],
            axis=1,
        )  # fmt: skip
        return [np.where(there[:, None], block, EMPTY).astype(np.int32)]


def _column(fragment: int, like: Ids) -> Ids:
    return np.full((len(like), 1), fragment, np.int32)
