"""Which token attends to which image, and rows of the images."""

from __future__ import annotations

import torch

from caslie_model.fusion.media import Media, row_slots, splice, spread


def make_media() -> Media:
    """Return media of two rows: images of items 1, 2 and of no item; and one image of item 1."""
    return Media(
        items=torch.tensor([[1, 2, 0], [1, 0, 0]]),
        present=torch.tensor([[True, True, True], [True, False, False]]),
        keys_values=(torch.arange(2.0).view(2, 1, 1, 1, 1), torch.arange(2.0, 4.0).view(2, 1, 1, 1, 1)),
        tokens=torch.arange(2.0).view(2, 1, 1),
        groups=torch.tensor([[0, 0, 1], [0, 0, 0]]),
    )


def test_images_of_all_samples_are_sorted_into_rows() -> None:
    slots, present = row_slots(torch.tensor([2, 0, 1]), 3)
    assert slots.tolist() == [[0, 1], [3, 3], [2, 3]]
    assert present.tolist() == [[True, True], [False, False], [True, False]]
    assert spread(torch.tensor([5, 6, 7]), slots).tolist() == [[5, 6], [0, 0], [7, 0]]
    assert row_slots(torch.tensor([0, 0]), 0)[0].shape == (2, 0)
    assert row_slots(torch.tensor([0, 0]), 0, at_least=1)[0].tolist() == [[0], [0]]


def test_text_attends_to_images_of_its_item_and_of_none() -> None:
    visible = make_media().visible(4, torch.tensor([[-1, 1, 2, 0], [0, 1, 2, 3]]), None)
    assert visible.int().tolist() == [
        [[0, 0, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]],
        [[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]],
    ]


def test_without_items_all_text_attends_to_all_images() -> None:
    assert make_media().visible(2, None, None).int().tolist() == [[[1, 1, 1]] * 2, [[1, 0, 0]] * 2]


def test_samples_in_a_packed_row_attend_to_their_own_images() -> None:
    visible = make_media().visible(2, torch.zeros(2, 2), torch.tensor([[0, 1], [0, 1]]))
    assert visible.int().tolist() == [[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 0, 0]]]


def test_rows_are_selected_in_any_order_and_repeatedly() -> None:
    chosen = make_media().rows(torch.tensor([1, 0, 1]))
    assert chosen.items.tolist() == [[1, 0, 0], [1, 2, 0], [1, 0, 0]]
    assert chosen.present[:, 1].tolist() == [False, True, False]
    assert [each.flatten().tolist() for each in chosen.keys_values] == [[1, 0, 1], [3, 2, 3]]
    assert chosen.tokens is not None
    assert chosen.tokens.flatten().tolist() == [1, 0, 1]
    assert chosen.groups is not None
    assert chosen.groups[:, 2].tolist() == [0, 1, 0]
    assert len(chosen) == 3
    assert make_media().repeat(2).items[:, 1].tolist() == [2, 2, 0, 0]


def test_visual_tokens_replace_the_tokens_at_their_slots() -> None:
    text, visual = torch.zeros(1, 4, 1), torch.tensor([[[7.0], [8.0]]])
    assert splice(text, visual, torch.tensor([[-1, 1, 0, -1]])).flatten().tolist() == [0, 8, 7, 0]
