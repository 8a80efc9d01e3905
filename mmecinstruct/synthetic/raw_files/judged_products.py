"""The texts of the judged products (ESCI)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from mmecinstruct.synthetic.raw_files.catalogue import Products
from mmecinstruct.synthetic.raw_files.fragments import EMPTY, Piece, Repeated, owners, within
from mmecinstruct.synthetic.raw_files.hash_draws import Numbers
from mmecinstruct.synthetic.raw_files.judgements import LOCALES, Judgements
from mmecinstruct.synthetic.raw_files.world import World
from mmecinstruct.synthetic.shop.esci_files import PRODUCTS


class JudgedProducts:
    """The table of judged products."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._judgements = Judgements(world)
        add = world.fragments.add
        self._paragraph, self._end, self._break, self._line = (
            add("<p>"),
            add("</p>"),
            add("<br />"),
            add("\n"),
        )
        self._blank = add(" ")

    def tables(self, rows_at_once: int = 20_000) -> Iterator[pa.Table]:
        """Yield the table of products, `rows_at_once` rows at a time."""
        for locale, products in enumerate(self._world.volumes.judged_products):
            for first in range(0, products, rows_at_once):
                numbers = np.arange(first, min(first + rows_at_once, products))
                yield self._table(locale, numbers)

    def _table(self, locale: int, numbers: Numbers) -> pa.Table:
        world, draws, catalogue = self._world, self._world.draws, self._world.catalogue
        join, rows = world.fragments.join, len(numbers)
        where = np.full(rows, locale)
        products = self._judgements.judged(where, numbers)
        ids = products.key
        if locale == 0:
            title: list[Piece] = [catalogue.titles(products)]
        else:
            title = [
                catalogue.brands[catalogue.brand(products)],
                self._judgements.foreign_words(ids, locale, 9),
            ]
        brands = catalogue.brands[catalogue.brand(products)]
        colours = catalogue.colours[catalogue.colour(products)]
        return pa.table(
            [
                join(rows, [world.codes.asins(ids)]).strings(),
                join(rows, title).strings(~draws.chance(0.0002, "judged title", ids)),
                join(rows, self._description(products)).strings(
                    ~draws.chance(0.45, "judged description", ids)
                ),
                join(rows, self._points(products)).strings(~draws.chance(0.13, "judged points", ids)),
                join(rows, [brands]).strings(~draws.chance(0.05, "judged brand", ids)),
                join(rows, [colours]).strings(~draws.chance(0.33, "judged colour", ids)),
                pa.array([LOCALES[locale]] * rows),
            ],
            schema=PRODUCTS,
        )

    def _description(self, products: Products) -> list[Piece]:
        counts = 3 + self._world.draws.below(14, "judged description length", products.key)
        at, position = owners(counts), within(counts)
        kind = self._world.draws.below(8, "judged break", products.key[at], position)
        separator = np.where(
            position == 0, self._paragraph, np.where(kind == 0, self._break, self._blank)
        ).astype(np.int32)
        sentence = self._world.phrases.description(
            self._world.catalogue.category(products)[at], products.stem[at], position
        )
        return [Repeated(counts, np.concatenate([separator[:, None], sentence], axis=1)), self._end]

    def _points(self, products: Products) -> list[Piece]:
        counts = 3 + self._world.draws.below(6, "judged points count", products.key)
        at, position = owners(counts), within(counts)
        separator = np.where(position == 0, EMPTY, self._line).astype(np.int32)
        point = self._world.phrases.point(products.stem[at], position)
        return [Repeated(counts, np.concatenate([separator[:, None], point], axis=1))]
