"""Score several continuations of each prompt, whose keys and values are computed once.

The continuations of a prompt are a tree: tokens that several of them start with are fed once. Where the model takes an
attention mask of ours, a tree is one row behind its prompt, and a token attends to the prompt and to its own branch.
Other models, and those whose attention window is shorter than the row, get a row per continuation, each behind a copy
of its prompt's keys and values.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from torch import Tensor

# Tokens (rows times length) of option scoring held in memory at once.
SCORING_TOKENS = 16_384
# Settings that say how far back a token attends.
_WINDOWS = re.compile(r"(window|window_size|attention_chunk_size)$")
# Kinds of attention that take a mask of four dimensions.
_MASKED_ATTENTION = ("sdpa", "eager")
# What layers of a cache have that hold more than keys and values: a state, or an index.
_NOT_SHARED = ("conv_states", "indexer_keys")
# Which models give the same scores in trees as in rows.
_TAKES_TREES: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


@dataclass(frozen=True)
class PromptPass:
    """A forward pass over B prompts, padded on the left to W tokens.

    Attributes:
        cache: Keys and values of the prompts (past_key_values), which are left as they are.
        mask: 1 for tokens, 0 for padding [B, W].
        logits: Of the token after each prompt [B, vocabulary].
        positions: Position of the token after each prompt [B]; None: the number of its tokens.
        inputs_of: The model's further inputs for a selection of prompts, such as its media.
    """

    cache: Any
    mask: Tensor
    logits: Tensor
    positions: Tensor | None = None
    inputs_of: Callable[[Tensor], Mapping[str, Any]] = field(default=lambda rows: {})


@dataclass
class _Row:
    """Tokens behind one prompt, each after its parent; the last token of a continuation is predicted, not fed."""

    prompt: int
    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)  # -1: the prompt
    depths: list[int] = field(default_factory=list)
    # Index of the continuation, the token that is read, the token whose likelihood is read there.
    reads: list[tuple[int, int, int]] = field(default_factory=list)


def continuation_scores(
    model: Any, prompts: PromptPass, continuations: Sequence[Mapping[str, Sequence[int]]]
) -> list[dict[str, float]]:
    """Return the log-likelihood of each continuation of each prompt, summed over its tokens.

    Args:
        model: A causal language model whose prompts can be shared (`shares_prompts`).
        prompts: What its pass over the prompts gave.
        continuations: Tokens by label for each prompt, one token at least.

    Returns:
        Log-likelihood by label for each prompt.
    """
    fed = max(sum(len(tokens) - 1 for tokens in each.values()) for each in continuations)
    return _scores(model, prompts, continuations, takes_trees(model, prompts.mask.shape[1] + fed))


def shares_prompts(model: Any) -> bool:
    """Return whether a prompt's cache can be continued in several ways: it has keys and values alone.

    Args:
        model: A causal language model, with or without an adapter.

    Returns:
        False for models with layers whose cache is a state (linear attention, Mamba, convolution, recurrence), or has
        an index beside keys and values (DeepSeek V3.2).
    """
    from transformers import DynamicCache

    if getattr(getattr(model, "language_model", model), "_is_stateful", False):
        return False
    layers = DynamicCache(config=text_config(model)).layers
    return not any(hasattr(layer, name) for layer in layers for name in _NOT_SHARED)


def takes_trees(model: Any, length: int) -> bool:
    """Return whether positions and mask alone say what the tokens of a row are to each other: seen by trying it once.

    Args:
        model: A causal language model whose prompts can be shared (`shares_prompts`).
        length: Tokens of the row.

    Returns:
        False for an attention that takes no mask of ours or counts positions itself, or whose window is shorter.
    """
    config = text_config(model)
    if config._attn_implementation not in _MASKED_ATTENTION:
        return False
    for name, value in vars(config).items():
        if _WINDOWS.search(name) and isinstance(value, int) and 0 < value < length:
            return False
    if model not in _TAKES_TREES:
        _TAKES_TREES[model] = _agrees(model)
    return _TAKES_TREES[model]


def _scores(
    model: Any, prompts: PromptPass, continuations: Sequence[Mapping[str, Sequence[int]]], as_trees: bool
) -> list[dict[str, float]]:
    import torch

    wanted = [
        (prompt, label, tokens) for prompt, each in enumerate(continuations) for label, tokens in each.items()
    ]
    first = torch.log_softmax(prompts.logits.float(), dim=-1)
    totals = first[[prompt for prompt, _, _ in wanted], [tokens[0] for _, _, tokens in wanted]].double()
    for rows in _chunks(_rows(wanted, as_trees), prompts.mask.shape[1]):
        reads = torch.tensor([(row, *read) for row, each in enumerate(rows) for read in each.reads]).T
        row, continuation, node, token = reads.to(totals.device)
        logits = _continued(model, prompts, rows, as_trees).float()
        likelihoods = logits[row, node, token] - logits.logsumexp(dim=-1)[row, node]
        totals.index_add_(0, continuation, likelihoods.double())
    scores: list[dict[str, float]] = [{} for _ in continuations]
    for (prompt, label, _), total in zip(wanted, totals.tolist(), strict=True):
        scores[prompt][label] = total
    return scores


def _rows(wanted: Sequence[tuple[int, str, Sequence[int]]], as_trees: bool) -> list[_Row]:
    """Return a row per prompt (trees) or per continuation, without those that feed nothing."""
    rows: dict[int, _Row] = {}
    nodes: dict[tuple[int, ...], int] = {}
    for number, (prompt, _, tokens) in enumerate(wanted):
        key = prompt if as_trees else number
        if key not in rows:
            rows[key], nodes = _Row(prompt), {}
        row, parent = rows[key], -1
        for end in range(1, len(tokens)):
            start = tuple(tokens[:end])
            if start not in nodes:
                nodes[start] = len(row.tokens)
                row.tokens.append(tokens[end - 1])
                row.parents.append(parent)
                row.depths.append(end - 1)
            parent = nodes[start]
            row.reads.append((number, parent, tokens[end]))
    return [row for row in rows.values() if row.tokens]


def _chunks(rows: Sequence[_Row], width: int) -> list[list[_Row]]:
    """Divide rows behind prompts of a width, so that each part holds at most SCORING_TOKENS."""
    chunks: list[list[_Row]] = []
    longest = 0
    for row in rows:
        longest = max(longest, len(row.tokens))
        if not chunks or (len(chunks[-1]) + 1) * (width + longest) > SCORING_TOKENS:
            chunks.append([])
            longest = len(row.tokens)
        chunks[-1].append(row)
    return chunks


def _continued(
    model: Any, prompts: PromptPass, rows: Sequence[_Row], as_trees: bool, kept: int = 0
) -> Tensor:
    """Return the logits [R, N, vocabulary] after each token of R rows, padded on the right to N.

    kept: After as many of the last of the N alone; 0: after all.
    """
    import torch

    device = prompts.mask.device
    ids, depths = (
        torch.tensor(
            [[*values, *[0] * (max(map(len, each)) - len(values))] for values in each], device=device
        )
        for each in ([row.tokens for row in rows], [row.depths for row in rows])
    )
    chosen = torch.tensor([row.prompt for row in rows], device=device)
    # A copy whose tensors are replaced, never changed: the prompts' cache serves the next rows too.
    cache = copy.copy(prompts.cache)
    cache.layers = [copy.copy(layer) for layer in cache.layers]
    if chosen.tolist() != list(range(len(prompts.mask))):
        cache.batch_select_indices(chosen)
    before = prompts.mask[chosen]
    starts = before.sum(dim=1) if prompts.positions is None else prompts.positions[chosen]
    logits: Tensor = model(
        input_ids=ids,
        attention_mask=_mask(model, before, rows, as_trees),
        position_ids=starts[:, None] + depths,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=kept,
        **prompts.inputs_of(chosen),
    ).logits
    return logits


def continued_logits(model: Any, prompt: PromptPass, tokens: Sequence[int]) -> Tensor:
    """Return the logits [vocabulary] of the token behind a prompt and what follows it.

    Args:
        model: A causal language model whose prompts can be shared (`shares_prompts`).
        prompt: The pass over one prompt.
        tokens: What follows, one token at least.
    """
    count = len(tokens)
    row = _Row(0, list(tokens), list(range(-1, count - 1)), list(range(count)))
    return _continued(model, prompt, [row], as_trees=False, kept=1)[0, -1]


def _mask(model: Any, before: Tensor, rows: Sequence[_Row], as_trees: bool) -> Tensor:
    """Return what the tokens of rows attend to: 1 and 0 [R, W + N], for trees 0 and -∞ [R, 1, N, W + N]."""
    import numpy as np
    import torch

    longest = max(len(row.tokens) for row in rows)
    if not as_trees:
        fed = torch.tensor([[int(i < len(row.tokens)) for i in range(longest)] for row in rows])
        return torch.cat([before, fed.to(before)], dim=1)
    branches = np.zeros((len(rows), longest, longest), dtype=bool)
    for branch, row in zip(branches, rows, strict=True):
        np.fill_diagonal(branch, True)  # padding too: it has to attend to something
        for node, parent in enumerate(row.parents):
            if parent >= 0:
                branch[node] |= branch[parent]
    seen = torch.cat(
        [
            before.bool()[:, None, :].expand(-1, longest, -1),
            torch.from_numpy(branches).to(before.device),
        ],
        dim=2,
    )[:, None]
    return additive_mask(model, seen)


def additive_mask(model: Any, seen: Tensor) -> Tensor:
    """Return what tokens attend to as what is added to attention: 0 and the least number.

    Args:
        model: A causal language model.
        seen: Whether a token attends to another [B, 1, N, W].
    """
    import torch

    dtype = model.get_input_embeddings().weight.dtype
    dtype = dtype if dtype.is_floating_point else torch.float32
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(
        ~seen, torch.finfo(dtype).min
    )


def _agrees(model: Any) -> bool:
    """Return whether a small tree gets the scores that its continuations get in rows of their own."""
    import torch

    ids = torch.arange(1, 7, device=model.device)[None]
    mask = torch.ones_like(ids)
    branches = {str(i): (7, 8 + i % 2, 1 + i % 4, 1 + i, 3) for i in range(8)}
    with torch.inference_mode():
        output = model(input_ids=ids, attention_mask=mask, use_cache=True)
        prompts = PromptPass(output.past_key_values, mask, output.logits[:, -1])
        [rows] = _scores(model, prompts, [branches], as_trees=False)
        try:
            [trees] = _scores(model, prompts, [branches], as_trees=True)
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError):
            # The model makes something of its own of the mask.
            return False
    tolerance = 1e-4 if output.logits.dtype == torch.float32 else 0.5
    return all(abs(rows[name] - trees[name]) < tolerance for name in branches)


def text_config(model: Any) -> Any:
    """Return the configuration of a model's decoder."""
    return getattr(model, "language_model", model).config.get_text_config(decoder=True)
