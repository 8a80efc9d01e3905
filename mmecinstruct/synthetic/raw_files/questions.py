"""AmazonQA's questions, line by line: three files that share no product.

There are 17 categories. Questions of the four departments are about products in their metadata; the others are about
products that no file of the miniature has.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pyarrow as pa

from mmecinstruct.synthetic.raw_files import wording
from mmecinstruct.synthetic.raw_files.catalogue import OUTSIDE, Products
from mmecinstruct.synthetic.raw_files.codes import product_key
from mmecinstruct.synthetic.raw_files.fragments import EMPTY, Ids, Piece, Repeated, json_text, owners, within
from mmecinstruct.synthetic.raw_files.hash_draws import Numbers, spread
from mmecinstruct.synthetic.raw_files.line_dirt import LineDirt
from mmecinstruct.synthetic.raw_files.vocabulary import DEPARTMENTS
from mmecinstruct.synthetic.raw_files.world import World
from mmecinstruct.synthetic.shop.dirt import PERSONAL_DATA

FILES = ("train-qar.jsonl", "val-qar.jsonl", "test-qar.jsonl")
_SHARES = (0.8, 0.1, 0.1)  # of the products, and so of the questions
# Answerable questions of the real training file; products are divided among categories in proportion to them.
_DEPARTMENT_QUESTIONS = (113_186, 68_655, 44_915, 38_459)
_OTHER_CATEGORIES = (
    "Automotive", "Baby", "Beauty", "Cell_Phones_and_Accessories", "Clothing_Shoes_and_Jewelry",
    "Grocery_and_Gourmet_Food", "Health_and_Personal_Care", "Musical_Instruments", "Office_Products",
    "Patio_Lawn_and_Garden", "Pet_Supplies", "Toys_and_Games", "Video_Games",
)  # fmt: skip
_ALL_ANSWERABLE = 455_931
_ANSWERABLE = 0.62
_MOST_SNIPPETS, _MOST_ANSWERS = 10, 5
_SNIPPET_SENTENCES = (5, 10)
_TAIL_KINDS = (0.0004, 0.0004)  # of sentences: half of a character, a link
# Numbers of asked products that are in no metadata.
_OUTSIDE_FROM = 1_000_000_000


class Questions:
    """The lines of one of the three files."""

    def __init__(self, world: World, file: int) -> None:
        self._world, self._file = world, file
        volumes = world.volumes
        edges = np.concatenate([[0], np.cumsum(_SHARES)])
        first, last = np.round(edges[file : file + 2] * volumes.asked_products).astype(int)
        self._first_product, self._asked = int(first), max(1, int(last - first))
        first, last = np.round(edges[file : file + 2] * volumes.questions).astype(int)
        self._first_question, self.rows = int(first), int(last - first)
        self._build_texts()
        start, rest = '{"asin": "B000', '", "category": "Home_and'
        self._dirt = LineDirt(world, FILES[file], start, rest)

    def _build_texts(self) -> None:
        fragments = self._world.fragments
        add, add_all = fragments.add, fragments.add_all
        names = [*(one.file for one in DEPARTMENTS), *_OTHER_CATEGORIES]
        self._asin, self._category_key = add('{"asin": "'), add('", "category": "')
        self._categories = add_all(f'{name}", "questionText": "' for name in names)
        self._starts, self._ends_of = add_all(wording.QUESTION_STARTS), add_all(wording.QUESTION_ENDS)
        self._contexts = {
            "user": add_all(wording.QUESTION_USERS),
            "use": add_all(wording.QUESTION_USES),
            "time": add_all(wording.QUESTION_TIMES),
        }
        asks = (
            "yesno" if text.startswith(("Does", "Is", "Can", "Will")) else "descriptive"
            for text in wording.QUESTION_STARTS
        )
        self._types = add_all(f'", "questionType": "{kind}", "review_snippets": [' for kind in asks)
        self._separators = add_all(['"', '", "', " "])
        self._quote, self._text_end = add('"'), add('"]')
        self._link = add_all(["", " \\ud83d", json_text(" " + PERSONAL_DATA["url_in_snippet"][0])])
        self._keys = {
            name: add(f'], "{name}": ["')
            for name in ("random_sentence", "top_sentences_IR", "top_review_wilson", "top_review_helpful")
        }
        self._answers_key = add('], "answers": [')
        self._answer_starts = add_all(['{"answerText": "', ', {"answerText": "'])
        self._answers = add_all(wording.ANSWERS)
        self._answer_types = add_all(
            f'", "answerType": "{kind}", "helpful": [' for kind in ("NA", "NA", "Y", "N")
        )
        self._comma, self._answer_end = add(", "), add("]}")
        self._answerable = add_all(f'], "is_answerable": {value}, "qid": ' for value in (0, 1))
        self._end = add("}\n")

    @cached_property
    def _ends(self) -> Numbers:
        """The end of each product's questions [products]; some products have many."""
        sampled = self._world.draws.fractions("asked", self._first_product + np.arange(self._asked))
        sums = np.cumsum(np.minimum((sampled + 1e-9) ** -0.7, 300.0))
        return np.round(sums / sums[-1] * self.rows).astype(np.int64)

    def _products(self, asked: Numbers) -> tuple[Numbers, Products]:
        """Return (category indices, products) of products with questions."""
        world = self._world
        others = (_ALL_ANSWERABLE - sum(_DEPARTMENT_QUESTIONS)) / len(_OTHER_CATEGORIES)
        shares = np.array([*_DEPARTMENT_QUESTIONS, *([others] * len(_OTHER_CATEGORIES))]) / _ALL_ANSWERABLE
        sampled = world.draws.fractions("asked category", asked)
        category = np.minimum(np.searchsorted(np.cumsum(shares), sampled, side="right"), len(shares) - 1)
        is_ours = category < len(DEPARTMENTS)
        department = np.where(is_ours, category, 0)
        number = np.zeros(len(asked), np.int64)
        for one, products in enumerate(world.volumes.products):
            if products:
                number = np.where(department == one, spread(asked, products), number)
        inside = world.catalogue.of_department(department, number)
        outside = world.catalogue.of_keys(product_key(OUTSIDE, asked + _OUTSIDE_FROM))
        pick = np.where(is_ours, np.arange(len(asked)), len(asked) + np.arange(len(asked)))
        return category, inside.beside(outside).at(pick)

    def text(self, first: int, last: int) -> pa.Buffer:
        """Return the lines of questions from `first` to before `last`."""
        rows = np.arange(first, last)
        return self._world.fragments.join(len(rows), [self._dirt.before(rows), *self._line(rows)]).data

    def _line(self, rows: Numbers) -> list[Piece]:
        world, draws = self._world, self._world.draws
        asked = self._first_product + np.searchsorted(self._ends, rows, side="right")
        category, products = self._products(asked)
        numbers = self._first_question + rows
        start = draws.below(len(self._starts), "asks", numbers)
        part = world.phrases.part(products.department, numbers, np.zeros_like(numbers))
        answerable = draws.chance(_ANSWERABLE, "answerable", numbers)
        snippets = _MOST_SNIPPETS - (_MOST_SNIPPETS * draws.fractions("snippets", numbers) ** 4).astype(
            np.int64
        )
        low, high = _SNIPPET_SENTENCES
        sentences = low + draws.below(high - low + 1, "sentences", numbers)
        answered = np.where(answerable, draws.below(snippets * sentences, "answered", numbers), -1)
        pieces: list[Piece] = [
            self._asin,
            world.codes.asins(products.key),
            self._category_key,
            self._categories[category],
            self._starts[start],
            part,
            self._ends_of[draws.below(len(self._ends_of), "asks of", numbers)],
            *(
                pieces[draws.below(len(pieces), f"asks {name}", numbers)]
                for name, pieces in self._contexts.items()
            ),
            self._types[start],
            *self._texts(products, numbers, snippets * sentences, sentences, answered, part, 1),
            self._keys["random_sentence"],
            self._sentence(products, numbers, 2),
        ]
        if self._file == 2:
            pieces += [
                self._text_end,
                *self._only_in_test(products, numbers, sentences, part),
            ]
        else:
            pieces.append(self._quote)
        return [
            *pieces,
            self._answers_key,
            *self._given_answers(numbers),
            self._answerable[answerable.astype(np.int64)],
            world.codes.whole(numbers),
            self._end,
        ]

    def _texts(
        self,
        products: Products,
        numbers: Numbers,
        counts: Numbers,
        per_text: Numbers,
        answered: Numbers,
        part: Ids,
        salt: int,
    ) -> list[Piece]:
        """Return quoted texts of sentences.

        Args:
            products: The products.
            numbers: The questions' numbers.
            counts: The sentences of all texts of a question.
            per_text: The sentences of one text.
            answered: The position of the sentence about `part`, -1 for none.
            part: The part that the question is about.
            salt: Distinguishes the hash draws of the texts of one question.
        """
        at, position = owners(counts), within(counts)
        opens = position % per_text[at] == 0
        separator = self._separators[np.where(position == 0, 0, np.where(opens, 1, 2))]
        sentence = self._sentence(products.at(at), numbers[at], salt + 16 * position)
        sentence[:, 1] = np.where(position == answered[at], part[at], sentence[:, 1])
        tail = self._link[self._world.draws.kinds(_TAIL_KINDS, "sentence tail", numbers[at], position)]
        return [
            Repeated(counts, np.concatenate([separator[:, None], sentence, tail[:, None]], axis=1)),
            self._quote,
        ]

    def _sentence(self, products: Products, numbers: Numbers, salt: int | Numbers) -> Ids:
        salts = np.broadcast_to(np.asarray(salt, np.int64), numbers.shape)
        stars = 1 + self._world.draws.below(5, "sentence stars", numbers, salts)
        opens = np.ones(len(numbers), bool)
        return self._world.phrases.opinion(products.department, stars, opens, numbers, salts)

    def _only_in_test(
        self, products: Products, numbers: Numbers, sentences: Numbers, part: Ids
    ) -> list[Piece]:
        """Return the fields that only the publisher's test file has, without the last closing bracket."""
        pieces: list[Piece] = []
        for salt, name in enumerate(("top_sentences_IR", "top_review_wilson", "top_review_helpful"), start=3):
            per_text = np.ones_like(sentences) if name == "top_sentences_IR" else sentences * 2
            counts = np.full(len(numbers), _MOST_SNIPPETS) if name == "top_sentences_IR" else sentences * 2
            nothing = np.full(len(numbers), -1)
            key = self._world.fragments.add(f', "{name}": [' if not pieces else f'], "{name}": [')
            pieces += [key, *self._texts(products, numbers, counts, per_text, nothing, part, salt)]
        return pieces

    def _given_answers(self, numbers: Numbers) -> list[Piece]:
        draws, codes = self._world.draws, self._world.codes
        counts = 1 + (_MOST_ANSWERS * draws.fractions("answers", numbers) ** 1.5).astype(np.int64)
        at, position = owners(counts), within(counts)
        ids = (numbers[at], position)
        helpful = draws.below(4, "helpful", *ids)
        block = np.stack(
            [
                self._answer_starts[np.minimum(position, 1)],
                self._answers[draws.below(len(self._answers), "answer", *ids)],
                self._answer_types[draws.below(4, "answer type", *ids)],
                codes.plain[helpful],
                np.full(len(at), self._comma, np.int32),
                codes.plain[helpful + draws.below(2, "not helpful", *ids)],
                np.full(len(at), self._answer_end, np.int32),
            ],
            axis=1,
        )
        return [Repeated(counts, block), EMPTY]
