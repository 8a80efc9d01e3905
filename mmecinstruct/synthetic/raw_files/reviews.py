"""Amazon's 5-core reviews of 2018, line by line, grouped by product as in the real files.

Reviews per product and per user have a long tail, and the files are no exact 5-core: a build has to remove rare users
and products in several rounds. Days of purchase repeat, so that times are tied.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pyarrow as pa

from mmecinstruct.synthetic.raw_files.catalogue import Products
from mmecinstruct.synthetic.raw_files.codes import LAST_DAY
from mmecinstruct.synthetic.raw_files.fragments import (
    EMPTY,
    Fragments,
    Piece,
    Repeated,
    json_text,
    owners,
    within,
)
from mmecinstruct.synthetic.raw_files.hash_draws import Numbers
from mmecinstruct.synthetic.raw_files.line_dirt import LineDirt
from mmecinstruct.synthetic.raw_files.vocabulary import DEPARTMENTS
from mmecinstruct.synthetic.raw_files.world import World
from mmecinstruct.synthetic.shop.dirt import PERSONAL_DATA
from mmecinstruct.synthetic.shop.wording import FOREIGN_REVIEWS

REVIEWED_SHARE = 0.5  # of the products
# Exponent of the distribution of reviews over products.
_PRODUCT_TAIL = 1.15
# The ratio of the most reviews of a product to the fewest, and its growth with the products of a small file.
_LONGEST_TAIL = 5000.0
_TAIL_PER_PRODUCT = 0.01
_REVIEWS_PER_USER = 5.5
_USER_TAIL = 1.35
# Share of the users with reviews in all departments.
_SHARED_USERS = 0.4
_SHARES_OF_STARS = np.cumsum([0.07, 0.05, 0.08, 0.18])
_WITH_IMAGES = 0.027
_MOST_IMAGES = 4
# Days on which a user buys several things.
_SESSIONS = 5
_IN_SESSION = 0.55
_TEXT_KINDS = (0.08, 0.0025, 0.008)  # a few words, no text, another language
# The end of a text: an emoji, half of one, a quotation with entities, a line break, personal data of three kinds.
_TAIL_KINDS = (0.01, 0.0002, 0.01, 0.02, 0.001, 0.001, 0.001)
_MOST_OPINIONS = 14
_SESSION_SPAN = 900  # days
_IMAGE_HOST = "https://images-na.ssl-images-amazon.com/images/I/"


class Reviews:
    """The lines of one department's file of reviews."""

    def __init__(self, world: World, department: int) -> None:
        self._world, self._department = world, department
        self.rows = world.volumes.reviews[department]
        self._products = world.volumes.products[department]
        self._users = max(1, round(self.rows / _REVIEWS_PER_USER))
        self._file = DEPARTMENTS[department].file
        self._texts = _ReviewTexts(world.fragments)
        start, rest = '{"overall": 5.0, "verified": true, "reviewerID": "', 'A0", "reviewTi'
        self._dirt = LineDirt(world, f"reviews {self._file}", start, rest)

    @cached_property
    def _ends(self) -> Numbers:
        """The end of each product's reviews [products]."""
        numbers = np.arange(self._products)
        sampled = self._world.draws.fractions(f"{self._file} popularity", numbers)
        longest = min(_LONGEST_TAIL, max(10.0, _TAIL_PER_PRODUCT * self._products))
        weights = np.minimum((sampled + 1e-9) ** (-1 / _PRODUCT_TAIL), longest)
        weights[~self._world.draws.chance(REVIEWED_SHARE, f"{self._file} reviewed", numbers)] = 0
        weights[0] = max(weights[0], 1.0)  # the smallest file has a reviewed product
        sums = np.cumsum(weights)
        return np.round(sums / sums[-1] * self.rows).astype(np.int64)

    def products_of(self, rows: Numbers) -> Numbers:
        """Return the number of each row's product."""
        return np.searchsorted(self._ends, rows, side="right")

    def users_of(self, rows: Numbers) -> Numbers:
        """Return the number of each row's user, who may write in other departments too."""
        draws = self._world.draws
        number = (self._users * draws.fractions(f"{self._file} user", rows) ** _USER_TAIL).astype(np.int64)
        shared = draws.chance(_SHARED_USERS, "shared user", number)
        return np.where(shared, number, number + ((self._department + 1) << 32))

    def days_of(self, rows: Numbers, users: Numbers) -> Numbers:
        """Return the day, since 1970, of each row."""
        draws = self._world.draws
        first = LAST_DAY - (5500 * draws.fractions("user since", users) ** 2).astype(np.int64)
        session = draws.below(_SESSIONS, f"{self._file} session", rows)
        together = draws.below(_SESSION_SPAN, "session day", users, session)
        alone = draws.below(_SESSION_SPAN, f"{self._file} day", rows)
        in_session = draws.chance(_IN_SESSION, f"{self._file} in session", rows)
        return np.minimum(first + np.where(in_session, together, alone), LAST_DAY)

    def text(self, first: int, last: int) -> pa.Buffer:
        """Return the lines of rows from `first` to before `last`."""
        rows = np.arange(first, last)
        return self._world.fragments.join(len(rows), [self._dirt.before(rows), *self._line(rows)]).data

    def _line(self, rows: Numbers) -> list[Piece]:
        world, texts, draws, file = self._world, self._texts, self._world.draws, self._file
        products = world.catalogue.of_department(self._department, self.products_of(rows))
        users = self.users_of(rows)
        days = self.days_of(rows, users)
        names = world.codes.users(users)
        stars = 5 - (
            len(_SHARES_OF_STARS) - np.searchsorted(_SHARES_OF_STARS, draws.fractions(f"{file} stars", rows))
        )
        no_stars = draws.chance(1 / 50_000, f"{file} NaN", rows)
        no_time = draws.chance(1 / 50_000, f"{file} no time", rows)
        called = draws.chance(0.12, "called customer", users)
        kind = draws.kinds(_TEXT_KINDS, f"{file} text kind", rows)
        return [
            texts.overall[np.where(no_stars, 0, stars)],
            *self._vote(rows),
            texts.verified[draws.below(10, f"{file} verified", rows)],
            world.codes.written_days(days),
            texts.reviewer,
            names,
            texts.asin,
            world.codes.asins(products.key),
            *self._style(products, rows),
            texts.names[called.astype(np.int64)],
            np.where(called[:, None], EMPTY, names[:, 1:3]).astype(np.int32),
            texts.text_keys[np.where(kind == 2, 1, 0)],
            *self._review(products, stars, kind, rows),
            texts.summary_keys[np.where(kind == 2, 1, 0)],
            world.phrases.summary(world.catalogue.category(products), stars, rows),
            texts.time,
            np.where(no_time, texts.null, world.codes.seconds(days)).astype(np.int32),
            *self._images(rows),
            texts.end,
        ]

    def _vote(self, rows: Numbers) -> list[Piece]:
        draws, file = self._world.draws, self._file
        form = draws.kinds((0.12, 0.005), f"{file} vote form", rows)  # a text, a number
        count = 2 + (1500 * draws.fractions(f"{file} votes", rows) ** 12).astype(np.int64)
        number = np.where(
            (form == 1)[:, None], self._world.codes.grouped(count), self._world.codes.whole(count)
        )
        return [
            self._texts.vote_starts[form],
            np.where((form == 0)[:, None], EMPTY, number).astype(np.int32),
            self._texts.vote_ends[form],
        ]

    def _style(self, products: Products, rows: Numbers) -> list[Piece]:
        draws, catalogue, texts = self._world.draws, self._world.catalogue, self._texts
        form = draws.kinds((0.25, 0.12, 0.1), f"{self._file} style", rows)  # colour, size, both
        colour = catalogue.colours[catalogue.colour(products)]
        size = catalogue.sizes.choose(draws, "size", products)
        return [
            texts.style_starts[form],
            np.where(form >= 2, size, EMPTY).astype(np.int32),
            texts.style_middles[form],
            np.where(form % 2 == 1, colour, EMPTY).astype(np.int32),
            texts.style_ends[form],
        ]

    def _review(self, products: Products, stars: Numbers, kind: Numbers, rows: Numbers) -> list[Piece]:
        draws, phrases, texts, file = self._world.draws, self._world.phrases, self._texts, self._file
        review_keys = rows + (self._department << 40)
        long = kind == 0
        length = draws.fractions(f"{file} length", rows)
        counts = np.where(long, 1 + (_MOST_OPINIONS * length**2).astype(np.int64), 0)
        at, position = owners(counts), within(counts)
        # One sentence in six is a star more or less positive than the rating.
        swing = draws.below(12, "swing", review_keys[at], position)
        sentence_stars = np.clip(stars[at] + (swing == 0) - (swing == 1), 1, 5)
        story = phrases.story(self._world.catalogue.category(products), review_keys)
        has_story = long & draws.chance(0.8, "tells", review_keys)
        first = np.where(kind == 1, phrases.short_review(stars, review_keys), EMPTY)
        first = np.where(
            kind == 3, texts.foreign[draws.below(len(texts.foreign), "foreign", review_keys)], first
        )
        opens = (position == 0) & ~has_story[at]
        opinions = phrases.opinion(products.department[at], sentence_stars, opens, review_keys[at], position)
        closing = np.where(long, phrases.closing(stars, review_keys), EMPTY)
        tail = np.where(long, draws.kinds(_TAIL_KINDS, "tail", review_keys), 0)
        return [
            first.astype(np.int32),
            np.where(has_story[:, None], story, EMPTY).astype(np.int32),
            Repeated(counts, opinions),
            closing.astype(np.int32),
            texts.tails[tail],
        ]

    def _images(self, rows: Numbers) -> list[Piece]:
        draws, file, texts = self._world.draws, self._file, self._texts
        counts = 1 + draws.below(_MOST_IMAGES, f"{file} pictures", rows)
        counts = np.where(draws.chance(_WITH_IMAGES, f"{file} pictured", rows), counts, 0)
        at, position = owners(counts), within(counts)
        names = self._world.codes.images(draws.words(f"{file} picture", rows[at], position), escaped=True)
        separator = np.where(position == 0, texts.first_image, texts.next_image).astype(np.int32)
        ends = np.full((len(at), 1), texts.image_end, np.int32)
        last = np.where(counts > 0, texts.images_end, EMPTY).astype(np.int32)
        return [Repeated(counts, np.concatenate([separator[:, None], names, ends], axis=1)), last]


