"""Money: what tokens of a model cost, and a budget that is never exceeded.

A file of prices has a line for each model, in money per million tokens of any currency:

    gpt-9-mini: {input: 0.15, output: 0.60, cached_input: 0.075}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caslie_model.errors import ConfigError
from caslie_model.inference.server_replies import TokenUsage
from caslie_model.inference.server_settings import ServerSettings
from mmecinstruct.core.errors import YamlError
from mmecinstruct.core.yaml_text import read_yaml

_MILLION = 1_000_000
_MOST = 1e12


@dataclass(frozen=True, slots=True)
class Price:
    """Prices of a model, in money per million tokens.

    Attributes:
        input: Of prompts.
        output: Of answers.
        cached_input: Of prompts that the server had computed before; None: as others.
    """

    input: float
    output: float
    cached_input: float | None = None

    def cost(self, usage: TokenUsage) -> float:
        """Return the money that tokens cost."""
        cached = self.input if self.cached_input is None else self.cached_input
        money = (
            (usage.prompt - usage.cached) * self.input
            + usage.cached * cached
            + usage.completion * self.output
        )
        return money / _MILLION


def price_of(settings: ServerSettings) -> Price | None:
    """Return the prices of a model, None where none are given.

    Args:
        settings: Model, file of prices, prices.

    Raises:
        ConfigError: If the file is damaged or lacks the model, or a budget has no prices.
    """
    if settings.price_input is not None and settings.price_output is not None:
        return Price(settings.price_input, settings.price_output)
    if (settings.price_input is None) != (settings.price_output is None):
        raise ConfigError("price_input and price_output go together: give both")
    if settings.prices is not None:
        return _read(settings.prices, settings.model)
    if settings.budget is not None:
        raise ConfigError(
            f"budget: the prices of {settings.model} are not known; give price_input and price_output, or a file "
            "with `prices`"
        )
    return None


def _read(path: Path, model: str) -> Price:
    try:
        table = read_yaml(path)
    except YamlError as error:
        raise ConfigError(str(error)) from None
    form = f"`{model}: {{input: 0.15, output: 0.60}}`, in money per million tokens"
    if not isinstance(table, dict) or model not in table:
        raise ConfigError(f"{path}: has no prices of {model}; add a line such as {form}")
    line = table[model]
    known = {"input", "output", "cached_input"}
    is_line = isinstance(line, dict) and {"input", "output"} <= set(line) <= known
    if not is_line or not all(_is_price(value) for value in line.values()):
        raise ConfigError(
            f"{path}: the prices of {model} cannot be read; write {form}, and `cached_input` if need be"
        )
    return Price(**{name: float(value) for name, value in line.items()})


def _is_price(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST


class Spending:
    """What has been spent, and what requests in flight may cost at most.

    The tokens of a request are estimated from the most tokens that any request had for its size. Until one is answered,
    one is asked at a time.

    Attributes:
        price: The prices; None: nothing costs anything.
        budget: Money at most; None: any.
        spent: Money so far, that of earlier runs included.
        usage: Tokens of this run.
    """

    def __init__(self, price: Price | None = None, budget: float | None = None) -> None:
        self.price = price
        self.budget = budget
        self.spent = 0.0
        self.usage = TokenUsage()
        self._in_flight: list[float] = []
        self._tokens_per_size = 1.0
        self._has_seen = False

    def add_earlier(self, usage: Mapping[str, Any] | None) -> None:
        """Add what an answer of an earlier run cost, and the failed requests before it.

        Args:
            usage: The usage in its record.
        """
        for name in ("cost", "cost_of_failed"):
            cost = usage.get(name) if isinstance(usage, Mapping) else None
            if _is_price(cost):
                self.spent += float(cost)  # type: ignore[arg-type]

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in flight."""
        return not self._in_flight

    def reserve(self, size: int, max_tokens: int) -> float | None:
        """Return the most that a request may cost, and set it aside; None where the budget does not allow it now.

        Args:
            size: The request's size.
            max_tokens: Tokens of its answer at most.
        """
        most = 0.0
        if self.price is not None:
            most = self.price.cost(TokenUsage(math.ceil(size * self._tokens_per_size), max_tokens))
        if self.budget is not None and (
            self.spent + sum(self._in_flight) + most > self.budget or (self._in_flight and not self._has_seen)
        ):
            return None
        self._in_flight.append(most)
        return most

    def settle(
        self, reserved: float, size: int, usage: TokenUsage | None, was_billed: bool = True
    ) -> float | None:
        """Return what a request cost, and count it.

        Args:
            reserved: What was set aside for it.
            size: Its size.
            usage: Its tokens; None where the server did not tell.
            was_billed: Whether it may have cost something: without usage, what was set aside counts.

        Returns:
            Money; None where there are no prices.
        """
        self._in_flight.remove(reserved)
        if usage is not None:
            ratio = usage.prompt / size
            self._tokens_per_size = max(self._tokens_per_size, ratio) if self._has_seen else ratio
            self._has_seen = True
            return self.count(usage)
        if self.price is None:
            return None
        self.spent += reserved * was_billed
        return reserved * was_billed

    def count(self, usage: TokenUsage) -> float | None:
        """Return what tokens cost, and count it; None where there are no prices."""
        self.usage += usage
        if self.price is None:
            return None
        cost = self.price.cost(usage)
        self.spent += cost
        return cost
