"""SASRec: loss and gradients worked by hand, a planted rule learnt, the same bytes again, unknown items."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from caslie_model.baselines.baseline import FitData
from caslie_model.baselines.sasrec import (
    PADDING,
    SASREC_SETTINGS,
    SasRec,
    SasRecSetting,
    fit_sasrec,
    option_scores,
    sample_negatives,
    train_sasrec,
)
from caslie_model.data.samples import InputField, Sample

SETTING = SasRecSetting(0.01, "uniform")
TASK = "sequential_recommendation"


def sample(name: str, history: Sequence[str], options: Sequence[str], output: str = "A") -> Sample:
    texts = tuple(f"{place}th: {item}" for place, item in enumerate(history, start=1))
    labels = dict(zip("ABCDEFGHIJ", options, strict=False))
    field = InputField("", texts, is_list=True)
    return Sample(name, TASK, "train", "Home", "Recommend.", None, (field,), labels, output, None, None)


@pytest.fixture
def model() -> SasRec:
    """Four items, three places, width 3, one block, in double precision and without dropout."""
    torch.manual_seed(3)
    found = SasRec(items=4, length=3, width=3, blocks=1, dropout=0).double()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.copy_(torch.randn_like(parameter))
        found.items.weight[PADDING] = 0
    return found


def test_loss_and_gradient_of_one_purchase_are_those_worked_by_hand() -> None:
    """One item, attention and feed-forward network of zeros: the state is the norm of sqrt(2) * (1, 0)."""
    model = SasRec(items=3, length=1, width=2, blocks=1, dropout=0).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.norm.weight.fill_(1.0)
        model.items.weight[1] = torch.tensor([1.0, 0.0])
        model.items.weight[2] = torch.tensor([0.5, -0.5])
        model.items.weight[3] = torch.tensor([0.0, 1.0])
    loss = model.loss(torch.tensor([[1]]), torch.tensor([[2]]), torch.tensor([[3]]))
    loss.backward()
    # A norm of two numbers that differ is (1, -1), but for its epsilon. Right: 1 * .5 + 1 * .5 = 1; wrong: -1.
    assert loss.item() == pytest.approx(2 * math.log(1 + math.exp(-1)), abs=1e-4)
    error = 1 / (1 + math.exp(1))
    assert model.items.weight.grad is not None
    assert model.items.weight.grad[2].tolist() == pytest.approx([-error, error], abs=1e-4)
    assert model.items.weight.grad[3].tolist() == pytest.approx([error, -error], abs=1e-4)
    assert model.items.weight.grad[PADDING].tolist() == [0, 0]


def by_hand(weights: dict[str, np.ndarray], rows: Sequence[Sequence[tuple[int, int, int]]]) -> float:
    """Return the loss of rows of (item, next item, negative), by plain arithmetic without padding."""

    def norm(vector: np.ndarray, name: str) -> np.ndarray:
        spread = vector - vector.mean()
        scaled = spread / math.sqrt((spread**2).mean() + 1e-5)
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    losses = []
    for row in rows:
        states = [
            math.sqrt(3) * weights["items.weight"][item] + weights["positions.weight"][place]
            for place, (item, _, _) in enumerate(row)
        ]
        normed = [norm(state, "blocks.0.attention_norm") for state in states]
        query, key, value = (
            [weights[f"blocks.0.{name}.weight"] @ state for state in normed]
            for name in ("query", "key", "value")
        )
        for place, (_, right, wrong) in enumerate(row):
            raw = [math.exp(query[place] @ key[other] / math.sqrt(3)) for other in range(place + 1)]
            attended = sum(share / sum(raw) * value[other] for other, share in enumerate(raw))
            state = states[place] + attended
            inner = norm(state, "blocks.0.feed_forward_norm") @ weights["blocks.0.inner.weight"].T
            inner = np.maximum(inner + weights["blocks.0.inner.bias"], 0)
            state = state + weights["blocks.0.outer.weight"] @ inner + weights["blocks.0.outer.bias"]
            state = norm(state, "norm")
            for item, sign in ((right, -1), (wrong, 1)):
                losses.append(math.log1p(math.exp(sign * (state @ weights["items.weight"][item]))))
    return 2 * sum(losses) / len(losses)


def test_loss_gradients_and_a_step_equal_plain_arithmetic(model: SasRec) -> None:
    rows = [[(1, 2, 4), (2, 3, 4), (3, 1, 4)], [(4, 2, 1)]]
    table = torch.tensor([[[1, 2, 4], [2, 3, 4], [3, 1, 4]], [[4, 2, 1], [0, 0, 0], [0, 0, 0]]])
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    weights = {name: value.detach().numpy().copy() for name, value in model.named_parameters()}
    loss = model.loss(table[..., 0], table[..., 1], table[..., 2])
    assert loss.item() == pytest.approx(by_hand(weights, rows), rel=1e-9)
    loss.backward()
    step = 1e-6
    gradients = {}
    for name, value in weights.items():
        gradients[name] = np.zeros_like(value)
        for place in np.ndindex(value.shape):
            if name == "items.weight" and place[0] == PADDING:
                continue
            kept = value[place]
            value[place] = kept + step
            above = by_hand(weights, rows)
            value[place] = kept - step
            gradients[name][place] = (above - by_hand(weights, rows)) / (2 * step)
            value[place] = kept
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        np.testing.assert_allclose(parameter.grad.numpy(), gradients[name], atol=1e-7, err_msg=name)
        assert np.abs(gradients[name]).max() > 1e-3, name
    optimiser.step()
    for name in weights:
        weights[name] -= 0.1 * gradients[name]
    after = model.loss(table[..., 0], table[..., 1], table[..., 2]).item()
    assert after == pytest.approx(by_hand(weights, rows), rel=1e-7)
    assert after < loss.item()


def test_a_state_reads_no_later_item_and_no_padding(model: SasRec) -> None:
    short, long = model(torch.tensor([[1, 2, 0]])), model(torch.tensor([[1, 2, 3]]))
    torch.testing.assert_close(short[:, :2], long[:, :2])
    torch.testing.assert_close(short[:, :2], model(torch.tensor([[1, 2]])))
    assert not torch.allclose(long[:, 2], model(torch.tensor([[2, 1, 3]]))[:, 2])


def test_negatives_are_items_that_a_sequence_lacks() -> None:
    torch.manual_seed(0)
    bought = torch.tensor([[1, 2, 3, 0]] * 200 + [[1, 2, 3, 4]])
    negatives = sample_negatives(bought, torch.tensor([0.0, 1, 1, 1, 2]))
    assert negatives.shape == (201, 3)
    assert set(negatives[:200].flatten().tolist()) <= {4, PADDING}
    assert (negatives[:200] == 4).float().mean() > 0.95
    assert (negatives[200] == PADDING).all()


def test_a_planted_rule_of_the_next_item_is_learnt() -> None:
    """The next item is the last one's successor on a ring of 12, which neither popularity nor co-occurrence tells."""
    sequences = [[(start + place) % 12 + 1 for place in range(4)] for start in range(12)] * 4
    model = train_sasrec(sequences, 12, SETTING, seed=0)
    for last in range(12):
        history = [(last - 1) % 12 + 1, last + 1]
        scores = option_scores(model, history)
        assert max(range(1, 13), key=scores.__getitem__) == (last + 1) % 12 + 1