class _ReviewTexts:
    """The fragments of review lines."""

    def __init__(self, fragments: Fragments) -> None:
        add, add_all = fragments.add, fragments.add_all
        self.overall = add_all(['{"overall": NaN, ', *(f'{{"overall": {stars}.0, ' for stars in range(1, 6))])
        self.vote_starts, self.vote_ends = add_all(["", '"vote": "', '"vote": ']), add_all(["", '", ', ", "])
        self.verified = add_all(
            f'"verified": {"false" if number == 0 else "true"}, "reviewTime": "' for number in range(10)
        )
        self.reviewer, self.asin = add('", "reviewerID": "'), add('", "asin": "')
        self.style_starts = add_all(
            ["", '", "style": {"Color:": " ', '", "style": {"Size:": " ', '", "style": {"Size:": " ']
        )
        self.style_middles = add_all(["", "", "", '", "Color:": " '])
        self.style_ends = add_all(['", "reviewerName": "', *['"}, "reviewerName": "'] * 3])
        self.names = add_all(["shopper ", "Amazon Customer"])
        self.text_keys = add_all(['", "reviewText": "', ""])
        self.foreign = add_all(json_text(text) for text in FOREIGN_REVIEWS)
        personal_data = [json_text(" " + text) for text, _ in PERSONAL_DATA.values()]
        self.tails = add_all(
            [
                "",
                " \\ud83d\\ude00",
                " \\ud83d",
                " The box says &#34;Made with care&#34; &amp; it shows.",
                "\\n\\nThanks for reading.",
                *personal_data[:3],
            ]
        )
        self.summary_keys = add_all(['", "summary": "'] * 2)
        self.time, self.null = add('", "unixReviewTime": '), add("null")
        self.first_image = add(f', "image": ["{_IMAGE_HOST}')
        self.next_image = add(f'", "{_IMAGE_HOST}')
        self.image_end, self.images_end, self.end = add("._SY88.jpg"), add('"]'), add("}\n")
