"""Several samples in one row of tokens: no padding between them, and none sees another.

Where no attention mask is given, transformers reads the borders of samples from positions that begin again, and
lets each token attend to its own sample alone; images are told apart by groups. So the loss of a step is that of
its samples in padded rows of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caslie_model.batching.padding import IGNORED, image_inputs
from caslie_model.data.images import Features
from caslie_model.errors import ModelError
from caslie_model.prompts.encoder import Encoded

NO_IMAGES = -1  # in token_items and token_groups


def pack_rows(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Return which samples stand in which row, as few rows of at most `budget` tokens as are easily found.

    They are filled evenly, as all rows are padded to the longest. A sample longer than the budget is a row.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    first_fit: list[list[int]] = []
    loads: list[int] = []
    for index in order:
        row = next((r for r, load in enumerate(loads) if load + lengths[index] <= budget), len(loads))
        if row == len(loads):
            first_fit.append([])
            loads.append(0)
        first_fit[row].append(index)
        loads[row] += lengths[index]
    even: list[list[int]] = [[] for _ in loads]
    even_loads = [0] * len(loads)
    for index in order:
        row = min(range(len(loads)), key=lambda r: even_loads[r])
        even[row].append(index)
        even_loads[row] += lengths[index]
    return even if max(even_loads) <= max(loads) else first_fit


def packed_batch(
    examples: Sequence[Encoded], padding: int, budget: int, features: Features | None = None
) -> dict[str, Any]:
    """Return a batch to train on, of R rows: input_ids, position_ids and labels [R, T], and what is seen beside them.

    features: where images are shown; then also token_items, token_groups [R, T] and the inputs of images, with
    image_groups [M]. What is left of a row counts as one more sample, without labels.
    """
    import torch

    rows = pack_rows([len(each.prompt) + len(each.target) for each in examples], budget)
    width = max(sum(len(examples[i].prompt) + len(examples[i].target) for i in row) for row in rows)
    ids = torch.full((len(rows), width), padding)
    positions = torch.zeros((len(rows), width), dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORED)
    items = torch.full((len(rows), width), NO_IMAGES)
    groups = torch.full((len(rows), width), NO_IMAGES)
    for place, row in enumerate(rows):
        start = 0
        for group, each in enumerate(examples[index] for index in row):
            border = start + len(each.prompt)
            end = border + len(each.target)
            ids[place, start:end] = torch.tensor((*each.prompt, *each.target))
            positions[place, start:end] = torch.arange(end - start)
            labels[place, border:end] = torch.tensor(each.target)
            items[place, start:end] = torch.tensor(
                (*(each.token_items or [0] * len(each.prompt)), *[0] * len(each.target))
            )
            groups[place, start:end] = group
            start = end
        positions[place, start:] = torch.arange(width - start)
    batch = {"input_ids": ids, "position_ids": positions, "labels": labels}
    if features is None:
        return batch
    packed = [[examples[index] for index in row] for row in rows]
    inputs = image_inputs([each for row in packed for each in row], padding, features)
    inputs["image_counts"] = torch.tensor([sum(len(each.images) for each in row) for row in packed])
    inputs["image_groups"] = torch.tensor(
        [group for row in packed for group, each in enumerate(row) for _ in each.images], dtype=torch.long
    )
    return {**batch, **inputs, "token_items": items, "token_groups": groups}


def check_packing(language_model: Any) -> None:
    """Raise ModelError when samples in one row see each other in a model, a recurrent one for example.

    Tried on a few tokens: what stands first in a row must not change what follows from the rest.
    """
    import torch

    device = language_model.device
    tokens = torch.arange(1, 9, device=device).unsqueeze(0)
    others = torch.cat([tokens[:, :4].flip(1), tokens[:, 4:]], dim=1)
    positions = torch.arange(4, device=device).repeat(2).unsqueeze(0)
    with torch.inference_mode():
        one, other = (
            language_model(input_ids=ids, position_ids=positions, use_cache=False).logits[:, 4:].float()
            for ids in (tokens, others)
        )
    if not torch.allclose(one, other, rtol=1e-3, atol=1e-3 * float(one.abs().max())):
        raise ModelError(
            f"packing: in a {type(language_model).__name__} the samples of a row see each other; give packing=false"
        )
