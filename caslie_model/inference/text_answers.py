"""What a causal language model writes freely: a text to each message, by greedy generation in batches."""

from __future__ import annotations

import math
from collections.abc import Sequence

from caslie_model.adapters.loading import LoadedModel
from caslie_model.inference.predict import greedy_tokens, is_near
from caslie_model.inference.shared_start import alike_batches, prompt_inputs

Tokens = tuple[int, ...]


def text_replies(
    loaded: LoadedModel, prompts: Sequence[Tokens], max_new_tokens: int, batch_size: int = 8
) -> list[str]:
    """Return what a model writes after each prompt; the batch size changes no reply.

    Args:
        loaded: The model.
        prompts: Tokens of each prompt, as of `PromptFormat.message_tokens`.
        max_new_tokens: Tokens of a reply at most.
        batch_size: Prompts at once.

    Returns:
        The replies, in the order of the prompts; empty where a token was chosen by what is no finite number.
    """
    said: dict[int, str] = {}
    for batch in alike_batches(prompts, batch_size):
        results = _generated(loaded, [prompts[index] for index in batch], max_new_tokens)
        for index, (tokens, lead) in zip(batch, results, strict=True):
            if len(batch) > 1 and is_near(lead, loaded.device.precision):
                [(tokens, lead)] = _generated(loaded, [prompts[index]], max_new_tokens)
            text = loaded.tokenizer.decode(tokens, skip_special_tokens=True).strip()
            said[index] = "" if math.isnan(lead) else text
    return [said[index] for index in range(len(prompts))]


def _generated(
    loaded: LoadedModel, prompts: Sequence[Tokens], max_new_tokens: int
) -> list[tuple[list[int], float]]:
    import torch

    with torch.inference_mode():
        inputs = prompt_inputs(
            loaded.model, prompts, loaded.tokenizer.eos_token_id, loaded.device, max_new_tokens
        )
        del inputs["position_ids"]  # generate counts them itself, from the mask
        return greedy_tokens(loaded.model, inputs, [max_new_tokens] * len(prompts))
