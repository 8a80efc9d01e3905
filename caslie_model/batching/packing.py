"""Several samples in one row of tokens: no padding between them, and no attention across them.

Without an attention mask, transformers finds the borders of samples where positions start again, and lets each token
attend to its own sample only; images are separated by groups. The loss of a step is that of its samples in padded rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caslie_model.batching.labels_and_padding import IGNORED, image_inputs
from caslie_model.data.images import Features
from caslie_model.errors import ModelError
from caslie_model.prompts.encoder import Encoded

NO_IMAGES = -1  # in token_items and token_groups


def pack_rows(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Distribute samples over few rows, filled evenly, as all rows are padded to the longest.

    Args:
        lengths: Tokens of each sample.
        budget: Tokens of a row. A longer sample is a row of its own.

    Returns:
        Indices of samples by row.
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
    """Return a batch of R packed rows to train on. The unused rest of a row counts as one more sample, without labels.

    Args:
        examples: The samples in tokens.
        padding: Token that fills rows.
        budget: Tokens of a row.
        features: Features of images by key, None for text.

    Returns:
        input_ids, position_ids and labels [R, T]; with features also token_items and token_groups [R, T], the inputs of
        `image_inputs` and image_groups [M].
    """
    import torch

    rows = pack_rows([len(each.prompt) + len(each.target) for each in examples], budget)
    width = max(sum(len(examples[i].prompt) + len(examples[i].target) for i in row) for row in rows)
    ids = torch.full((len(rows), width), padding)
    positions = torch.zeros((len(rows), width), dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORED)
    items = torch.full((len(rows), width), NO_IMAGES)
    groups = torch.full((len(rows), width), NO_IMAGES)
    for number, row in enumerate(rows):
        start = 0
        for group, each in enumerate(examples[index] for index in row):
            border = start + len(each.prompt)
            end = border + len(each.target)
            ids[number, start:end] = torch.tensor((*each.prompt, *each.target))
            positions[number, start:end] = torch.arange(end - start)
            labels[number, border:end] = torch.tensor(each.target)
            items[number, start:end] = torch.tensor(
                (*(each.token_items or [0] * len(each.prompt)), *[0] * len(each.target))
            )
            groups[number, start:end] = group
            start = end
        positions[number, start:] = torch.arange(width - start)
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
    """Check on a few tokens that the start of a packed row does not change the rest.

    Args:
        language_model: The base model.

    Raises:
        ModelError: If it does, as in a recurrent model.
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
            f"packing: in a {type(language_model).__name__} the samples of a row depend on each other; "
            "give packing=false"
        )
