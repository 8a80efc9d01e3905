from __future__ import annotations

from pathlib import Path

import pytest

from caslie_model.errors import ConfigError
from caslie_model.inference.prices import Price, Spending, price_of
from caslie_model.inference.server_replies import TokenUsage
from caslie_model.inference.server_settings import ServerSettings


def priced(path: Path, text: str) -> Price | None:
    path.write_text(text, encoding="utf-8")
    return price_of(ServerSettings("m/x:1", prices=path))


def test_prices_are_read_by_the_name_of_the_model(tmp_path: Path) -> None:
    price = priced(tmp_path / "p.yaml", "'m/x:1': {input: 0.15, output: 2, cached_input: 0.05}\nother: {}\n")
    assert price == Price(0.15, 2.0, 0.05)
    assert price.cost(TokenUsage(1_000_000, 10_000, 400_000)) == pytest.approx(0.6 * 0.15 + 0.4 * 0.05 + 0.02)
    assert priced(tmp_path / "p.json", '{"m/x:1": {"input": 1, "output": 2}}') == Price(1.0, 2.0)


@pytest.mark.parametrize(
    "text",
    [
        "other: {input: 1, output: 2}",
        "[1, 2]",
        "m/x:1: 5",
        "m/x:1: {input: 1}",
        "m/x:1: {input: -1, output: 2}",
        "m/x:1: {input: .inf, output: 2}",
        "m/x:1: {input: true, output: 2}",
        "m/x:1: {input: 1, output: 2, more: 3}",
        "m/x:1: {input: 1, input: 2}",
        "{",
    ],
)
def test_prices_that_cannot_be_read_are_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"p\.yaml"):
        priced(tmp_path / "p.yaml", text)


def test_prices_of_the_settings_go_before_the_file(tmp_path: Path) -> None:
    settings = ServerSettings("m", prices=tmp_path / "none.yaml", price_input=1.0, price_output=2.0)
    assert price_of(settings) == Price(1.0, 2.0)
    assert price_of(ServerSettings("m")) is None


def test_one_request_is_asked_until_its_tokens_are_known() -> None:
    spending = Spending(Price(1.0, 10.0), budget=1.0)
    first = spending.reserve(400, 10)
    assert first == pytest.approx(500e-6)
    assert spending.reserve(400, 10) is None
    assert spending.settle(first, 400, TokenUsage(800, 2)) == pytest.approx(820e-6)
    second, third = spending.reserve(400, 10), spending.reserve(200, 10)
    assert second == pytest.approx(900e-6)
    assert third == pytest.approx(500e-6)


def test_what_is_in_flight_counts_against_the_budget() -> None:
    spending = Spending(Price(1.0, 10.0), budget=2e-3)
    first = spending.reserve(400, 10)
    assert first is not None
    spending.settle(first, 400, TokenUsage(400, 2))
    flying = [spending.reserve(400, 10) for _ in range(4)]
    assert [each is None for each in flying] == [False, False, False, True]
    assert flying[0] is not None
    spending.settle(flying[0], 400, None, was_billed=False)
    assert spending.reserve(400, 10) is not None
    assert spending.spent == pytest.approx(420e-6)


def test_a_request_without_an_answer_may_have_been_billed() -> None:
    spending = Spending(Price(1.0, 10.0), budget=1.0)
    reserved = spending.reserve(400, 10)
    assert reserved is not None
    assert spending.settle(reserved, 400, None, was_billed=True) == pytest.approx(500e-6)
    assert spending.spent == pytest.approx(500e-6)