def test_the_same_seed_gives_the_same_weights_and_leaves_the_generator() -> None:
    sequences = [[1, 2, 3], [2, 3, 1], [4, 1, 2]]
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    one, same, other = (train_sasrec(sequences, 4, SETTING, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.items.weight, other.items.weight)


def test_unseen_options_get_the_score_of_the_mean_item() -> None:
    model = train_sasrec([[1, 2, 3], [2, 3, 1]], 3, SETTING, seed=0)
    scores = option_scores(model, [1, 2])
    assert scores[PADDING] == pytest.approx(sum(scores[1:]) / 3)
    assert option_scores(model, []) == []


def test_training_without_sequences_knows_nothing() -> None:
    assert option_scores(train_sasrec([[1]], 1, SETTING, seed=0), [1, 1])[0] == pytest.approx(0, abs=1)


def test_scores_depend_neither_on_order_nor_on_right_answers() -> None:
    ring = [f"thing {number}" for number in range(6)]
    train = [
        sample(
            f"t{start}", [ring[(start + place) % 6] for place in range(3)], [ring[(start + 3) % 6], "other"]
        )
        for start in range(6)
    ]
    asked = [sample(f"s{start}", [ring[start]], [*ring, "unseen", "unknown"]) for start in range(6)]
    asked.append(sample("new", ["unseen"], ring))
    scores = fit_sasrec(FitData(TASK, train, [], 0))(asked)
    turned = [
        sample(each.id, [each.fields[0].texts[0][5:]], list(each.options.values()), "C") for each in asked
    ]
    again = fit_sasrec(FitData(TASK, train[::-1], [], 0))(turned[::-1])
    assert list(again)[::-1] == list(scores)
    best = [max(found, key=found.__getitem__) for found in scores]
    assert best[:6] == ["ABCDEF"[(start + 1) % 6] for start in range(6)]
    # Nothing of the last history is known: a hash draw, whose steps are all there is between options.
    assert max(scores[-1].values()) - min(scores[-1].values()) < 0.01


def test_the_first_setting_is_the_default() -> None:
    assert SASREC_SETTINGS[0] == SasRecSetting(0.003, "popularity")
