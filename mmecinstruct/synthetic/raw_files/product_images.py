"""The image URLs of ESCI's test products (SQID)."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pyarrow as pa

from mmecinstruct.synthetic.raw_files.fragments import EMPTY
from mmecinstruct.synthetic.raw_files.hash_draws import Numbers
from mmecinstruct.synthetic.raw_files.judgements import Judgements
from mmecinstruct.synthetic.raw_files.world import World


class ProductImages:
    """The image URLs of the US products in the small version's test split, or of further products (supplement)."""

    _CODES = ("._AC_SX425_", "._AC_SX679_", "._SY385_", "._AC_SY355_", "._SX550_", "")
    _CODE_SHARES = (0.45, 0.2, 0.12, 0.13, 0.06)
    _DEFAULT_SHARE = 442 / 164_900
    _DEFAULT = "https://m.media-amazon.com/images/G/01/digital/video/web/Default_Background_Art_LTR._SX1080_FMjpg_.jpg"

    def __init__(self, world: World, supplement: bool) -> None:
        self._world, self._judgements, self._supplement = world, Judgements(world), supplement
        self._empty_share = 910 / 27_139 if supplement else 1 - 156_545 / 164_900
        add, add_all = world.fragments.add, world.fragments.add_all
        self._header, self._comma, self._newline = add("product_id,image_url\n"), add(","), add("\n")
        self._host, self._jpg, self._default = (
            add("https://m.media-amazon.com/images/I/"),
            add(".jpg"),
            add(self._DEFAULT),
        )
        self._codes = add_all([self._CODES[-1], *self._CODES[:-1]])

    @cached_property
    def numbers(self) -> Numbers:
        """The numbers of the products, ascending."""
        test: list[Numbers] = []
        train: list[Numbers] = []
        for first in range(0, self._judgements.queries, 5_000):
            pairs = self._judgements.pairs(first, min(first + 5_000, self._judgements.queries))
            ours = (pairs.locale == 0) & pairs.is_small
            test.append(pairs.product[ours & pairs.is_test])
            train.append(pairs.product[ours])
        tested = np.unique(np.concatenate(test))
        if not self._supplement:
            return tested
        products, times = np.unique(np.concatenate(train), return_counts=True)
        more = np.setdiff1d(products[times >= 2], tested)
        sampled = self._world.draws.words("supplement", more)
        return np.sort(more[np.argsort(sampled, kind="stable")[: self._world.volumes.more_with_images]])

    @property
    def rows(self) -> int:
        """The number of products."""
        return len(self.numbers)

    def text(self, first: int, last: int) -> pa.Buffer:
        """Return the lines of products from `first` to before `last`; the first one follows the column names."""
        draws, world = self._world.draws, self._world
        rows = np.arange(first, last)
        products = world.catalogue.judged(self.numbers[first:last])
        ids = products.key
        kind = draws.kinds((self._empty_share, self._DEFAULT_SHARE), "picture kind", ids)
        names = world.codes.images(world.catalogue.image_words(products, np.zeros_like(ids)))
        code = self._codes[draws.kinds(self._CODE_SHARES, "picture code", ids)]
        host = np.full((len(ids), 1), self._host, np.int32)
        ends = np.full((len(ids), 1), self._jpg, np.int32)
        url = np.concatenate([host, names, code[:, None], ends], axis=1)
        return world.fragments.join(
            len(rows),
            [
                np.where(rows == 0, self._header, EMPTY).astype(np.int32),
                world.codes.asins(ids),
                self._comma,
                np.where((kind == 0)[:, None], url, EMPTY).astype(np.int32),
                np.where(kind == 2, self._default, EMPTY).astype(np.int32),
                self._newline,
            ],
        ).data
