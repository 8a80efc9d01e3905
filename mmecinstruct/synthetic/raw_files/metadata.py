"""Amazon's product metadata of 2018, line by line, with the dirt of the real files.

A file has as many rows as its publisher counts. One row in fifty repeats an earlier one byte for byte, so there are
fewer products than rows. The sports file has the image schema before 2021, the others the one since then.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmecinstruct.synthetic.raw_files.catalogue import Products
from mmecinstruct.synthetic.raw_files.codes import FIRST_DAY, LAST_DAY
from mmecinstruct.synthetic.raw_files.fragments import (
    EMPTY,
    Fragments,
    Ids,
    Piece,
    Repeated,
    json_text,
    owners,
    within,
)
from mmecinstruct.synthetic.raw_files.hash_draws import Numbers
from mmecinstruct.synthetic.raw_files.line_dirt import LineDirt
from mmecinstruct.synthetic.raw_files.links import BOUGHT, SIMILAR, VIEWED, Linker, Links
from mmecinstruct.synthetic.raw_files.vocabulary import ALL_DEPARTMENTS, DEPARTMENTS
from mmecinstruct.synthetic.raw_files.world import World
from mmecinstruct.synthetic.shop.dirt import (
    BULLET_IN_CATEGORY,
    CSS_PRICE,
    HTML_TITLE,
    SCRIPT_PRICE,
    SCRIPT_TITLE,
)

OLD_IMAGE_SCHEMA = "Sports_and_Outdoors"

REPEATED_ROWS = 0.022  # as in the real Tools file
_REPEATED_WITHIN = 20_000  # rows

# Shares of rows. The first three kinds of title are no names, the fourth is empty, the fifth is missing.
_TITLE_DIRT = (0.03, 0.003, 0.003, 0.002, 0.001)
_ENTITIES = 0.6  # of the titles and categories with an `&`
# None, style sheet, script, a tag, a range, NaN.
_PRICE_DIRT = (0.45, 0.03, 0.01, 0.02, 0.05, 0.0005)
_CATEGORY_DIRT = (0.04, 0.02, 0.01)  # a bullet point, a tag, no category
_BRAND_DIRT = (0.04, 0.005)  # none, the title of a page
_DATE_DIRT = (0.3, 0.01, 0.01)  # none, a tag, stars
_NO_IMAGE, _MOST_IMAGES = 0.22, 7
# The first image again, a still of a video, the placeholder.
_IMAGE_DIRT = (0.015, 0.01, 0.004)
_NO_ASIN = 0.0002

_HOST = "https://images-na.ssl-images-amazon.com/images/I/"
_THUMBNAILS = ("._SX38_SY50_CR,0,0,38,50_.jpg", "._SS40_.jpg", "._US40_.jpg")
_STILL = ".SX50_SY65_CR,0,0,50,65_PKmb-play-button-overlay-thumb_.jpg"
_NO_IMAGE_NAME = "01RmK+J4pJL"


class Metadata:
    """The lines of one department's metadata file."""

    def __init__(self, world: World, department: int) -> None:
        self._world, self._department = world, department
        self.rows = world.volumes.products[department]
        self._file = DEPARTMENTS[department].file
        self._linker = Linker(world.draws, department, self.rows)
        self._texts = _MetadataTexts(world.fragments, department)
        self._dirt = LineDirt(world, f"meta {self._file}", '{"category": ["', '"], "tech1": "", "descri')

    def numbers(self, rows: Numbers) -> Numbers:
        """Return the numbers of the products in rows: the row's own, or an earlier one's."""
        draws, file = self._world.draws, self._file
        earlier = rows - 1 - draws.below(_REPEATED_WITHIN, f"{file} repeats what", rows) % np.maximum(rows, 1)
        repeats = (rows > 0) & draws.chance(REPEATED_ROWS, f"{file} repeats", rows)
        repeats &= ~draws.chance(REPEATED_ROWS, f"{file} repeats", earlier)
        return np.where(repeats, earlier, rows)

    def text(self, first: int, last: int) -> pa.Buffer:
        """Return the lines of rows from `first` to before `last`."""
        rows = np.arange(first, last)
        numbers = self.numbers(rows)
        pieces = [self._dirt.before(rows), *self._line(numbers)]
        return self._world.fragments.join(len(rows), pieces).data

    def _line(self, numbers: Numbers) -> list[Piece]:
        world, texts = self._world, self._texts
        products = world.catalogue.of_department(self._department, numbers)
        asins = np.where(
            world.draws.chance(_NO_ASIN, "no asin", products.key)[:, None],
            EMPTY,
            world.codes.asins(products.key),
        ).astype(np.int32)
        return [
            texts.key("{", "category", "["),
            *self._category(products),
            texts.key("], ", "tech1", '"'),
            np.where(world.draws.chance(0.08, "tech", products.key), texts.table, EMPTY).astype(np.int32),
            texts.key('", ', "description", "["),
            *self._description(products),
            texts.key("], ", "fit", '"", '),
            *self._title(products),
            texts.key("", "also_buy", "["),
            *self._linked(self._linker.links(BOUGHT, numbers)),
            texts.key("], ", "tech2", '"", "brand": "'),
            *self._brand(products),
            texts.key('", ', "feature", "["),
            *self._features(products),
            texts.key("], ", "rank", ""),
            *self._rank(products),
            texts.key(", ", "also_view", "["),
            *self._linked(self._linker.links(VIEWED, numbers)),
            texts.key("], ", "details", "{"),
            *self._details(products, asins),
            texts.key("}, ", "main_cat", '"'),
            np.where(world.draws.chance(0.01, "picture main", products.key), texts.main_image, texts.main)
            .astype(np.int32),
            texts.key('", ', "similar_item", '"'),
            *self._similar(products, self._linker.links(SIMILAR, numbers)),
            texts.key('", ', "date", '"'),
            self._date(products),
            texts.key('", ', "price", ""),
            *self._price(products),
            texts.key(", ", "asin", '"'),
            asins,
            *self._images(products),
            texts.end,
        ]  # fmt: skip

    def _category(self, products: Products) -> list[Piece]:
        draws, texts, ids = self._world.draws, self._texts, products.key
        category = self._world.catalogue.category(products)
        escaped = draws.chance(_ENTITIES, "category entities", ids)
        names = np.where(escaped, texts.escaped_paths[category], texts.paths[category])
        kind = draws.kinds(_CATEGORY_DIRT, "category dirt", ids)
        return [np.where(kind == 3, EMPTY, names).astype(np.int32), texts.category_dirt[kind]]

    def _description(self, products: Products) -> list[Piece]:
        draws, texts, ids = self._world.draws, self._texts, products.key
        counts = draws.below(13, "description length", ids)
        counts = np.where(draws.chance(0.14, "no description", ids), 0, counts)
        at, position = owners(counts), within(counts)
        separators = texts.sentence_separators[
            1 + draws.kinds((0.16, 0.05, 0.01), "paragraph", ids[at], position)
        ]
        separators = np.where(position == 0, texts.sentence_separators[0], separators)
        sentence = self._world.phrases.description(
            self._world.catalogue.category(products)[at], products.stem[at], position
        )
        sentences = np.concatenate([separators[:, None], sentence], axis=1)
        return [Repeated(counts, sentences), np.where(counts > 0, texts.quote, EMPTY).astype(np.int32)]

    def _title(self, products: Products) -> list[Piece]:
        draws, texts, ids = self._world.draws, self._texts, products.key
        words = self._world.catalogue.titles(products, draws.chance(_ENTITIES, "title entities", ids))
        kind = draws.kinds(_TITLE_DIRT, "title dirt", ids)
        words = np.where((kind > 0)[:, None], EMPTY, words)
        words[:, 0] = np.where(kind > 0, texts.title_dirt[kind], words[:, 0])
        is_there = kind != 5
        return [
            np.where(is_there, texts.title_key, EMPTY).astype(np.int32),
            words,
            np.where(is_there, texts.title_end, EMPTY).astype(np.int32),
        ]

    def _linked(self, links: Links) -> list[Piece]:
        return self._list(links.counts, self._world.codes.asins(links.keys))

    def _list(self, counts: Numbers, items: Ids) -> list[Piece]:
        """Return quoted items with commas between them."""
        separator = np.where(within(counts) == 0, self._texts.quote, self._texts.next_item).astype(np.int32)
        last = np.where(counts > 0, self._texts.quote, EMPTY).astype(np.int32)
        return [Repeated(counts, np.concatenate([separator[:, None], items], axis=1)), last]

    def _brand(self, products: Products) -> list[Piece]:
        texts = self._texts
        kind = self._world.draws.kinds(_BRAND_DIRT, "brand dirt", products.key)
        brand = self._world.catalogue.brands[self._world.catalogue.brand(products)]
        return [
            np.where(kind == 2, texts.visit, EMPTY).astype(np.int32),
            np.where(kind == 1, EMPTY, brand).astype(np.int32),
            np.where(kind == 2, texts.page, EMPTY).astype(np.int32),
        ]

    def _features(self, products: Products) -> list[Piece]:
        draws, ids = self._world.draws, products.key
        counts = np.where(draws.chance(0.2, "no features", ids), 0, 1 + draws.below(9, "features", ids))
        return self._list(counts, self._world.phrases.point(products.stem[owners(counts)], within(counts)))

    def _rank(self, products: Products) -> list[Piece]:
        draws, texts, ids = self._world.draws, self._texts, products.key
        form = draws.kinds((0.55, 0.4), "rank form", ids)  # a text, a list, an empty list
        sampled = draws.fractions("rank", ids)
        first = self._world.codes.grouped((1 + 3_000_000 * sampled**2).astype(np.int64))
        second = self._world.codes.grouped((1 + 40_000 * sampled**2).astype(np.int64))
        path = texts.rank_paths[self._world.catalogue.category(products)]
        is_list = form == 2
        return [
            texts.rank_starts[form],
            np.where((form == 0)[:, None], EMPTY, first).astype(np.int32),
            texts.rank_middles[form],
            np.where(is_list[:, None], second, EMPTY).astype(np.int32),
            np.where(is_list, path, EMPTY).astype(np.int32),
        ]

    def _details(self, products: Products, asins: Ids) -> list[Piece]:
        draws, texts, ids, codes = self._world.draws, self._texts, products.key, self._world.codes
        sides = [codes.plain[1 + draws.below(40, "side", ids, np.full(len(ids), side))] for side in range(3)]
        form = draws.below(3, "details", ids)
        kept = (form > 0)[:, None]
        size = np.stack(
            [
                np.full(len(ids), texts.dimensions, np.int32), sides[0], np.full(len(ids), texts.by, np.int32),
                sides[1], np.full(len(ids), texts.by, np.int32), sides[2], np.full(len(ids), texts.inches, np.int32),
            ],
            axis=1,
        )  # fmt: skip
        weight = codes.plain[1 + draws.below(60, "weight", ids)]
        return [
            np.where(kept, size, EMPTY).astype(np.int32),
            texts.weight_key,
            weight,
            texts.asin_keys[form],
            asins,
            texts.quote,
        ]

    def _similar(self, products: Products, links: Links) -> list[Piece]:
        """Return the page's comparison table: the product in the first column, then similar ones."""
        world, texts = self._world, self._texts
        has = links.counts > 0
        counts = np.where(has, links.counts + 1, 0)
        at, position = owners(counts), within(counts)
        linked = np.cumsum(links.counts) - links.counts
        column = np.where(
            position == 0,
            products.key[at],
            links.keys[np.minimum(linked[at] + np.maximum(position, 1) - 1, max(len(links.keys) - 1, 0))]
            if len(links.keys)
            else products.key[at],
        )
        compared = world.catalogue.of_keys(column)
        asins, titles = world.codes.asins(column), world.catalogue.titles(compared)
        prices = world.codes.amounts(world.catalogue.cents(compared))
        style = texts.columns[np.minimum(position, len(texts.columns) - 1)]
        heads = np.concatenate(
            [
                style[:, None], asins, _repeated(texts.head_link, at), asins, _repeated(texts.head_image, at),
                world.codes.images(world.catalogue.image_words(compared, np.zeros_like(column)), True),
                _repeated(texts.head_title, at), titles, _repeated(texts.head_end, at),
            ],
            axis=1,
        )  # fmt: skip
        cells = np.concatenate(
            [_repeated(texts.price_cell, at), prices, _repeated(texts.price_end, at)], axis=1
        )
        between, last = (
            np.where(has, one, EMPTY).astype(np.int32) for one in (texts.rows_between, texts.rows_end)
        )
        first = np.where(has, texts.rows_start, EMPTY).astype(np.int32)
        return [first, Repeated(counts, heads), between, Repeated(counts, cells), last]

    def _date(self, products: Products) -> Ids:
        draws, ids = self._world.draws, products.key
        kind = draws.kinds(_DATE_DIRT, "date dirt", ids)
        days = FIRST_DAY + draws.below(LAST_DAY - FIRST_DAY, "date", ids)
        return np.where(kind > 0, self._texts.date_dirt[kind], self._world.codes.named_days(days)).astype(
            np.int32
        )

    def _price(self, products: Products) -> list[Piece]:
        draws, texts, codes = self._world.draws, self._texts, self._world.codes
        kind = draws.kinds(_PRICE_DIRT, "price dirt", products.key)
        cents = self._world.catalogue.cents(products)
        amount = np.where(((kind == 0) | (kind == 5))[:, None], codes.amounts(cents), EMPTY).astype(np.int32)
        upper = np.where((kind == 5)[:, None], codes.amounts(cents * 2), EMPTY).astype(np.int32)
        return [texts.price_starts[kind], amount, texts.price_middles[kind], upper, texts.price_ends[kind]]

    def _images(self, products: Products) -> list[Piece]:
        draws, texts, ids = self._world.draws, self._texts, products.key
        counts = 1 + (_MOST_IMAGES * draws.fractions("pictures", ids) ** 1.7).astype(np.int64)
        counts = np.where(draws.chance(_NO_IMAGE, "no picture", ids), 0, counts)
        at, position = owners(counts), within(counts)
        kind = draws.kinds(_IMAGE_DIRT, "picture dirt", ids[at], position)
        words = self._world.catalogue.image_words(products.at(at), np.where(kind == 1, 0, position))
        names = self._world.codes.images(words, escaped=True)
        nothing = (kind == 3) & (counts[at] == 1)
        names[:, 0] = np.where(nothing, texts.no_image, names[:, 0])
        names[:, 1:] = np.where(nothing[:, None], EMPTY, names[:, 1:])
        host = _repeated(texts.host, at)
        form = draws.below(len(_THUMBNAILS), "thumbnail", ids)[at]
        still = (kind == 2) & (position > 0)
        ends = np.where(still, texts.still, texts.thumbnails[form]).astype(np.int32)
        small = self._list(counts, np.concatenate([host, names, ends[:, None]], axis=1))
        if self._file == OLD_IMAGE_SCHEMA:
            return [texts.key('", ', "image", "["), *small]
        full = self._list(counts, np.concatenate([host, names, _repeated(texts.jpg, at)], axis=1))
        return [
            texts.key('", ', "imageURL", "["), *small, texts.key("], ", "imageURLHighRes", "["), *full,
        ]  # fmt: skip


