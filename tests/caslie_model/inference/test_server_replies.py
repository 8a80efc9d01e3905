from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caslie_model.inference.server_replies import (
    MalformedReplyError,
    error_code,
    error_text,
    label_scores,
    parse_json,
    read_reply,
)

NAMES = (
    *(
        "choices",
        "message",
        "content",
        "usage",
        "prompt_tokens",
        "completion_tokens",
        "prompt_tokens_details",
    ),
    *(
        "cached_tokens",
        "logprobs",
        "top_logprobs",
        "token",
        "logprob",
        "finish_reason",
        "error",
        "code",
        "type",
        "text",
    ),
    *("detail", "refusal"),
)
leaves = st.one_of(
    *(
        st.none(),
        st.booleans(),
        st.integers(),
        st.just(10**400),
        st.floats(allow_nan=False),
        st.text(max_size=5),
    ),
    st.sampled_from(["length", "B", "\ud800"]),
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=12,
)


def choice(logprobs: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": "B"}, "logprobs": {"content": [logprobs]}}]}


@given(values, values, st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_json_is_an_answer_or_malformed(body: Any, part: Any, wants_logprobs: bool) -> None:
    """An answer that is taken fits into a file of JSON lines."""
    for value in (
        body,
        {"choices": [body], "usage": part},
        choice(body),
        choice({"top_logprobs": [body, part]}),
    ):
        error_text(value).encode()
        error_code(value)
        try:
            reply = read_reply(value, wants_logprobs)
        except MalformedReplyError:
            continue
        scores = label_scores(reply.top, ("A", "B"))
        assert all(math.isfinite(score) for score in scores.values())
        json.dumps([reply.text, scores], ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[NaN]", b"[Infinity]", b"\xff", b"[" * 200_000, b"1" * 10_000]
)
def test_what_is_no_json_is_malformed(content: bytes) -> None:
    with pytest.raises(MalformedReplyError):
        parse_json(content)


def test_tokens_that_are_no_label_count_for_none() -> None:
    top = [("A", -1.0), ("AB", -0.1), ("A.", -0.2), ("", -0.3), ("answer", -0.4), ("Â", -0.5)]
    assert label_scores(top, ("A", "B")) == {"A": -1.0}


@pytest.mark.parametrize(
    "logprob", [10**400, -(10**400), math.inf, -math.inf, math.nan, True, "-1", None, 0.5]
)
def test_a_log_probability_that_is_none_is_passed_over(logprob: Any) -> None:
    body = choice({"token": "B", "logprob": logprob, "top_logprobs": [{"token": "A", "logprob": -1.5}]})
    assert label_scores(read_reply(body, True).top, ("A", "B")) == {"A": -1.5}
