"""What a server answers with, read with care: it may be anything."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from caslie_model.runtime.strict_json import strict_json

# Blanks of tokenizers that work on bytes or on pieces, as servers show them.
_BLANKS = "Ġ▁Ċ \t\n"
_MAX_TOKENS = 10**9
_QUOTED_PARAMETER = re.compile(r"['\"`](temperature|seed|max_tokens)['\"`]")
_NAME_LENGTH = 200
# Characters of an error.
_SEARCHED = 1000


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens that a server counted.

    Attributes:
        prompt: Tokens of prompts.
        completion: Tokens of answers.
        cached: Tokens of prompts that the server had computed before.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0

    def __add__(self, other: TokenUsage) -> TokenUsage:
        """Return the sum."""
        return TokenUsage(
            self.prompt + other.prompt, self.completion + other.completion, self.cached + other.cached
        )


@dataclass(frozen=True, slots=True)
class ChatReply:
    """An answer.

    Attributes:
        text: The text.
        usage: The tokens; None where the server does not count.
        top: The likeliest first tokens with their log-probabilities, where they were asked for.
        cost: Money, those requests included whose answers could not be used; None where there are no prices.
        model: The name that the server gives the model that answered; empty where it gives none.
    """

    text: str
    usage: TokenUsage | None
    top: tuple[tuple[str, float], ...] = ()
    cost: float | None = None
    model: str = ""


class MalformedReplyError(Exception):
    """An answer that cannot be used.

    Attributes:
        usage: The tokens that it cost all the same.
    """

    def __init__(self, detail: str, usage: TokenUsage | None = None) -> None:
        super().__init__(detail)
        self.usage = usage


def parse_json(content: bytes) -> Any:
    """Return a JSON value.

    Raises:
        MalformedReplyError: If it is none, or one that is nested too deeply.
    """
    try:
        return strict_json(content)
    except ValueError:
        raise MalformedReplyError("the answer is no JSON") from None


def read_reply(body: Any, wants_logprobs: bool) -> ChatReply:
    """Return the answer in a server's JSON.

    Args:
        body: The value.
        wants_logprobs: Whether the log-probabilities of the first token were asked for.

    Raises:
        MalformedReplyError: If there is no answer in it.
    """
    usage = _usage(_get(body, "usage"))
    choices = _get(body, "choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = _get(choice, "message")
    if not isinstance(message, Mapping):
        raise MalformedReplyError("the answer has no choices with a message", usage)
    text = _text(message)
    named = _get(body, "model")
    model = _clean(named[:_NAME_LENGTH]) if isinstance(named, str) else ""
    if wants_logprobs:
        top = _top(_get(choice, "logprobs"))
        if not top:
            raise MalformedReplyError(
                "the answer has no logprobs: the server does not give them; use scoring=generate", usage
            )
        return ChatReply(text, usage, top, model=model)
    if not text.strip() and _get(choice, "finish_reason") == "length":
        raise MalformedReplyError(
            "the answer is empty as it was cut off at max_tokens: a model that reasons first needs more",
            usage,
        )
    return ChatReply(text, usage, model=model)


def error_text(body: Any) -> str:
    """Return what an error's JSON says, in the forms that servers use; empty where it says nothing."""
    error = _get(body, "error", body)
    for value in (_get(error, "message"), error, _get(error, "detail")):
        if isinstance(value, str):
            return _clean(value)
    return ""


def error_code(body: Any) -> str:
    """Return the code or type of an error's JSON; empty where it has none."""
    error = _get(body, "error")
    return next((value for name in ("code", "type") if isinstance(value := _get(error, name), str)), "")


def error_parameter(body: Any) -> str:
    """Return the parameter that an error's JSON blames; empty where it names none.

    It is in a field of its own, in the place that a check of the request found, or in quotes in the text.
    """
    named = _get(_get(body, "error", body), "param")
    if isinstance(named, str):
        return named
    detail = _get(body, "detail")
    place = _get(detail[0], "loc") if isinstance(detail, list) and detail else None
    if isinstance(place, list) and len(place) == 2 and isinstance(place[1], str):
        return place[1]
    quoted = _QUOTED_PARAMETER.search(error_text(body)[:_SEARCHED])
    return quoted[1] if quoted else ""


def label_scores(top: Sequence[tuple[str, float]], labels: Sequence[str]) -> dict[str, float]:
    """Return the log-probability of each label that is among a server's likeliest tokens.

    A label may be several tokens (`B`, ` B`, `b`), whose probabilities are added.

    Args:
        top: Tokens and their log-probabilities.
        labels: Letters, or yes and no.

    Returns:
        Log-probabilities by label, in the order of the labels; absent ones are left out.
    """
    found: dict[str, list[float]] = {label: [] for label in labels}
    by_text = {label.casefold(): label for label in labels}
    for token, logprob in top:
        label = by_text.get(token.strip(_BLANKS).casefold())
        if label is not None:
            found[label].append(logprob)
    return {label: _log_sum(values) for label, values in found.items() if values}


def _log_sum(values: Sequence[float]) -> float:
    largest = max(values)
    return largest + math.log(sum(math.exp(value - largest) for value in values))


def _get(value: Any, name: str, default: Any = None) -> Any:
    return value.get(name, default) if isinstance(value, Mapping) else None


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):  # parts, of which some servers make a reasoning
        texts = [_get(part, "text") for part in content]
        content = "".join(text for text in texts if isinstance(text, str))
    if not content:
        content = message.get("refusal")
    return _clean(content) if isinstance(content, str) else ""


def _clean(text: str) -> str:
    """Return a text without halves of characters, which no file in UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode()


def _usage(value: Any) -> TokenUsage | None:
    prompt, completion = (_count(_get(value, name)) for name in ("prompt_tokens", "completion_tokens"))
    if prompt is None:
        return None
    cached = _count(_get(_get(value, "prompt_tokens_details"), "cached_tokens")) or 0
    return TokenUsage(prompt, completion or 0, min(cached, prompt))


def _count(value: Any) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_TOKENS
    return value if is_count else None


def _top(logprobs: Any) -> tuple[tuple[str, float], ...]:
    content = _get(logprobs, "content")
    first = content[0] if isinstance(content, list) and content else None
    listed = _get(first, "top_logprobs")
    entries = [*(listed if isinstance(listed, list) else ()), first]
    # The token that was taken may stand beside the likeliest ones.
    top: dict[str, float] = {}
    for entry in entries:
        token, logprob = _get(entry, "token"), _get(entry, "logprob")
        if isinstance(token, str) and _is_logprob(logprob):
            top.setdefault(token, float(logprob))
    return tuple(top.items())


def _is_logprob(value: Any) -> bool:
    """Return whether a value is the logarithm of a probability, rounding allowed for; servers cap it from below."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e6 < value < 1e-3