def _repeated(fragment: int, like: NDArray[np.int64]) -> Ids:
    return np.full((len(like), 1), fragment, np.int32)


class _MetadataTexts:
    """The fragments of metadata lines that are not in the catalogue."""

    def __init__(self, fragments: Fragments, department: int) -> None:
        self._fragments = fragments
        add, add_all, add_json = fragments.add, fragments.add_all, fragments.add_json
        name = DEPARTMENTS[department].name
        paths = [
            [one.name, category.middle, category.name]
            for one in ALL_DEPARTMENTS
            for category in one.categories
        ]
        self.paths = add_all(", ".join(f'"{part}"' for part in path) for path in paths)
        self.escaped_paths = add_all(
            ", ".join(f'"{part.replace("&", "&amp;")}"' for part in path) for path in paths
        )
        tag = json_text("</span></span></span>")
        self.category_dirt = add_all(["", f', "{BULLET_IN_CATEGORY}"', f', "{tag}"', ""])
        self.table = add_json(
            '<table class="a-keyvalue prodDetTable" role="presentation"><tr><th class="a-color-secondary a-size-base">'
            'Batteries</th><td class="a-size-base">2 AA batteries required.</td></tr><tr><th class="a-color-secondary '
            'a-size-base">Warranty</th><td class="a-size-base">1 year limited</td></tr></table>'
        )
        self.sentence_separators = add_all(['"', " ", '", "', "<br>", '", "<b>Note</b> '])
        self.quote, self.next_item = add('"'), add('", "')
        self.title_key, self.title_end = add('"title": "'), add('", ')
        titles = ("", HTML_TITLE, SCRIPT_TITLE, ' Electronics" />', "", "")
        self.title_dirt = np.array([add_json(text) for text in titles], np.int32)
        self.visit, self.page = add("Visit Amazon's "), add(" Page")
        self.rank_starts = add_all(["[]", '"', '[">#'])
        main = name.replace("&", "&amp;")
        self.rank_middles = add_all(["", f' in {name} ("', f' in {name} (See top 100)", ">#'])
        self.rank_paths = add_all(
            f" in {path[0]} &gt; {path[1]} &gt; {path[2]}".replace(" & ", " &amp; ") + '"]' for path in paths
        )
        self.dimensions = add('"\\n    Product Dimensions: \\n    ": "')
        self.by, self.inches = add(" x "), add(' inches", ')
        self.weight_key = add('"Shipping Weight:": "')
        self.asin_keys = add_all([' ounces", "ASIN:": "', ' ounces (", "ASIN: ": "', ' pounds", "ASIN: ": "'])
        self.main = add(main)
        self.main_image = add_json(
            '<img src="https://images-na.ssl-images-amazon.com/images/G/01/nav2/images/gui/'
            'amazon-fashion-store-new._CB520838675_.png" class="nav-categ-image" alt="AMAZON FASHION" />'
        )
        dates = ("", "", '<div class="a-fixed-left-grid a-spacing-none">', "5 star5 star (0%)")
        self.date_dirt = np.array([add_json(text) for text in dates], np.int32)
        css = json_text(
            CSS_PRICE + ".a-box-inner .a-button-text{padding:0 10px;font-size:12px;line-height:29px}"
        )
        block = json_text("\n" + " " * 40 + '<div class="a-section a-spacing-none">\n' + " " * 40)
        self.price_starts = add_all(
            ['"$', '"', f'"{css}', f'"{json_text(SCRIPT_PRICE)}', f'"{block}', '"$', "NaN"]
        )
        self.price_middles = add_all(["", "", "", "", "", " - $", ""])
        self.price_ends = add_all(['"', '"', '"', '"', '"', '"', ""])
        self.host, self.jpg = add(_HOST), add(".jpg")
        self.thumbnails, self.still = add_all(_THUMBNAILS), add("._" + _STILL[1:])
        self.no_image = add(_NO_IMAGE_NAME)
        self.end = add("]}\n")
        self._add_comparison(fragments)

    def _add_comparison(self, fragments: Fragments) -> None:
        add_json = fragments.add_json
        self.rows_start = add_json(
            '<div id="HLCXComparisonWidget_feature_div"><table id="HLCXComparisonTable" class="a-bordered '
            'a-horizontal-stripes a-spacing-none a-size-base comparison_table"><tr class="comparison_table_image_row">'
        )
        styles = ["comparison_baseitem_column", *(f"comparable_item{number}" for number in range(8))]
        self.columns = np.array(
            [
                add_json(
                    f'<th class="comparison_image_title_cell {style} a-align-center" role="columnheader" data-asin="'
                )
                for style in styles
            ],
            np.int32,
        )
        self.head_link = add_json('"><a class="a-link-normal" target="_self" rel="noopener" href="/dp/')
        self.head_image = add_json(
            '/ref=psdc_172282_t1"><img alt="" class="a-lazy-loaded" width="160" height="160" '
            'src="https://images-na.ssl-images-amazon.com/images/I/'
        )
        self.head_title = add_json('._AC_UL160_SR160,160_.jpg"/></a><span class="a-size-base">')
        self.head_end = add_json("</span></th>")
        self.rows_between = add_json('</tr><tr id="comparison_price_row"><th class="a-span3">Price</th>')
        self.price_cell = add_json('<td class="comparison_price_cell"><span class="a-offscreen">$')
        self.price_end = add_json("</span></td>")
        self.rows_end = add_json(
            '</tr><tr id="comparison_custormer_rating_row"><th>Customer Rating</th></tr><tr '
            'id="comparison_sold_by_row"><th>Sold By</th><td>Amazon.com</td></tr></table></div>'
        )

    def key(self, before: str, name: str, after: str) -> int:
        """Return the fragment that ends one field and begins the next."""
        return self._fragments.add(f'{before}"{name}": {after}')
