"""Decide alone, in the middle of a batch's generation, the tokens that the batch's shape might decide.

Where two tokens are too near, their logits are computed behind the prompt by itself, without padding, and all tokens
generated so far: the same numbers whatever the batch, and for a batch of one too. The batch goes on with what they say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from caslie_model.inference.option_scores import PromptPass, continued_logits

if TYPE_CHECKING:
    from torch import Tensor

# Returns the pass over a prompt by itself, by its row.
Alone: TypeAlias = Callable[[int], PromptPass]


class NearTokens:
    """A logits processor of `generate`.

    Args:
        model: The model.
        alone: Returns the pass over a row's prompt by itself; called once a row.
        width: Tokens of the batch's prompts with padding.
        budgets: Tokens of each answer at most.
        ends: Tokens that end an answer.
        tolerance: The lead of a logit from which the batch decides.
    """

    def __init__(
        self,
        model: Any,
        alone: Alone,
        width: int,
        budgets: Sequence[int],
        ends: Collection[int],
        tolerance: float,
    ) -> None:
        self._model, self._alone, self._width = model, alone, width
        self._budgets, self._ends, self._tolerance = budgets, frozenset(ends), tolerance
        self._passes: dict[int, PromptPass] = {}
        self.leads: dict[tuple[int, int], float] = {}

    def __call__(self, tokens: Tensor, scores: Tensor) -> Tensor:
        """Return the logits of the next tokens, of near ones those that are computed alone.

        Args:
            tokens: Prompts and what was generated [B, T].
            scores: The batch's logits [B, vocabulary].
        """
        top = scores.float().topk(2, dim=-1).values
        leads = (top[:, 0] - top[:, 1]).where(top[:, 0].isfinite(), math.nan).tolist()
        for row, lead in enumerate(leads):
            if not lead >= self._tolerance:  # NaN too
                said = tokens[row, self._width :].tolist()
                if len(said) < self._budgets[row] and self._ends.isdisjoint(said):
                    scores[row] = self._decided(row, said)
        return scores

    def _decided(self, row: int, said: Sequence[int]) -> Tensor:
        if row not in self._passes:
            self._passes[row] = self._alone(row)
        passed = self._passes[row]
        logits = continued_logits(self._model, passed, said) if said else passed.logits[0]
        is_finite = bool(logits.max().isfinite())
        self.leads[row, len(said)] = math.inf if is_finite else math.nan
        return logits
