"""Compute once what several prompts of a batch start with: the turn's head, a task's instruction, demonstrations.

What all of them start with is computed first. The rests are packed: rows of tokens without padding, in which starts
that several of them have in common stand once, and a token attends to what stands before it in its own prompt. Keys and
values are then laid out as those of prompts padded on the left; where one token is asked for, its logits are read.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from caslie_model.batching.labels_and_padding import padded
from caslie_model.inference.option_scores import additive_mask, shares_prompts, takes_trees, text_config
from caslie_model.runtime.device import Device

if TYPE_CHECKING:
    from torch import Tensor

# Batches among whose prompts those that start alike are brought together: more share more, and are less of a length.
ALIKE = 16

# Tokens of a packed row: attention over a longer one costs more than short starts that are shared.
PACKED_TOKENS = 1024
# Of a row of prompts that share half of their tokens or more, such as demonstrations; its mask takes 64 MB.
PACKED_LONG = 4096
# Tokens below which what all prompts start with is packed with the rest.
LEAST_START = 16


@dataclass
class _Pack:
    """A row of tokens behind a start.

    Attributes:
        start: Tokens of the start.
        tokens: The tokens behind it.
        depths: Position of each in its prompts.
        paths: Indices of the tokens of each prompt, those of the start before the row's, by the prompt's number.
    """

    start: int
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
    model: Any,
    prompts: Sequence[tuple[int, ...]],
    padding: int,
    device: Device,
    following: int,
    starts: Starts | None = None,
) -> dict[str, Any]:
    """Return a model's inputs for prompts of text, with keys and values of all but their last tokens where it can be.

    Args:
        model: A causal language model.
        prompts: The tokens of each prompt, [B].
        padding: Token that fills rows.
        device: Where the tensors are put.
        following: Tokens that may follow the longest, generated or as an answer.
        starts: What earlier batches started with.

    Returns:
        input_ids, attention_mask and position_ids [B, T], and past_key_values if starts are shared.
    """
    inputs = device.move(padded(prompts, padding))
    cache = prompt_cache(model, prompts, following, starts)
    return inputs if cache is None else {**inputs, "past_key_values": cache}


class Starts:
    """The start that was computed last: the next batch often begins with it. Of one model, whose weights stay."""

    def __init__(self) -> None:
        self._tokens: tuple[int, ...] = ()
        self._cache: Any = None

    def of(self, model: Any, prompts: Sequence[tuple[int, ...]]) -> tuple[int, Any]:
        """Return the number of tokens that all prompts start with, and their keys and values; 0 for a short start.

        Args:
            model: The model, always the same one.
            prompts: The tokens of each prompt.
        """
        import torch

        # The smallest and the largest differ first.
        common = _common(min(prompts), max(prompts))
        if common < LEAST_START:
            return 0, None
        kept = len(self._tokens)
        if not (common >= kept >= 0.75 * common and prompts[0][:kept] == self._tokens):
            self._tokens = prompts[0][:common]
            self._cache = model(
                input_ids=torch.tensor([self._tokens], device=model.device), use_cache=True, logits_to_keep=1
            ).past_key_values
        return len(self._tokens), self._cache


def prompt_cache(
    model: Any, prompts: Sequence[tuple[int, ...]], following: int, starts: Starts | None = None
) -> Any:
    """Return the keys and values of all tokens but the last of each prompt.

    Args:
        model: A causal language model, without images.
        prompts: The tokens of each prompt.
        following: Tokens that may follow the longest, generated or as an answer: a window has to reach from the last of
            them to the first token, as it counts the padding between.
        starts: What earlier batches started with.

    Returns:
        The cache (past_key_values) of B rows, padded on the left. None for a single prompt, or where the model's cache
        or attention does not allow it: the prompts are computed as they are.
    """
    if not prompts or min(map(len, prompts)) < 2 or not (limit := _limit(model, prompts, following)):
        return None
    packs, start = _packed(model, [prompt[:-1] for prompt in prompts], limit, starts)
    return _as_rows(
        model, packs, [_computed(model, pack, start).past_key_values for pack in packs], len(prompts)
    )


def next_logits(
    model: Any, prompts: Sequence[tuple[int, ...]], starts: Starts | None = None
) -> Tensor | None:
    """Return the logits [B, vocabulary] of the token behind each prompt, without keeping keys and values.

    Args:
        model: A causal language model, without images.
        prompts: The tokens of each prompt.
        starts: What earlier batches started with.

    Returns:
        None where `prompt_cache` returns None.
    """
    import torch

    if not (limit := _limit(model, prompts, 1)):
        return None
    packs, start = _packed(model, prompts, limit, starts)
    logits: dict[int, Tensor] = {}
    for pack in packs:
        ends = torch.tensor([path[-1] - pack.start for path in pack.paths.values()], device=model.device)
        logits |= zip(pack.paths, _computed(model, pack, start, ends).logits[0], strict=True)
    return torch.stack([logits[number] for number in range(len(prompts))])


def _limit(model: Any, prompts: Sequence[tuple[int, ...]], following: int) -> int:
    """Return how long rows with their start may be; 0 where prompts are computed as they are."""
    if len(prompts) < 2 or not shares_prompts(model):
        return 0
    longest = max(map(len, prompts)) + following
    # A model with a window gets rows that are no longer than it.
    widest = max(PACKED_TOKENS, longest, min(2 * longest, PACKED_LONG))
    return next((n for n in (widest, longest) if takes_trees(model, n)), 0)


def _packed(
    model: Any, prompts: Sequence[tuple[int, ...]], limit: int, starts: Starts | None
) -> tuple[list[_Pack], Any]:
    """Return prompts in rows, and the cache of what all of them start with."""
    # Behind the start stands a token of each prompt.
    count, cache = (starts or Starts()).of(model, [prompt[:-1] for prompt in prompts])
    return _packs(prompts, limit, count), cache


def _packs(prompts: Sequence[tuple[int, ...]], limit: int, start: int = 0) -> list[_Pack]:
    """Pack prompts in the order of their tokens, so that those with a common start are neighbours.

    start: Tokens that all of them start with, and that are computed already.
    """
    # Where little is shared beyond the start, shorter rows repeat little and save attention.
    short = PACKED_TOKENS // 2 if 2 * start >= min(map(len, prompts)) else PACKED_TOKENS
    packs = [_Pack(start)]
    before: tuple[int, ...] = ()
    path: list[int] = []
    for number in sorted(range(len(prompts)), key=lambda index: prompts[index]):
        prompt = prompts[number]
        common = max(start, _common(prompt, before))
        room = limit - start if 2 * (common - start) >= len(prompt) - start else min(limit - start, short)
        if packs[-1].tokens and len(packs[-1].tokens) + len(prompt) - common > room:
            packs.append(_Pack(start))
            common = start
        pack = packs[-1]
        first = start + len(pack.tokens)
        path = [*(path[:common] or range(common)), *range(first, first + len(prompt) - common)]
        pack.tokens += prompt[common:]
        pack.depths += range(common, len(prompt))
        pack.paths[number] = path
        before = prompt
    return packs


def _common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Return how many tokens both start with."""
    most = min(len(one), len(other))
    return next((i for i in range(most) if one[i] != other[i]), most)


def _computed(model: Any, pack: _Pack, start: Any, ends: Tensor | None = None) -> Any:
    """Return the model's output for a row: each token attends to its own prompt.

    start: The cache of the row's start.
    ends: The tokens behind which logits are wanted; None: any.
    """
    import numpy as np
    import torch

    width = pack.start + len(pack.tokens)
    seen = np.zeros((width, width), dtype=bool)
    for path in pack.paths.values():
        seen[np.ix_(path, path)] = np.tri(len(path), dtype=bool)
    device = model.device
    if start is not None:
        # A copy whose tensors are replaced, never changed: the start serves the next rows too.
        start = copy.copy(start)
        start.layers = [copy.copy(layer) for layer in start.layers]
    return model(
        input_ids=torch.tensor([pack.tokens], device=device),
        attention_mask=additive_mask(model, torch.from_numpy(seen[pack.start :]).to(device)[None, None]),
        position_ids=torch.tensor([pack.depths], device=device),
        past_key_values=start,
        use_cache=True,
        logits_to_keep=1 if ends is None else ends,
    )


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
        offset += pack.start + len(pack.tokens)
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
