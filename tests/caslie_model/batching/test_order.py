from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from caslie_model.batching.order import batch_order
from caslie_model.errors import ConfigError

IDS = [f"s{i}" for i in range(100)]
LENGTHS = [10 + (i * 37) % 90 for i in range(100)]


def test_every_sample_comes_once_per_epoch() -> None:
    order = batch_order(IDS, LENGTHS, 4, 2, None, 0)
    assert len(order.batches) == 50
    assert all(len(batch) == 4 for batch in order.batches)
    assert Counter(i for batch in order.batches for i in batch) == dict.fromkeys(range(100), 2)
    assert order.tokens == 2 * sum(LENGTHS)
    assert order.ended_by == "epochs"


def test_the_budget_ends_training_within_one_step() -> None:
    whole = batch_order(IDS, LENGTHS, 4, 1, None, 0)
    order = batch_order(IDS, LENGTHS, 4, 1, 1500, 0)
    assert order.ended_by == "max_train_tokens"
    assert order.tokens == sum(LENGTHS[i] for batch in order.batches for i in batch) <= 1500
    following = whole.batches[len(order.batches)]
    assert order.batches == whole.batches[: len(order.batches)]
    assert order.tokens + sum(LENGTHS[i] for i in following) > 1500


def test_batches_have_samples_of_similar_length_in_random_order() -> None:
    order = batch_order(IDS, LENGTHS, 4, 1, None, 0)
    padding = sum(4 * max(LENGTHS[i] for i in b) - sum(LENGTHS[i] for i in b) for b in order.batches)
    assert padding < 0.1 * order.tokens
    longest = [max(LENGTHS[i] for i in batch) for batch in order.batches]
    assert longest != sorted(longest)
    assert longest != sorted(longest, reverse=True)


def test_the_order_depends_on_the_seed_alone() -> None:
    assert batch_order(IDS, LENGTHS, 4, 1, None, 0) == batch_order(IDS, LENGTHS, 4, 1, None, 0)
    assert batch_order(IDS, LENGTHS, 4, 1, None, 0) != batch_order(IDS, LENGTHS, 4, 1, None, 1)


def test_an_incomplete_last_batch_is_left_out_unless_it_is_the_only_one() -> None:
    assert [len(b) for b in batch_order(IDS[:10], LENGTHS, 4, 1, None, 0).batches] == [4, 4]
    assert [len(b) for b in batch_order(IDS[:3], LENGTHS, 4, 1, None, 0).batches] == [3]


def test_copies_of_a_sample_get_hash_draws_of_their_own() -> None:
    once = batch_order(IDS, LENGTHS, 1, 1, None, 0).batches
    twice = batch_order([*IDS, *IDS], LENGTHS * 2, 1, 1, None, 0).batches
    assert Counter(i % 100 for (i,) in twice) == dict.fromkeys(range(100), 2)
    assert sum(a[0] % 100 == b[0] % 100 for a, b in pairwise(twice)) < 10
    # Grouped by the 16 that are batched together, the first copies keep their order.
    assert {i for (i,) in once[:16]} >= {i for (i,) in twice[:16] if i < 100}


def test_an_impossible_training_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no samples"):
        batch_order([], [], 4, 1, None, 0)
    with pytest.raises(ConfigError, match="max_train_tokens=5 does not cover one step"):
        batch_order(IDS, LENGTHS, 4, 1, 5, 0)
