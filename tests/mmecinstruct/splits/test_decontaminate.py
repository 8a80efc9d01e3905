"""What a later split's candidates share with selected samples of earlier splits."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mmecinstruct.images.perceptual_hash import format_hash
from mmecinstruct.splits import contents, decontaminate
from mmecinstruct.splits.contents import GRAM, ImageHashes, contents_of
from mmecinstruct.splits.decontaminate import Held, Meeting

AP, CC, MPC, PRP, SA, SR = (
    *("answerability_prediction", "category_classification", "multiclass_product_classification"),
    *("product_relation_prediction", "sentiment_analysis", "sequential_recommendation"),
)
# Of a task: the field of its text.
FIELD = {CC: "title", SA: "review", AP: "question", MPC: "query"}
LONG = "The strap is long enough to wear across the body and the seams have held"
NO_IMAGES = ImageHashes(pa.table({name: pa.array([], pa.string()) for name in ImageHashes.columns}))


def rows(
    task: str, *texts: object, urls: Sequence[Sequence[str]] = (), users: Sequence[str] = ()
) -> pa.Table:
    fields = [text if isinstance(text, (dict, list)) else {FIELD[task]: text} for text in texts]
    return pa.table(
        {
            "fields": [json.dumps(one) for one in fields],
            "user_id": pa.array(users or [None] * len(texts), pa.string()),
            "image_urls": pa.array(urls or [[]] * len(texts), pa.list_(pa.string())),
        }
    )


def images(structure: float = 30.0, phashes: Sequence[int] = (), **hashes: tuple[str, int]) -> ImageHashes:
    """Return images by URL: pixels and dHash."""
    return ImageHashes(
        pa.table(
            {
                "image_url": list(hashes),
                "pixel_id": [pixels for pixels, _ in hashes.values()],
                "dhash": [format_hash(dhash) for _, dhash in hashes.values()],
                "phash": [format_hash(phash) for phash in phashes or [7] * len(hashes)],
                "structure": [structure] * len(hashes),
            }
        ),
        5.0,
    )


def meetings(
    earlier: tuple[str, pa.Table], later: tuple[str, pa.Table], known: ImageHashes = NO_IMAGES
) -> list[Meeting | None]:
    held = Held()
    held.add(
        contents_of(*earlier, known), [f"{earlier[0]} {number}" for number in range(earlier[1].num_rows)]
    )
    return held.find(contents_of(*later, known), later[1].num_rows)


def others(
    earlier: tuple[str, pa.Table], later: tuple[str, pa.Table], known: ImageHashes = NO_IMAGES
) -> list[str]:
    return [one.other if one else "" for one in meetings(earlier, later, known)]


def test_the_same_words_meet_in_any_task() -> None:
    earlier = rows(CC, "Oak Mug", "Usb-C cable!")
    assert others((CC, earlier), (MPC, rows(MPC, "usb c cable", "usb cable"))) == [f"{CC} 1", ""]


def test_a_snippet_meets_a_review() -> None:
    asked = {"question": "Is it long?", "document": ["Yes, it is.", f"{LONG}."]}
    assert others((SA, rows(SA, LONG)), (AP, rows(AP, asked, {"question": LONG[:20], "document": []}))) == [
        f"{SA} 0",
        "",
    ]


def test_half_of_the_grams_meet() -> None:
    words = [f"w{number}" for number in range(23)]
    earlier = (SA, rows(SA, " ".join(words)))
    # 23 words have 16 sequences of 8; the first 15 words have 8 of them.
    half = [*words[:15], *(f"x{number}" for number in range(8))]
    less = [*words[:14], *(f"x{number}" for number in range(9))]
    assert others(earlier, (SA, rows(SA, " ".join(half), " ".join(less)))) == [f"{SA} 0", ""]


def test_of_texts_below_eight_words_equality_decides() -> None:
    earlier = (SA, rows(SA, "one two three four five six seven", LONG))
    assert others(
        earlier, (SA, rows(SA, "One, two, three: four five six seven", "one two three four five six"))
    ) == [
        f"{SA} 0",
        "",
    ]


def test_grams_of_several_texts_do_not_add_up() -> None:
    words = [f"w{number}" for number in range(24)]
    earlier = (SA, rows(SA, " ".join(words[:12]), " ".join(words[12:])))
    assert others(earlier, (SA, rows(SA, " ".join(words)))) == [""]


def test_the_first_earlier_sample_is_named_once() -> None:
    earlier = (SA, rows(SA, "Great product", LONG, LONG))
    (found,) = meetings(earlier, (SA, rows(SA, LONG)))
    assert found == Meeting("a text of the same words", f"{SA} 1")


def test_the_same_pixels_meet_under_different_urls() -> None:
    known = images(a=("pixels", 0), b=("pixels", 0), c=("other", 1 << 40))
    later = rows(CC, "Bowl", "Plate", urls=[["b"], ["c"]])
    assert others((CC, rows(CC, "Mug", urls=[["a"]])), (CC, later), known) == [f"{CC} 0", f"{CC} 0"]
    (same, near) = meetings((CC, rows(CC, "Mug", urls=[["a"]])), (CC, later), known)
    assert same
    assert near
    assert same.shared == "the same image"
    assert near.shared == "an image whose dHash differs in at most 4 bits"


@pytest.mark.parametrize(("bits", "meets"), [(4, True), (5, False)])
def test_dhashes_meet_up_to_four_bits(bits: int, meets: bool) -> None:
    known = images(a=("one", 0x0F0F0F0F0F0F0F0F), b=("two", 0x0F0F0F0F0F0F0F0F ^ ((1 << bits) - 1)))
    found = others((CC, rows(CC, "Mug", urls=[["a"]])), (CC, rows(CC, "Bowl", urls=[["b"]])), known)
    assert bool(found[0]) == meets


@pytest.mark.parametrize(("bits", "meets"), [(16, True), (17, False)])
def test_near_dhashes_of_unlike_phashes_do_not_meet(bits: int, meets: bool) -> None:
    known = images(phashes=[0, (1 << bits) - 1], a=("one", 1), b=("two", 1))
    found = others((CC, rows(CC, "Mug", urls=[["a"]])), (CC, rows(CC, "Bowl", urls=[["b"]])), known)
    assert bool(found[0]) == meets


def test_a_flat_image_has_no_dhash() -> None:
    known = images(structure=4.9, a=("one", 0), b=("two", 0))
    assert others((CC, rows(CC, "Mug", urls=[["a"]])), (CC, rows(CC, "Bowl", urls=[["b"]])), known) == [""]


def test_unread_images_are_compared_by_their_full_size_url() -> None:
    base = "https://m.media-amazon.com/images/I/51q4dzMwpFL"
    earlier = (CC, rows(CC, "Mug", urls=[[f"{base}.jpg"]]))
    assert others(earlier, (CC, rows(CC, "Bowl", urls=[[f"{base}._SX38_.jpg"]]))) == [f"{CC} 0"]


def test_histories_meet_as_a_whole_and_users_by_name() -> None:
    earlier = (SR, rows(SR, ["Mug", "Bowl"], ["Plate", "Jar"], users=["u1", "u2"]))
    later = rows(SR, ["mug", "bowl!"], ["Bowl", "Mug"], ["Fork", "Spoon"], users=["u3", "u4", "u2"])
    assert others(earlier, (SR, later)) == [f"{SR} 0", "", f"{SR} 1"]


def test_histories_and_their_images_meet_nothing_of_other_tasks() -> None:
    earlier = (SR, rows(SR, ["Mug", "Bowl"], users=["u1"], urls=[["https://example.com/mug.jpg"]]))
    later = rows(CC, "Mug", urls=[["https://example.com/mug.jpg"]])
    assert others(earlier, (CC, later)) == [""]
    assert others((CC, later), earlier) == [""]


def test_texts_without_words_meet_nothing() -> None:
    assert others((SA, rows(SA, "!!!")), (SA, rows(SA, "!!!", "…"))) == ["", ""]


def test_nothing_meets_an_empty_split() -> None:
    assert Held().find(contents_of(SA, rows(SA, LONG), NO_IMAGES), 1) == [None]
    assert others((SA, rows(SA)), (SA, rows(SA, LONG))) == [""]
    assert others((SA, rows(SA, LONG)), (SA, rows(SA))) == []


@pytest.mark.parametrize("first_holders", [1, 64])
def test_the_pair_of_texts_that_share_half_is_found_among_frequent_grams(
    monkeypatch: pytest.MonkeyPatch, first_holders: int
) -> None:
    monkeypatch.setattr(decontaminate, "_FIRST_HOLDERS", first_holders)
    # Pieces of a few words, so that texts are cut into several.
    monkeypatch.setattr(contents, "_WORDS_AT_ONCE", 64)
    draw = random.Random(7)
    phrases = [[f"p{number}w{place}" for place in range(draw.randint(4, 14))] for number in range(12)]

    def text() -> str:
        return " ".join(word for phrase in draw.choices(phrases, k=draw.randint(1, 4)) for word in phrase)

    earlier, later = [text() for _ in range(60)], [text() for _ in range(200)]

    def grams(one: str) -> set[tuple[str, ...]]:
        words = one.split()
        return {tuple(words[at : at + GRAM]) for at in range(len(words) - GRAM + 1)}

    expected = [
        any(a == b or (grams(b) and 2 * len(grams(a) & grams(b)) >= len(grams(b))) for a in earlier)
        for b in later
    ]
    assert 0.2 < np.mean(expected) < 0.9
    assert [bool(one) for one in others((SA, rows(SA, *earlier)), (SA, rows(SA, *later)))] == expected


def test_texts_of_frequent_phrases_take_few_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    # Any two of five phrases are at least half of a text, and each is in two of five texts.
    draw = random.Random(3)
    phrases = [" ".join(f"p{number}w{place}" for place in range(40)) for number in range(5)]

    def texts(count: int) -> list[str]:
        numbers = [draw.sample(range(5), 2) for _ in range(count)]
        return [
            f"{phrases[a]} {' '.join(str(draw.random())[2:] for _ in range(25))} {phrases[b]}"
            for a, b in numbers
        ]

    compared = 0
    ranges = decontaminate.ranges

    def counted(firsts: np.ndarray, counts: np.ndarray) -> Any:
        nonlocal compared
        compared += int(counts.sum())
        return ranges(firsts, counts)

    monkeypatch.setattr(decontaminate, "ranges", counted)
    assert all(others((SA, rows(SA, *texts(1000))), (SA, rows(SA, *texts(20)))))
    assert compared < 300_000


def test_the_order_of_candidates_changes_nothing() -> None:
    texts = [" ".join(LONG.split()[start:]) for start in range(8)]
    earlier = (SA, rows(SA, *texts[::2]))
    found = others(earlier, (SA, rows(SA, *texts)))
    assert others(earlier, (SA, rows(SA, *texts[::-1]))) == found[::-1]
    assert all(found)
    assert len(set(pairwise(found))) > 1
