"""Reviews and questions of the sample shop.

A review with image shows the bought product in the state that its rating speaks of. A third of these
reviews has a text that is the same for every rating ("came like this"), each rating equally often: there
only the image tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.synthetic.shop import wording
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
    """One review; `neutral` means that the text tells nothing of the rating."""

    product: int
    user: int  # place in the list of users
    rating: int
    day: int  # since 1970
    text: str
    summary: str
    neutral: bool
    image_id: str | None
    chance: int  # for what depends on nothing


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
    """Return one of each choices, all from one drawn number."""
    picked = []
    for items in choices:
        number, place = divmod(number, len(items))
        picked.append(items[place])
    return picked


def draw_reviews(users: list[User], products: list[Product], seed: int) -> list[Review]:
    """Return every purchase's review, user by user in the order of time."""
    keyed: list[tuple[int, int, int]] = []  # the draw, user, place in the user's purchases
    for user_number, user in enumerate(users):
        for place in range(len(user.bought)):
            keyed.append((hash_draw(seed, "shop review", user.user_id, str(place)), user_number, place))
    with_image = sorted(key for key in keyed if key[0] / 2**64 < WITH_IMAGES_SHARE)
    neutral_count = round(len(with_image) * NEUTRAL_SHARE)
    kinds: dict[tuple[int, int], tuple[int, bool]] = {}  # rating, neutral
    for rank, (_, user_number, place) in enumerate(with_image):
        # Sorted by a draw, so consecutive ranks are any users' reviews: every rating equally often.
        kinds[user_number, place] = (1 + rank % 5, rank < neutral_count)
    reviews: list[Review] = []
    first_image = len(products)
    days: dict[int, int] = {}
    for chance, user_number, place in keyed:
        day = days.get(user_number, FIRST_DAY + chance % 700) + 3 + chance // 7919 % 60
        days[user_number] = day
        image_id = None
        neutral = False
        rating = _COMMON_RATINGS[chance // 104_729 % len(_COMMON_RATINGS)]
        if (user_number, place) in kinds:
            rating, neutral = kinds[user_number, place]
            image_id = image_id_of(first_image + len(reviews))
        text, summary = _review_text(rating, neutral, chance)
        reviews.append(
            Review(
                product=users[user_number].bought[place],
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


def _review_text(rating: int, neutral: bool, chance: int) -> tuple[str, str]:
    if neutral:
        opening, middle, closing, summary = _pick(
            chance,
            wording.NEUTRAL_OPENINGS,
            wording.NEUTRAL_MIDDLES,
            wording.NEUTRAL_CLOSINGS,
            wording.NEUTRAL_SUMMARIES,
        )
        return f"{opening} {middle} {closing}", summary
    opening, middle, closing, summary = _pick(
        chance,
        wording.OPENINGS[rating],
        wording.MIDDLES[rating],
        wording.CLOSINGS[rating],
        wording.SUMMARIES[rating],
    )
    # A third of the texts does without the opening or the close.
    form = chance // 1_000_003 % 6
    parts = [middle, closing] if form == 0 else [opening, middle] if form == 1 else [opening, middle, closing]
    return " ".join(parts), summary


def draw_questions(products: list[Product], seed: int) -> list[Question]:
    """Return one or two questions per product, three in five answered by a snippet."""
    topics = list(wording.TOPICS)
    asked = sorted(
        (hash_draw(seed, "shop question", product.asin, str(number)), product.number, number)
        for product in products
        for number in range(1 + product.number % 2)
    )
    questions = []
    for rank, (chance, product, number) in enumerate(asked):
        answerable = rank % 5 < round(5 * ANSWERABLE_SHARE)
        rest, topic_place = divmod(chance, len(topics))
        topic = topics[topic_place]
        texts, answers = wording.TOPICS[topic]
        text, answer = _pick(rest, texts, answers)
        count = 3 + rest // 1009 % 4
        # Other topics in turn from a drawn place: none twice, never the asked one.
        step = 1 + rest // 10_007 % 3
        others = [
            topics[(topic_place + 1 + (place * step) % (len(topics) - 1)) % len(topics)]
            for place in range(count)
        ]
        sentences = [wording.TOPICS[other][1] for other in others]
        if answerable:
            sentences[rest // 101 % count] = (answer,)
        mixed = hash_draw(seed, "shop snippets", str(product), str(number))
        snippets = []
        for choices in sentences:
            start, sentence, end = _pick(mixed, wording.SNIPPET_STARTS, choices, wording.SNIPPET_ENDS)
            mixed //= len(wording.SNIPPET_STARTS) * len(choices) * len(wording.SNIPPET_ENDS)
            snippets.append(" ".join(part for part in (start, sentence, end) if part))
        questions.append(
            Question(
                qid=product * 10 + number,
                product=product,
                text=text,
                snippets=tuple(snippets),
                answerable=answerable,
                answer=answer if answerable else "I do not know.",
            )
        )
    return sorted(questions, key=lambda question: question.qid)


def reviewer_name(user_id: str) -> str:
    """Return a user's shown name: a number, as no person stands behind it."""
    return "shopper " + user_id[-4:].lower()
