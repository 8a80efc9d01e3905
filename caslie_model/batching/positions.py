"""Check that prompts with their answers stay within the positions that a model has."""

from __future__ import annotations

from typing import Any

from caslie_model.errors import ConfigError
from caslie_model.runtime.console import say


def check_positions(model: Any, max_length: int, longest: int, generated: int = 0) -> None:
    """Check the positions of a model against what is needed: an error for learnt positions, else a warning.

    Args:
        model: The language model, with or without an adapter.
        max_length: The setting that bounds prompt and answer, in tokens.
        longest: Tokens of the longest prompt with its answer.
        generated: Tokens that may be generated beyond it.

    Raises:
        ConfigError: If the model has learnt fewer positions.
    """
    positions = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    if not isinstance(positions, int) or longest + generated <= positions:
        return
    fits = positions - generated
    more = f" with {generated} more generated tokens" if generated else ""
    numbers = f"max_length={max_length}{more} is more than the model's {positions} positions"
    if _are_learnt(model, positions):
        raise ConfigError(f"{numbers}; set max_length to {fits} or less")
    say(f"warning: {numbers}, beyond which it was not trained; max_length={fits} or less stays within them")


def _are_learnt(model: Any, positions: int) -> bool:
    """Return whether a table has a row for each position (some tables have two more), as in GPT-2 and OPT."""
    from torch import nn

    words = model.get_input_embeddings()
    return any(
        isinstance(module, nn.Embedding)
        and module is not words
        and 0 <= module.num_embeddings - positions <= 2
        for module in model.modules()
    )
