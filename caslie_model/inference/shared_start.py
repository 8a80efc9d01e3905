"""Compute once what all prompts of a batch start with: the turn's head, and a task's instruction.

The padding of shorter prompts then lies behind the shared start, masked as padding on the left is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caslie_model.inference.option_scores import shares_prompts, takes_trees

# A shorter start is not worth a pass of its own.
SHORTEST_START = 16


def shared_start(model: Any, prompts: Sequence[tuple[int, ...]], following: int) -> int:
    """Return the number of first tokens that all prompts share, where the model can share them.

    Args:
        model: A causal language model, without images.
        prompts: The tokens of each prompt.
        following: Tokens that may follow the longest, generated or as an answer: a window has to reach from the last of
            them to the first token, as it counts the padding between.

    Returns:
        0 where there is nothing to share, or the model's cache or attention does not allow it. One token of each
        prompt is left over.
    """
    if len(prompts) < 2:
        return 0
    # All that the first and the last in order share, those between them share too.
    first, last = min(prompts), max(prompts)
    most = min(map(len, prompts)) - 1
    start = next((i for i in range(most) if first[i] != last[i]), most)
    longest = max(map(len, prompts)) + following
    is_shared = start >= SHORTEST_START and shares_prompts(model) and takes_trees(model, longest)
    return start if is_shared else 0


def start_cache(model: Any, input_ids: Any, start: int) -> Any:
    """Return the keys and values of the shared start, repeated for each row.

    Args:
        model: The model.
        input_ids: [B, T].
        start: Number of first tokens that the rows share.

    Returns:
        The cache (past_key_values) of B rows.
    """
    import torch

    output = model(
        input_ids=input_ids[:1, :start],
        attention_mask=torch.ones_like(input_ids[:1, :start]),
        position_ids=torch.arange(start, device=input_ids.device)[None],
        use_cache=True,
        logits_to_keep=1,
    )
    output.past_key_values.batch_repeat_interleave(len(input_ids))
    return output.past_key_values
