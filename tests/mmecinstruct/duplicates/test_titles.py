"""Near-duplicate titles, compared with brute force."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from mmecinstruct.duplicates import edges, runs, titles
from mmecinstruct.duplicates.clusters import connected_components
from mmecinstruct.duplicates.titles import (
    bands_for,
    near_texts,
    near_texts_between,
    title_words,
    word_similarity,
)


def invented(count, longest=14, seed=0, vocabulary=400):
    """Titles of frequent and rare words, every third one an earlier one with a word more, less or other."""
    generator = random.Random(seed)
    made: list[list[str]] = []
    for number in range(count):
        if number % 3 == 2:
            words = list(generator.choice(made))
            for _ in range(generator.randint(0, 2)):
                position = generator.randrange(len(words))
                change = generator.choice(["more", "less", "other"])
                if change == "more" or len(words) == 1:
                    words.insert(position, f"w{generator.randrange(vocabulary)}")
                elif change == "less":
                    words.pop(position)
                else:
                    words[position] = f"w{generator.randrange(vocabulary)}"
        else:
            size = generator.randint(1, longest)
            words = [f"w{int(vocabulary * generator.random() ** 3)}" for _ in range(size)]
        made.append(words)
    return [" ".join(words) for words in made]


def all_similar(left, right, similarity):
    """Every pair, compared word set by word set."""
    sets, others = [set(title_words(text)) for text in left], [set(title_words(text)) for text in right]
    return {
        (i, j): len(a & b) / len(a | b)
        for i, a in enumerate(sets)
        for j, b in enumerate(others)
        if a and b and len(a & b) >= similarity * len(a | b) - 1e-9
    }


def found(result):
    pairs, similarities = result
    assert len({*map(tuple, pairs.tolist())}) == len(pairs)
    return dict(zip(map(tuple, pairs.tolist()), similarities.tolist(), strict=True))


def test_texts_are_compared_by_their_distinct_words() -> None:
    assert title_words("Red, red MUG (350 ml)") == ["350", "ml", "mug", "red"]
    assert title_words("…!?") == []


@pytest.mark.parametrize("similarity", [0.55, 0.7, 0.85, 1.0])
def test_pairs_between_lists_equal_those_of_brute_force(similarity: float) -> None:
    left, right = invented(500), invented(500)[::2] + invented(150, seed=1)
    expected = all_similar(left, right, similarity)
    result = found(near_texts_between(left, right, similarity))
    assert len(expected) > 200
    assert set(result) <= set(expected)  # verified: nothing below the similarity
    assert len(result) >= 0.99 * len(expected)
    assert all(result[pair] == pytest.approx(expected[pair]) for pair in result)


@pytest.mark.parametrize("similarity", [0.6, 0.85])
def test_pairs_within_a_list_equal_those_of_brute_force(similarity: float) -> None:
    texts = list(dict.fromkeys(" ".join(title_words(title)) for title in invented(900)))
    expected = {pair: one for pair, one in all_similar(texts, texts, similarity).items() if pair[0] < pair[1]}
    result = found(near_texts(texts, similarity))
    assert len(expected) > 50
    assert set(result) <= set(expected)
    assert len(result) >= 0.98 * len(expected)
    assert all(result[pair] == pytest.approx(expected[pair]) for pair in result)


def test_texts_with_equal_words_are_paired_with_the_first() -> None:
    texts = ["Mug, red", "red mug", "blue mug", "RED MUG!", "a b c d e f", "a b c d e f g", "f e d c b a"]
    result = found(near_texts(texts, 0.8))
    assert result == {(0, 1): 1.0, (0, 3): 1.0, (4, 6): 1.0, (4, 5): pytest.approx(6 / 7)}


def test_a_very_frequent_title_makes_linearly_many_pairs() -> None:
    assert len(near_texts(["Gift card"] * 20_000, 0.85)[0]) == 19_999


def test_texts_without_words_are_in_no_pair() -> None:
    assert len(near_texts(["", "!", "?", "…"], 0.85)[0]) == 0
    assert len(near_texts([], 0.85)[0]) == 0
    assert found(near_texts_between(["", "mug"], ["mug", "-"], 0.85)) == {(1, 0): 1.0}
    assert len(near_texts_between([], ["mug"], 0.85)[0]) == 0
    assert len(near_texts_between(["mug"], [], 0.85)[0]) == 0


def test_texts_of_some_hundred_words_are_found() -> None:
    generator = random.Random(5)
    left = [" ".join(f"w{generator.randrange(3000)}" for _ in range(300)) for _ in range(200)]
    right = []
    for text in left:
        words = text.split()
        for _ in range(10):
            words[generator.randrange(300)] = "changed"
        right.append(" ".join(words))
    result = found(near_texts_between(left, right, 0.85))
    assert set(result) == {(i, i) for i in range(200)}


def test_the_chunk_size_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = invented(400)
    whole = found(near_texts(texts, 0.7)), found(near_texts_between(texts, texts[::3], 0.7))
    monkeypatch.setattr(runs, "CHUNK", 50)
    monkeypatch.setattr(titles, "_SIGNATURES_AT_ONCE", 7)
    assert (found(near_texts(texts, 0.7)), found(near_texts_between(texts, texts[::3], 0.7))) == whole


def test_other_texts_do_not_change_the_pairs() -> None:
    texts = invented(600)
    alone = found(near_texts_between(texts[:300], texts[:300], 0.6))
    together = found(near_texts_between(texts[::-1] + texts[:300], texts[:300], 0.6))
    assert {(i - 600, j): one for (i, j), one in together.items() if i >= 600} == alone


def test_any_number_of_threads_gives_the_same_pairs() -> None:
    program = (
        "from mmecinstruct.duplicates.titles import near_texts;"
        "words = [[f'w{(i * 7919 + j * j * 31) % 97}' for j in range(8)] for i in range(3000)];"
        "print(near_texts([' '.join(one) for one in words], 0.6)[0].tolist())"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "RAYON_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for threads in ("1", "3")
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) > 100


@pytest.mark.parametrize("similarity", [0.55, 0.7, 0.85, 0.95, 1.0])
def test_bands_suffice_for_a_pair_at_the_threshold(similarity: float) -> None:
    bands = bands_for(similarity)
    assert 1 - (1 - similarity**titles.ROWS) ** bands >= titles.RECALL
    assert bands == 1 or 1 - (1 - similarity**titles.ROWS) ** (bands - 1) < titles.RECALL


@pytest.mark.parametrize("similarity", [0.5, 0.0, 1.1, -1])
def test_a_similarity_out_of_range_is_an_error(similarity: float) -> None:
    with pytest.raises(ValueError, match=r"above 0\.5"):
        near_texts(["mug"], similarity)


def test_similarity_compares_word_sets() -> None:
    assert word_similarity("a b c", "B, c d") == 0.5
    assert word_similarity("!", "?") == 0.0


def test_titles_of_one_pattern_make_few_pairs_and_stay_one_component(monkeypatch):
    def pattern(name, number):
        return f"{name} premium leather flip case cover wallet with card holder magnetic stand for m{number}"

    texts = [pattern("acme", number) for number in range(400)]
    texts += [pattern("zorg", number).replace("premium", "genuine") for number in range(400)]
    # The only link of the two patterns: near to each by one word.
    texts += [pattern("acme", 7).replace("premium", "genuine"), "an oak lamp", "an oak lamp", "other words"]
    monkeypatch.setattr(titles, "MOST_PAIRS", 1 << 30)
    whole = found(near_texts(texts, 0.85))
    assert len(whole) > 2 * 400 * 399 / 2
    monkeypatch.setattr(titles, "MOST_NEAR", 8)
    monkeypatch.setattr(titles, "MOST_PAIRS", 0)
    thin = found(near_texts(texts, 0.85))
    assert thin.items() <= whole.items()
    assert len(thin) < 8 * len(texts) + 100

    def components(pairs):
        return connected_components(map(str, range(len(texts))), [(str(a), str(b)) for a, b in pairs])

    assert components(thin) == components(whole)
    monkeypatch.setattr(edges, "_AT_ONCE", 1000)
    assert components(found(near_texts(texts, 0.85))) == components(whole)
    # The same pairs in any order of the texts.
    backwards = found(near_texts(texts[::-1], 0.85))
    last = len(texts) - 1
    assert len(backwards) < 8 * len(texts) + 100
    assert components({(last - a, last - b) for a, b in backwards}) == components(whole)
