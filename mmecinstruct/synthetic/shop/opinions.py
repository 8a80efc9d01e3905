"""Reviews and questions of the sample shop.

A review with an image shows the bought product in the state that matches its rating. A third of these reviews has a
neutral text ("came like this"), with every rating equally often, so that only the image determines the rating.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.synthetic.shop import wording
from mmecinstruct.synthetic.shop.asides import aside
from mmecinstruct.synthetic.shop.products import Product, image_id_of
from mmecinstruct.synthetic.shop.purchases import User

WITH_IMAGES_SHARE = 0.4
NEUTRAL_SHARE = 1 / 3  # of the reviews with image
ANSWERABLE_SHARE = 0.6
DAY = 86_400
FIRST_DAY = 16_071  # 2014-01-01, in days since 1970
# Ratings of reviews without image, as skewed as real ones.
_COMMON_RATINGS = (5, 5, 5, 5, 4, 4, 4, 3, 2, 1)


@dataclass(frozen=True, slots=True)
class Review:
    """One review.

    Attributes:
        product: The product's number.
        user: The user's index.
        rating: 1 to 5 stars.
        day: The day since 1970.
        text: The text.
        summary: The heading.
        neutral: Whether the text is independent of the rating.
        image_id: The name of the review's image.
        chance: A hash draw for incidental attributes.
    """

    product: int
    user: int
    rating: int
    day: int
    text: str
    summary: str
    neutral: bool
    image_id: str | None
    chance: int


@dataclass(frozen=True, slots=True)
class Question:
    """One question with snippets of reviews."""

    qid: int
    product: int
    text: str
    snippets: tuple[str, ...]
    answerable: bool
    answer: str


def _pick(number: int, *choices: Sequence[str]) -> list[str]:
    """Return one item of each list, all from one hash draw."""
    picked = []
    for items in choices:
        number, index = divmod(number, len(items))
        picked.append(items[index])
    return picked


def make_reviews(users: list[User], products: list[Product], seed: int) -> list[Review]:
    """Return the reviews of all purchases, user by user in order of time."""
    # Hash draw, user, position in the user's purchases.
    keyed: list[tuple[int, int, int]] = []
    for user_number, user in enumerate(users):
        for position in range(len(user.bought)):
            keyed.append((hash_draw(seed, "shop review", user.user_id, str(position)), user_number, position))
    with_image = sorted(key for key in keyed if key[0] / 2**64 < WITH_IMAGES_SHARE)
    neutral_count = round(len(with_image) * NEUTRAL_SHARE)
    kinds: dict[tuple[int, int], tuple[int, bool]] = {}  # rating, neutral
    for rank, (_, user_number, position) in enumerate(with_image):
        # Sorted by a hash draw, so ranks are independent of users, and every rating is equally frequent.
        kinds[user_number, position] = (1 + rank % 5, rank < neutral_count)
    reviews: list[Review] = []
    first_image = len(products)
    days: dict[int, int] = {}
    for chance, user_number, position in keyed:
        day = days.get(user_number, FIRST_DAY + chance % 700) + 3 + chance // 7919 % 60
        days[user_number] = day
        image_id = None
        neutral = False
        rating = _COMMON_RATINGS[chance // 104_729 % len(_COMMON_RATINGS)]
        if (user_number, position) in kinds:
            rating, neutral = kinds[user_number, position]
            image_id = image_id_of(first_image + len(reviews))
        detail = aside(hash_draw(seed, "shop review aside", users[user_number].user_id, str(position)))
        text, summary = _review_text(rating, neutral, chance, detail)
        reviews.append(
            Review(
                product=users[user_number].bought[position],
                user=user_number,
                rating=rating,
                day=day,
                text=text,
                summary=summary,
                neutral=neutral,
                image_id=image_id,
                chance=chance,
            )
        )
    return reviews


def _review_text(rating: int, neutral: bool, chance: int, detail: str) -> tuple[str, str]:
    if neutral:
        opening, middle, closing, summary = _pick(
            chance,
            wording.NEUTRAL_OPENINGS,
            wording.NEUTRAL_MIDDLES,
            wording.NEUTRAL_CLOSINGS,
            wording.NEUTRAL_SUMMARIES,
        )
        return f"{opening} {detail} {middle} {closing}", summary
    opening, middle, closing, summary = _pick(
        chance,
        wording.OPENINGS[rating],
        wording.MIDDLES[rating],
        wording.CLOSINGS[rating],
        wording.SUMMARIES[rating],
    )
    # A third of the texts lacks the opening or the closing.
    form = chance // 1_000_003 % 6
    opening, closing = "" if form == 0 else opening, "" if form == 1 else closing
    return " ".join(part for part in (opening, detail, middle, closing) if part), summary


def make_questions(products: list[Product], seed: int) -> list[Question]:
    """Return one or two questions per product; a snippet answers three in five."""
    topics = list(wording.TOPICS)
    asked = sorted(
        (hash_draw(seed, "shop question", product.asin, str(number)), product.number, number)
        for product in products
        for number in range(1 + product.number % 2)
    )
    questions = []
    for rank, (chance, product, number) in enumerate(asked):
        answerable = rank % 5 < round(5 * ANSWERABLE_SHARE)
        rest, topic_index = divmod(chance, len(topics))
        topic = topics[topic_index]
        texts, answers = wording.TOPICS[topic]
        text, answer = _pick(rest, texts, answers)
        count = 3 + rest // 1009 % 4
        # Other topics in turn from a random one on: none twice, never the asked one.
        step = 1 + rest // 10_007 % 3
        others = [
            topics[(topic_index + 1 + (position * step) % (len(topics) - 1)) % len(topics)]
            for position in range(count)
        ]
        sentences = [wording.TOPICS[other][1] for other in others]
        if answerable:
            sentences[rest // 101 % count] = (answer,)
        mixed = hash_draw(seed, "shop snippets", str(product), str(number))
        snippets = []
        for place, choices in enumerate(sentences):
            detail = aside(hash_draw(seed, "shop snippet aside", str(product), str(number), str(place)))
            sentence, end = _pick(mixed, choices, wording.SNIPPET_ENDS)
            mixed //= len(choices) * len(wording.SNIPPET_ENDS)
            snippets.append(" ".join(part for part in (detail, sentence, end) if part))
        questions.append(
            Question(
                qid=product * 10 + number,
                product=product,
                text=text.format(series=products[product].series),
                snippets=tuple(snippets),
                answerable=answerable,
                answer=answer if answerable else "I do not know.",
            )
        )
    return sorted(questions, key=lambda question: question.qid)


def reviewer_name(user_id: str) -> str:
    """Return a user's displayed name, a number."""
    return "shopper " + user_id[-4:].lower()
