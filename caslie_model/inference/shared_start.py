"""Compute once what several prompts of a batch start with: the turn's head, a task's instruction, demonstrations.

The prompts are packed: rows of tokens without padding, in which starts that several prompts have in common stand once,
and a token attends to what stands before it in its own prompt. Keys and values are then laid out as those of prompts
padded on the left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from caslie_model.batching.labels_and_padding import padded
from caslie_model.inference.option_scores import additive_mask, shares_prompts, takes_trees, text_config
from caslie_model.runtime.device import Device

# Batches among whose prompts those that start alike are brought together: more share more, and are less of a length.
ALIKE = 16

# Tokens of a packed row: attention over a longer one costs more than short starts that are shared.
PACKED_TOKENS = 1024
# Of a row of prompts that share half of their tokens or more, such as demonstrations; its mask takes 64 MB.
PACKED_LONG = 4096


@dataclass
class _Pack:
    """A row of tokens.

    Attributes:
        tokens: The tokens.
        depths: Position of each in its prompts.
        paths: Indices of the tokens of each prompt, by the prompt's number.
    """

    tokens: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    paths: dict[int, list[int]] = field(default_factory=dict)


def alike_batches(prompts: Sequence[tuple[int, ...]], size: int) -> Iterator[list[int]]:
    """Yield the indices of prompts that are computed together and start alike: what they share is computed once.

    Among `ALIKE` times `size` prompts of about the same length, those with the same start are brought together.

    Args:
        prompts: The tokens of each prompt.
        size: Prompts of a batch.

    Yields:
        The batches, the one that takes most memory first: running out of memory happens at once, not at the end.
    """
    longest_first = sorted(range(len(prompts)), key=lambda index: (-len(prompts[index]), index))
    for start in range(0, len(longest_first), ALIKE * size):
        alike = sorted(longest_first[start : start + ALIKE * size], key=lambda index: prompts[index])
        batches = [alike[first : first + size] for first in range(0, len(alike), size)]
        yield from sorted(batches, key=lambda batch: -len(batch) * max(len(prompts[each]) for each in batch))


def prompt_inputs(
    model: Any, prompts: Sequence[tuple[int, ...]], padding: int, device: Device, following: int
) -> dict[str, Any]:
    """Return a model's inputs for prompts of text, with keys and values of all but their last tokens where it can be.

    Args:
        model: A causal language model.
        prompts: The tokens of each prompt, [B].
        padding: Token that fills rows.
        device: Where the tensors are put.
        following: Tokens that may follow the longest, generated or as an answer.

    Returns:
        input_ids, attention_mask and position_ids [B, T], and past_key_values if starts are shared.
    """
    inputs = device.move(padded(prompts, padding))
    cache = prompt_cache(model, prompts, following)
    return inputs if cache is None else {**inputs, "past_key_values": cache}


def prompt_cache(model: Any, prompts: Sequence[tuple[int, ...]], following: int) -> Any:
    """Return the keys and values of all tokens but the last of each prompt.

    Args:
        model: A causal language model, without images.
        prompts: The tokens of each prompt.
        following: Tokens that may follow the longest, generated or as an answer: a window has to reach from the last of
            them to the first token, as it counts the padding between.

    Returns:
        The cache (past_key_values) of B rows, padded on the left. None for a single prompt, or where the model's cache
        or attention does not allow it: the prompts are computed as they are.
    """
    if len(prompts) < 2 or min(map(len, prompts)) < 2 or not shares_prompts(model):
        return None
    longest = max(map(len, prompts)) + following
    # A model with a window gets rows that are no longer than it.
    widest = max(PACKED_TOKENS, longest, min(2 * longest, PACKED_LONG))
    limit = next((n for n in (widest, longest) if takes_trees(model, n)), 0)
    if not limit:
        return None
    packs = _packs([prompt[:-1] for prompt in prompts], limit)
    return _as_rows(model, packs, [_computed(model, pack) for pack in packs], len(prompts))


def _packs(prompts: Sequence[tuple[int, ...]], limit: int) -> list[_Pack]:
    """Pack prompts in the order of their tokens, so that those with a common start are neighbours."""
    packs = [_Pack()]
    before: tuple[int, ...] = ()
    path: list[int] = []
    for number in sorted(range(len(prompts)), key=lambda index: prompts[index]):
        prompt = prompts[number]
        most = min(len(prompt), len(before))
        common = next((i for i in range(most) if prompt[i] != before[i]), most)
        room = limit if 2 * common >= len(prompt) else min(limit, PACKED_TOKENS)
        if packs[-1].tokens and len(packs[-1].tokens) + len(prompt) - common > room:
            packs.append(_Pack())
            common = 0
        pack = packs[-1]
        first = len(pack.tokens)
        path = [*path[:common], *range(first, first + len(prompt) - common)]
        pack.tokens += prompt[common:]
        pack.depths += range(common, len(prompt))
        pack.paths[number] = path
        before = prompt
    return packs


def _computed(model: Any, pack: _Pack) -> Any:
    """Return the cache of a row: each token attends to its own prompt."""
    import numpy as np
    import torch

    seen = np.zeros((len(pack.tokens), len(pack.tokens)), dtype=bool)
    for path in pack.paths.values():
        seen[np.ix_(path, path)] = np.tri(len(path), dtype=bool)
    device = model.device
    return model(
        input_ids=torch.tensor([pack.tokens], device=device),
        attention_mask=additive_mask(model, torch.from_numpy(seen).to(device)[None, None]),
        position_ids=torch.tensor([pack.depths], device=device),
        use_cache=True,
        logits_to_keep=1,
    ).past_key_values


def _as_rows(model: Any, packs: Sequence[_Pack], caches: Sequence[Any], count: int) -> Any:
    """Return the cache of packed rows as that of prompts padded on the left; the packs' own caches are emptied."""
    import torch
    from transformers import DynamicCache

    width = max(len(path) for pack in packs for path in pack.paths.values())
    # Padding reads the first token, and is masked.
    index = torch.zeros((count, width), dtype=torch.long)
    offset = 0
    for pack in packs:
        for number, path in pack.paths.items():
            index[number, width - len(path) :] = torch.tensor(path) + offset
        offset += len(pack.tokens)
    index = index.to(model.device)
    rows = DynamicCache(config=text_config(model))
    for number in range(len(caches[0].layers)):
        layers = [cache.layers[number] for cache in caches]
        pair = [
            torch.cat([getattr(layer, name)[0] for layer in layers], dim=1)[:, index].transpose(0, 1)
            for name in ("keys", "values")
        ]
        for layer in layers:
            layer.keys = layer.values = None
        rows.update(*pair, number)
    return rows
