"""SASRec: self-attentive sequential recommendation (Kang and McAuley, 2018), small enough for a CPU.

A sequence of items is read from left to right; the state after each item predicts the next one. An item is its
embedding, known by its text alone as every item here (see `purchases`). Items that no training sequence has are left
out of histories; as options they all get the score of the mean of the trained embeddings. Where nothing of a history is
known, all options are equal.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from caslie_model.baselines.baseline import FitData, Scorer
from caslie_model.baselines.purchases import (
    Preference,
    bought_sequences,
    choose_on_validation,
    purchases_of,
)
from caslie_model.data.samples import Sample
from mmecinstruct.core.hashing import hash_draw

WIDTH = 32
BLOCKS = 2
DROPOUT = 0.3
BATCH = 64  # sequences
EPOCHS = 30
FEWEST_STEPS, MOST_STEPS = 200, 3000
PADDING = 0
# How often a negative that the user bought is sampled anew; one that is left counts nothing.
_ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class SasRecSetting:
    """How it is trained.

    Attributes:
        learning_rate: Of Adam.
        negatives: Items that were not bought next, each as likely or in proportion to purchases.
    """

    learning_rate: float
    negatives: Literal["uniform", "popularity"]


_NEGATIVES: tuple[Literal["popularity", "uniform"], ...] = ("popularity", "uniform")
SASREC_SETTINGS = tuple(
    SasRecSetting(rate, negatives) for rate in (0.003, 0.001, 0.01) for negatives in _NEGATIVES
)


class SasRec(nn.Module):
    """Item embeddings with learnt positions, blocks of causal self-attention, and a score by dot product.

    Args:
        items: Number of items; they are numbered from 1, 0 pads.
        length: Longest sequence that is read.
        width: d, numbers of an embedding.
        blocks: Blocks of attention (one head) and of a feed-forward network.
        dropout: Share that dropout sets to zero in training.
    """

    def __init__(
        self, items: int, length: int, width: int = WIDTH, blocks: int = BLOCKS, dropout: float = DROPOUT
    ) -> None:
        super().__init__()
        self.items = nn.Embedding(items + 1, width, padding_idx=PADDING)
        self.positions = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(_Block(width, dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        for embedding in (self.items, self.positions):
            nn.init.normal_(embedding.weight, std=0.02)
        with torch.no_grad():
            self.items.weight[PADDING] = 0

    def forward(self, sequences: Tensor) -> Tensor:
        """Return the state after each item.

        Args:
            sequences: Numbers of items [n, length], padded on the right.

        Returns:
            [n, length, d]; those of padding mean nothing.
        """
        width = self.items.embedding_dim
        places = torch.arange(sequences.shape[1], device=sequences.device)
        states = self.dropout(self.items(sequences) * math.sqrt(width) + self.positions(places))
        for block in self.blocks:
            states = block(states)
        normed: Tensor = self.norm(states)
        return normed

    def loss(self, sequences: Tensor, following: Tensor, negatives: Tensor) -> Tensor:
        """Return the mean binary cross-entropy of the next item and of one that is not bought.

        Args:
            sequences: Numbers of items [n, length], padded on the right.
            following: The next item of each [n, length].
            negatives: An item that is not bought [n, length], `PADDING` where there is none.
        """
        states = self(sequences)
        right = functional.softplus(-(states * self.items(following)).sum(dim=-1))
        wrong = functional.softplus((states * self.items(negatives)).sum(dim=-1))
        counts = following != PADDING
        total = (right * counts).sum() + (wrong * (counts & (negatives != PADDING))).sum()
        return total / counts.sum()


class _Block(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor) -> Tensor:
        normed = self.attention_norm(states)
        # Padding stands on the right: what is causal never reads it.
        attended = functional.scaled_dot_product_attention(
            self.query(normed), self.key(normed), self.value(normed), is_causal=True
        )
        states = states + self.dropout(attended)
        inner = functional.relu(self.inner(self.feed_forward_norm(states)))
        return states + self.dropout(self.outer(self.dropout(inner)))


def fit_sasrec(data: FitData) -> Scorer:
    """Return the scorer that scores an option by the state after the history."""
    sequences = bought_sequences(data.train)
    numbers = {
        item: number
        for number, item in enumerate(sorted({item for sequence in sequences for item in sequence}), start=1)
    }
    numbered = [[numbers[item] for item in sequence] for sequence in sequences]

    def fit(setting: SasRecSetting) -> Preference:
        model = train_sasrec(numbered, len(numbers), setting, data.seed)

        def prefer(sample: Sample) -> Mapping[str, float]:
            purchases = purchases_of(sample)
            history = [numbers[item] for item in purchases.history if item in numbers]
            found = option_scores(model, history)
            return {
                label: found[numbers.get(item, PADDING)] if found else 0.0
                for label, item in purchases.options.items()
            }

        return prefer

    return choose_on_validation(data, SASREC_SETTINGS, fit)


def train_sasrec(sequences: Sequence[Sequence[int]], items: int, setting: SasRecSetting, seed: int) -> SasRec:
    """Return a model that is trained on sequences of purchases, on one core; the same arguments give the same bytes.

    Args:
        sequences: Numbers of items, from 1 on, oldest first.
        items: Number of items.
        setting: How it is trained.
        seed: Of initial weights, order, negatives and dropout.
    """
    usable = [sequence for sequence in sequences if len(sequence) > 1]
    longest = max((len(sequence) for sequence in usable), default=2)
    table = torch.tensor(
        [[*sequence, *[PADDING] * (longest - len(sequence))] for sequence in usable], dtype=torch.long
    ).reshape(-1, longest)
    with _reproducible(hash_draw(seed, "sasrec") % 2**31):
        model = SasRec(items, longest - 1)
        weights = _negative_weights(sequences, items, setting)
        optimiser = torch.optim.Adam(model.parameters(), setting.learning_rate, betas=(0.9, 0.98))
        for rows in _batches(len(usable)):
            batch = table[rows]
            loss = model.loss(batch[:, :-1], batch[:, 1:], sample_negatives(batch, weights))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return model.eval()


def sample_negatives(bought: Tensor, weights: Tensor) -> Tensor:
    """Return an item for each place but the last that the sequence does not have.

    Args:
        bought: Sequences [n, length + 1], padded on the right.
        weights: Of the items by their numbers; that of `PADDING` is 0.

    Returns:
        [n, length], `PADDING` where only items that were bought were met.
    """
    shape = (bought.shape[0], bought.shape[1] - 1)
    negatives = torch.zeros(shape, dtype=torch.long)
    for _ in range(_ATTEMPTS):
        missing = negatives == PADDING
        if not missing.any():
            break
        sampled = torch.multinomial(weights, missing.numel(), replacement=True).reshape(shape)
        allowed = (sampled[:, :, None] != bought[:, None, :]).all(dim=-1)
        negatives = torch.where(missing & allowed, sampled, negatives)
    return negatives


@torch.no_grad()
def option_scores(model: SasRec, history: Sequence[int]) -> list[float]:
    """Return the scores of all items after a history; the first is that of an item that training did not have.

    Args:
        model: A trained model.
        history: Numbers of items, oldest first; the latest that fit are read.

    Returns:
        Scores by number of the item; empty without a history.
    """
    read = list(history)[-model.positions.num_embeddings :]
    if not read:
        return []
    with _reproducible(0):
        state = model(torch.tensor([read]))[0, -1].double()
        items = model.items.weight.double()
        typical = items[1:].mean(dim=0, keepdim=True)
        scores: list[float] = (torch.cat([typical, items[1:]]) @ state).tolist()
    return scores


def _negative_weights(sequences: Sequence[Sequence[int]], items: int, setting: SasRecSetting) -> Tensor:
    if setting.negatives == "uniform":
        return torch.tensor([0.0] + [1.0] * items)
    counts = Counter(item for sequence in sequences for item in sequence)
    return torch.tensor([0.0, *(float(counts[item]) for item in range(1, items + 1))])


def _batches(count: int) -> Iterator[Tensor]:
    """Yield the rows of each step, all sequences once in each epoch."""
    if not count:
        return
    per_epoch = math.ceil(count / BATCH)
    steps = min(MOST_STEPS, max(FEWEST_STEPS, EPOCHS * per_epoch))
    done = 0
    while done < steps:
        for rows in torch.randperm(count).split(BATCH)[: steps - done]:
            yield rows
            done += 1


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """Compute with one thread, whose sums have one order, and with random numbers of this seed alone."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
