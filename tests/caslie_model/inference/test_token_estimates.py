"""Estimates of tokens and money."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from caslie_model.inference.prices import Price
from caslie_model.inference.token_estimates import estimated_tokens, pixels_of


def png(size: tuple[int, int]) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size).save(stream, "PNG")
    return stream.getvalue()


def test_tokens_are_counted_by_characters_pixels_and_words() -> None:
    found = estimated_tokens([380, 38], [784 * 10, 1], 50, 150)
    assert (found.prompt, found.reply, found.most) == (100 + 10 + 10 + 1, 2 * 70, 2 * 150)
    # No reply is longer than it may be.
    assert estimated_tokens([380], [], 50, 20).reply == 20


def test_money_is_that_of_usual_and_of_longest_replies() -> None:
    found = estimated_tokens([3800], [], 100, 300)
    assert found.money(Price(1.0, 10.0)) == pytest.approx((0.0024, 0.004))
    assert found.money(None) is None


def test_an_image_counts_as_it_is_shown() -> None:
    assert pixels_of(png((20, 30)), 1000) == 600
    assert pixels_of(png((200, 30)), 1000) == 1000
    assert pixels_of(b"no image", 1000) == 1000
