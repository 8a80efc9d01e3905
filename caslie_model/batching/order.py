"""The order of training: which sample is in which batch, fixed before the first step.

Hash draws decide the order, lengths group it, a token budget ends it. The number of steps and the learning rate's
schedule are known before training, and a resumed run continues at the next batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from caslie_model.config.training import TrainingConfig
from caslie_model.errors import ConfigError
from caslie_model.prompts.encoder import Encoded
from mmecinstruct.core.hashing import hash_draw

# Samples of about this many batches are sorted by length together: little padding, still a random order.
BATCHES_PER_GROUP = 16


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """The batches of a training, one per step.

    Attributes:
        batches: Indices of samples.
        tokens: Of prompts and answers in all batches, without padding.
        ended_by: epochs or max_train_tokens.
    """

    batches: tuple[tuple[int, ...], ...]
    tokens: int
    ended_by: str


def order_batches(config: TrainingConfig, encoded: Sequence[Encoded]) -> BatchOrder:
    """Return the batch order of a training.

    Args:
        config: Batch size, epochs, token budget and seed.
        encoded: The training samples in tokens.

    Returns:
        The order.

    Raises:
        ConfigError: As `batch_order` does.
    """
    return batch_order(
        [each.sample.id for each in encoded],
        [len(each.prompt) + len(each.target) for each in encoded],
        config.batch_size * config.gradient_accumulation,
        config.epochs,
        config.max_train_tokens,
        config.seed,
    )


def batch_order(
    ids: Sequence[str],
    lengths: Sequence[int],
    batch_size: int,
    epochs: float,
    max_train_tokens: int | None,
    seed: int,
) -> BatchOrder:
    """Return batches of samples. A last incomplete batch is left out, unless it is the only one.

    Args:
        ids: Ids of the samples. One that occurs several times gets a hash draw for each occurrence.
        lengths: Tokens of each sample.
        batch_size: Samples per step.
        epochs: Passes over the samples.
        max_train_tokens: Ends the training early; None: no limit.
        seed: Seed of the hash draws.

    Returns:
        The order.

    Raises:
        ConfigError: If there are no samples, or the token budget does not cover one step.
    """
    if not ids:
        raise ConfigError("there are no samples to train on; see tasks, split and the limits")
    names = _names(ids)
    wanted = max(1, round(epochs * len(ids)))
    batches: list[tuple[int, ...]] = []
    tokens, epoch, waiting = 0, 0, list[int]()
    taken = 0
    group_size = batch_size * BATCHES_PER_GROUP
    while taken < wanted or waiting:
        while taken < wanted and len(waiting) < group_size:
            order = sorted(
                range(len(ids)), key=lambda i: (hash_draw(seed, f"epoch {epoch}", names[i]), names[i])
            )
            order = order[: wanted - taken]
            waiting.extend(order)
            taken, epoch = taken + len(order), epoch + 1
        group, waiting = waiting[:group_size], waiting[group_size:]
        for batch in _group_by_length(group, lengths, batch_size, seed, len(batches)):
            if len(batch) < batch_size and batches:
                continue
            cost = sum(lengths[i] for i in batch)
            if max_train_tokens is not None and tokens + cost > max_train_tokens:
                if not batches:
                    raise ConfigError(
                        f"max_train_tokens={max_train_tokens} does not cover one step of {cost} tokens"
                    )
                return BatchOrder(tuple(batches), tokens, "max_train_tokens")
            batches.append(batch)
            tokens += cost
    return BatchOrder(tuple(batches), tokens, "epochs")


def _names(ids: Sequence[str]) -> list[str]:
    """Return a name for each sample. Copies of a sample get different names, so that they are not put together."""
    copies: Counter[str] = Counter()
    names = []
    for each in ids:
        names.append(f"{each} copy {copies[each]}" if copies[each] else each)
        copies[each] += 1
    return names


def _group_by_length(
    group: Sequence[int], lengths: Sequence[int], batch_size: int, seed: int, position: int
) -> list[tuple[int, ...]]:
    """Return a group's batches of similar length, in an order by hash; an incomplete one comes last.

    The incomplete batch holds what came last, so no length is favoured.
    """
    whole = len(group) // batch_size * batch_size
    ordered = sorted(group[:whole], key=lambda i: lengths[i])
    cuts = [tuple(ordered[start : start + batch_size]) for start in range(0, whole, batch_size)]
    keyed = sorted(range(len(cuts)), key=lambda i: (hash_draw(seed, "batch order", str(position), str(i)), i))
    batches = [cuts[i] for i in keyed]
    if whole < len(group):
        batches.append(tuple(group[whole:]))
    return batches
