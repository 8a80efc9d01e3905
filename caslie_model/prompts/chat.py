"""A tokenizer's chat template: how it writes the user's turn, and the token by which it closes a turn."""

from __future__ import annotations

from typing import Any

from jinja2 import TemplateError

from caslie_model.errors import ModelError

# Some chat templates write today's date or open a thinking block: both must not vary.
_SETTINGS = {"date_string": "26 Jul 2024", "enable_thinking": False}
# Of letters that no template writes.
_ANSWER = "QZX"


def user_turn(tokenizer: Any, text: str) -> str:
    """Return a conversation up to the place where the assistant answers.

    Args:
        tokenizer: One with a chat template.
        text: What the user says.

    Returns:
        The text that the model continues.

    Raises:
        ModelError: If the template cannot be filled.
    """
    try:
        return _rendered(tokenizer, [{"role": "user", "content": text}], True)
    except TemplateError as error:
        raise ModelError(f"the tokenizer's chat template cannot be filled: {error}") from error


def end_token(tokenizer: Any) -> int:
    """Return the token that ends an answer: the one by which the chat template closes a turn.

    It is found by rendering an answer, and differs from the end-of-sequence token in Gemma's form. Where the template
    closes a turn with no control token, or there is no template, the end-of-sequence token ends an answer.

    Args:
        tokenizer: A tokenizer with an end-of-sequence token.

    Returns:
        Id of the token.
    """
    end: int = tokenizer.eos_token_id
    if not tokenizer.chat_template:
        return end
    turns = [{"role": "user", "content": _ANSWER}, {"role": "assistant", "content": _ANSWER}]
    try:
        after = _rendered(tokenizer, turns, False).rpartition(_ANSWER)[2]
    except TemplateError:  # one that knows no answers
        return end
    for token in tokenizer(after, add_special_tokens=False)["input_ids"]:
        if token in tokenizer.added_tokens_decoder:
            return int(token)
        if tokenizer.decode([token]).strip():
            break
    return end


def _rendered(tokenizer: Any, turns: list[dict[str, str]], answers_next: bool) -> str:
    text: str = tokenizer.apply_chat_template(
        turns, tokenize=False, add_generation_prompt=answers_next, **_SETTINGS
    )
    return text
