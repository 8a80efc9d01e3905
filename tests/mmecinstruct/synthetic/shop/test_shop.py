"""The sample shop's records: attributes that a text hides are independent of the text."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from itertools import combinations

import pytest

from mmecinstruct.duplicates.titles import title_words
from mmecinstruct.recipe import SampleShopSettings
from mmecinstruct.synthetic.shop import asides, wording
from mmecinstruct.synthetic.shop.amazon_files import _metadata_row, _review_row
from mmecinstruct.synthetic.shop.assembly import make_shop
from mmecinstruct.synthetic.shop.esci_files import _esci_row
from mmecinstruct.synthetic.shop.image_products import RENDERERS
from mmecinstruct.synthetic.shop.oracle import look_class, noun_class
from mmecinstruct.synthetic.shop.products import Product
from mmecinstruct.synthetic.shop.shop import Shop
from mmecinstruct.synthetic.shop.vocabulary import (
    FINE_CATEGORIES,
    LOOK_WORDS,
    PAIR_NUMBER_BY_NOUN,
    PAIRS,
    TOP_CATEGORIES,
    brand_name,
    scatter,
    series_name,
)


@pytest.fixture(scope="module")
def shop() -> Shop:
    return make_shop(SampleShopSettings(dirt=False), seed=5)


def row_of(product: Product) -> dict[str, object]:
    return {
        "fine_category": FINE_CATEGORIES[product.fine].name,
        "colour": product.colour,
        "pattern": product.pattern,
        "names_category": product.names_category,
        "shows_look": product.shows_look,
    }


def test_all_thirty_categories_have_a_renderer() -> None:
    assert len(FINE_CATEGORIES) == 30
    assert Counter(category.top for category in FINE_CATEGORIES) == dict.fromkeys(TOP_CATEGORIES, 6)
    assert set(RENDERERS) == {category.name for category in FINE_CATEGORIES}
    assert all(PAIRS[PAIR_NUMBER_BY_NOUN[pair.complement]].top == pair.top for pair in PAIRS)
    assert all(pair.complement != pair.noun for pair in PAIRS)


def test_names_and_numbers_never_repeat() -> None:
    assert len({series_name(number) for number in range(60_000)}) == 60_000
    assert len({brand_name(number) for number in range(5_000)}) == 5_000
    assert len({scatter(number, 4, 36) for number in range(36**4 // 20)}) == 36**4 // 20


def test_a_title_with_the_ambiguous_noun_is_as_often_of_either_category(shop: Shop) -> None:
    counts = Counter((product.fine, product.names_category, product.shows_look) for product in shop.products)
    for shows_look in (True, False):
        for first in range(0, len(FINE_CATEGORIES), 2):
            assert counts[first, False, shows_look] == counts[first + 1, False, shows_look] > 0
    assert sum(not product.names_category for product in shop.products) >= 0.4 * len(shop.products)


def test_the_title_has_the_noun_and_the_look_that_its_flags_say(shop: Shop) -> None:
    for product in shop.products:
        pair, category = PAIRS[product.pair], FINE_CATEGORIES[product.fine]
        assert f"{category.noun if product.names_category else pair.noun}" in product.title
        if not product.names_category:
            assert not any(noun in product.title.split() for noun in pair.nouns)
        words = set(title_words(product.title))
        assert ({product.colour, product.pattern} <= words) == product.shows_look


def test_no_text_of_a_product_that_hides_its_look_names_one(shop: Shop) -> None:
    reviewed: dict[int, list[str]] = defaultdict(list)
    for review in shop.reviews:
        reviewed[review.product].append(str(_review_row(shop, review, "")))
    for product in shop.products:
        if product.shows_look:
            continue
        row = _metadata_row(shop, product, "")
        row.pop("similar_item")  # other products' titles
        texts = [str(row), str(_esci_row(shop, product, "us")), *reviewed[product.number]]
        for text in texts:
            assert not LOOK_WORDS & set(re.findall(r"[a-z]+", text.lower())), text


def test_no_sentence_of_reviews_and_questions_names_a_look() -> None:
    def strings(value: object) -> list[str]:
        if isinstance(value, str):
            return [value]
        items = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
        return [text for item in items for text in strings(item)]

    texts = [text for name, value in vars(wording).items() if name.isupper() for text in strings(value)]
    assert len(texts) > 150
    for text in texts:
        assert not LOOK_WORDS & set(re.findall(r"[a-z]+", text.lower())), text


def test_titles_are_unique_and_no_two_are_near_duplicates(shop: Shop) -> None:
    by_brand: dict[str, list[set[str]]] = defaultdict(list)
    for product in shop.products:
        by_brand[product.brand].append(set(title_words(product.title)))
    for titles in by_brand.values():  # titles of two brands differ in one more word
        for one, other in combinations(titles, 2):
            assert len(one & other) < 0.85 * len(one | other)


def test_brands_and_prices_do_not_depend_on_the_category_within_a_pair(shop: Shop) -> None:
    for number, pair in enumerate(PAIRS):
        members = [product for product in shop.products if product.pair == number]
        assert {product.material for product in members} == set(pair.materials)
        for fine in {product.fine for product in members}:
            own = [product for product in members if product.fine == fine]
            assert {product.material for product in own} <= set(pair.materials)
            assert max(Counter(product.brand for product in own).values()) <= len(own) / 3
            assert all(pair.prices[0] <= product.price <= pair.prices[1] for product in own)


def test_similar_products_share_category_and_colour_viewed_ones_not(shop: Shop) -> None:
    for first, others in shop.links.similar.items():
        for second in others:
            one, two = shop.products[first], shop.products[second]
            assert (one.fine, one.colour) == (two.fine, two.colour)
    for first, others in shop.links.viewed.items():
        for second in others:
            one, two = shop.products[first], shop.products[second]
            assert one.fine == two.fine
            assert one.colour != two.colour
    for first, others in shop.links.bought.items():
        for second in others:
            complement = PAIRS[shop.products[first].pair].complement
            assert shop.products[second].pair == PAIR_NUMBER_BY_NOUN[complement]


def test_hidden_looks_leave_viewed_and_similar_equally_likely(shop: Shop) -> None:
    def shown(links: dict[int, list[int]]) -> Counter[tuple[bool, bool]]:
        return Counter(
            (shop.products[first].shows_look, shop.products[second].shows_look)
            for first, others in links.items()
            for second in others
        )

    assert shown(shop.links.similar) == shown(shop.links.viewed)
    pairs = [
        frozenset((first, second))
        for links in (shop.links.similar, shop.links.viewed, shop.links.bought)
        for first, others in links.items()
        for second in others
    ]
    assert len(pairs) == len(set(pairs)), "no two products are linked twice"


def test_open_texts_have_equally_many_exact_and_substitutes(shop: Shop) -> None:
    undecided = labels = 0
    for query in shop.queries:
        asked = {
            "fine_category": FINE_CATEGORIES[query.fine].name,
            "colour": query.colour,
            "pattern": query.pattern,
        }
        by_text: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for judgement in query.judgements:
            product = row_of(shop.products[judgement.product])
            by_text[noun_class(asked, product), look_class(asked, product)][judgement.label] += 1
        for (noun, look), counts in by_text.items():
            if (noun == "exact" and look == "hidden") or (noun == "ambiguous" and look != "mismatch"):
                assert counts["E"] == counts["S"] > 0
                undecided += counts.total()
            else:
                assert len(counts) == 1, "the text tells the label"
            labels += counts.total()
    assert undecided >= 0.4 * labels


def test_labels_follow_category_and_look(shop: Shop) -> None:
    for query in shop.queries:
        asked = FINE_CATEGORIES[query.fine]
        for judgement in query.judgements:
            product = shop.products[judgement.product]
            if product.pair == asked.pair:
                expected = "E" if product.fine == query.fine and query.asks(product) else "S"
            elif product.pair == PAIR_NUMBER_BY_NOUN[PAIRS[asked.pair].complement]:
                expected = "C"
            else:
                expected = "I"
            assert judgement.label == expected
        assert len({judgement.product for judgement in query.judgements}) == len(query.judgements)
        assert asked.noun.lower() in query.text
        for word in (query.colour, query.pattern):
            assert word is None or word in query.text.split()


def test_substitutes_are_half_of_all_judgements(shop: Shop) -> None:
    labels = Counter(judgement.label for query in shop.queries for judgement in query.judgements)
    assert abs(labels["S"] / labels.total() - 0.5) < 0.01


def test_users_buy_by_their_taste_and_every_product_equally_often(shop: Shop) -> None:
    times: Counter[int] = Counter()
    for user in shop.users:
        bought = [shop.products[number] for number in user.bought]
        times.update(user.bought)
        assert len(set(user.bought)) == len(bought) >= 5
        assert {product.top for product in bought} == {user.top}
        if user.brand is not None:
            assert {product.brand for product in bought} == {user.brand}
        else:
            assert {(product.colour, product.pattern) for product in bought} == {(user.colour, user.pattern)}
    assert set(times) == {product.number for product in shop.products}
    assert min(times.values()) >= 5
    assert max(times.values()) - min(times.values()) <= 1
    look_loyal = sum(user.brand is None for user in shop.users)
    assert look_loyal >= 0.45 * len(shop.users)


def test_a_last_product_is_in_no_other_look_loyal_history(shop: Shop) -> None:
    look_loyal = [user for user in shop.users if user.brand is None]
    last = [user.bought[-1] for user in look_loyal]
    assert len(last) == len(set(last))
    assert not set(last) & {number for user in look_loyal for number in user.bought[:-1]}


def test_came_like_this_reviews_have_every_rating_equally_often(shop: Shop) -> None:
    neutral = [review for review in shop.reviews if review.neutral]
    counts = Counter(review.rating for review in neutral)
    assert set(counts) == {1, 2, 3, 4, 5}
    assert max(counts.values()) - min(counts.values()) <= 1
    assert all(review.image_id for review in neutral)
    with_image = [review for review in shop.reviews if review.image_id]
    assert 0.35 < len(with_image) / len(shop.reviews) < 0.45
    assert 0.3 < len(neutral) / len(with_image) < 0.37


def test_other_reviews_are_worded_by_their_rating(shop: Shop) -> None:
    for review in shop.reviews:
        if not review.neutral:
            assert any(middle in review.text for middle in wording.MIDDLES[review.rating])
            assert review.summary in wording.SUMMARIES[review.rating]
    fragments = [text for group in (wording.OPENINGS, wording.MIDDLES, wording.CLOSINGS, wording.SUMMARIES)
                 for texts in group.values() for text in texts]  # fmt: skip
    assert len(fragments) == len(set(fragments)), "no fragment serves two ratings"


def test_a_question_is_answerable_when_a_snippet_is_of_its_topic(shop: Shop) -> None:
    topic_of = {text: topic for topic, (texts, _) in wording.TOPICS.items() for text in texts}
    for question in shop.questions:
        series = shop.products[question.product].series
        answers = wording.TOPICS[topic_of[question.text.replace(series, "{series}")]][1]
        answered = any(answer in snippet for snippet in question.snippets for answer in answers)
        assert answered == question.answerable
    share = sum(question.answerable for question in shop.questions) / len(shop.questions)
    assert abs(share - 0.6) < 0.01
    assert len({question.qid for question in shop.questions}) == len(shop.questions)


def test_no_text_of_a_person_repeats(shop: Shop) -> None:
    texts = [review.text for review in shop.reviews]
    texts += [snippet for question in shop.questions for snippet in question.snippets]
    assert len(texts) > 2_000
    assert len(set(texts)) == len(texts)


def test_circumstances_are_independent_of_all_that_is_asked(shop: Shop) -> None:
    words = {word for values in asides.SLOTS.values() for value in values for word in title_words(value)}
    words |= {word for form in asides.FORMS for word in title_words(form)}
    assert not words & LOOK_WORDS
    nouns = {word for category in FINE_CATEGORIES for word in title_words(f"{category.noun} {category.name}")}
    assert not words & nouns
    forms = [re.compile(re.sub(r"\\{\w+\\}", ".+", re.escape(form))) for form in asides.FORMS]
    seen: Counter[tuple[int, int]] = Counter()
    for review in shop.reviews:
        (form,) = (number for number, form in enumerate(forms) if form.search(review.text))
        seen[form, review.rating] += 1
    by_form, by_rating = Counter[int](), Counter[int]()
    for (form, rating), count in seen.items():
        by_form[form] += count
        by_rating[rating] += count
    total = sum(seen.values())
    expected = {
        (form, rating): by_form[form] * by_rating[rating] / total for form in by_form for rating in by_rating
    }
    statistic = sum((seen[key] - value) ** 2 / value for key, value in expected.items())
    assert statistic < 58.6, "the 1 % bound of chi-squared with 36 degrees of freedom"


@pytest.mark.parametrize("products", [60, 100, 451, 1000])
def test_shops_of_other_sizes_are_whole(products: int) -> None:
    shop = make_shop(SampleShopSettings(products=products), seed=1)
    assert len(shop.products) == products
    assert len({product.asin for product in shop.products}) == products
    assert shop.queries
    assert shop.questions
    assert all(0 <= number < products for user in shop.users for number in user.bought)


def test_another_seed_gives_another_shop(shop: Shop) -> None:
    other = make_shop(SampleShopSettings(dirt=False), seed=6)
    assert [p.title for p in other.products] != [p.title for p in shop.products]
    assert [user.bought for user in other.users] != [user.bought for user in shop.users]
