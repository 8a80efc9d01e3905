"""What an image-text model says: generated texts, and the likelihood of given ones, in batches.

Prompts are padded on the left and masked. Positions are counted from the first real token; where a family has positions
in rows and columns of images (M-RoPE), the model's own function counts them. A prompt with its images is computed once
for all of its answers, whose keys and values are shared. Padding and sharing are used for the families that are tested;
others are asked one by one, and each answer in a pass of its own.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from caslie_model.inference.image_text_inputs import ImageTextInputs, Prompt
from caslie_model.inference.option_scores import (
    SCORING_TOKENS,
    PromptPass,
    continuation_scores,
    shares_prompts,
)
from caslie_model.inference.predict import greedy_tokens, is_near
from caslie_model.prompts.message import Turn

Tokens = tuple[int, ...]


class Said(NamedTuple):
    """A generated answer.

    Attributes:
        text: Its text, without control tokens.
        lead: The smallest lead of a token's logit over the next; NaN where one is no finite number.
    """

    text: str
    lead: float


def replies(
    inputs: ImageTextInputs, conversations: Sequence[Sequence[Turn]], max_new_tokens: int, batch_size: int = 8
) -> list[str]:
    """Return what the model says next in each conversation, by greedy generation; the batch size changes no reply.

    Args:
        inputs: The model, and the bytes of the images.
        conversations: Turns of texts and images.
        max_new_tokens: Tokens of a reply at most.
        batch_size: Conversations at once, fewer where they are long.

    Returns:
        The replies, in the order of the conversations; empty where a token was chosen by what is no finite number.
    """
    prompts = [inputs.prompt(turns) for turns in conversations]
    lengths = [inputs.length(prompt) + max_new_tokens for prompt in prompts]
    said: dict[int, str] = {}
    for batch in batches(inputs, prompts, lengths, batch_size):
        results = generated(inputs, [prompts[index] for index in batch], [max_new_tokens] * len(batch))
        for index, result in zip(batch, results, strict=True):
            if len(batch) > 1 and is_near(result.lead, inputs.loaded.device.precision):
                [result] = generated(inputs, [prompts[index]], [max_new_tokens])
            said[index] = "" if math.isnan(result.lead) else result.text
    return [said[index] for index in range(len(prompts))]


def batches(
    inputs: ImageTextInputs, prompts: Sequence[Prompt], lengths: Sequence[int], size: int
) -> Iterator[list[int]]:
    """Yield the indices of prompts that are computed together, the longest first.

    Prompts with and without images are never together, as few processors take both at once.

    Args:
        inputs: The model.
        prompts: The prompts.
        lengths: Tokens of each, with room for its answer.
        size: Prompts of a batch at most; its tokens with padding are bounded too.
    """
    if not inputs.loaded.is_tested:
        size = 1
    for shown in (True, False):
        chosen = [index for index, prompt in enumerate(prompts) if bool(prompt.images) is shown]
        chosen.sort(key=lambda index: (-lengths[index], index))
        start = 0
        while start < len(chosen):
            count = max(1, min(size, SCORING_TOKENS // lengths[chosen[start]]))
            yield chosen[start : start + count]
            start += count


def generated(inputs: ImageTextInputs, prompts: Sequence[Prompt], budgets: Sequence[int]) -> list[Said]:
    """Return the greedy answers to a batch of prompts.

    Args:
        inputs: The model.
        prompts: The prompts; all have images or none has.
        budgets: Tokens of each answer at most.

    Returns:
        One answer a prompt.
    """
    loaded = inputs.loaded
    found = greedy_tokens(loaded.model, inputs.tensors(prompts), budgets)
    return [
        Said(loaded.tokenizer.decode(tokens, skip_special_tokens=True).strip(), lead)
        for tokens, lead in found
    ]


def likelihoods(
    inputs: ImageTextInputs, prompts: Sequence[Prompt], answers: Sequence[Mapping[str, Tokens]]
) -> list[dict[str, float]]:
    """Return the summed log-likelihood of each answer to a batch of prompts.

    Args:
        inputs: The model.
        prompts: The prompts; all have images or none has.
        answers: Tokens of the answers to each prompt, by label.

    Returns:
        Log-likelihood by label for each prompt.
    """
    import torch

    model = inputs.loaded.model
    if not inputs.loaded.is_tested or not shares_prompts(model):
        return [
            likelihoods_in_whole(inputs, inputs.tensors([prompt]), own)
            for prompt, own in zip(prompts, answers, strict=True)
        ]
    given = inputs.tensors(prompts)
    positions = prompt_positions(model, given)
    with torch.inference_mode():
        output = model(**given, position_ids=positions, use_cache=True, logits_to_keep=1)
        # After images, what follows has one position in time, rows and columns.
        following = positions if positions.dim() == 2 else positions[1:].amax(dim=0)
        passed = PromptPass(
            output.past_key_values,
            given["attention_mask"],
            output.logits[:, -1],
            following.amax(dim=-1) + 1,
        )
        return continuation_scores(model, passed, answers)


def likelihoods_in_whole(
    inputs: ImageTextInputs, given: Mapping[str, Any], answers: Mapping[str, Tokens]
) -> dict[str, float]:
    """Return the summed log-likelihood of each answer to one prompt, by a pass over prompt and answer for each.

    The model counts its own positions: nothing is padded.

    Args:
        inputs: The model.
        given: The tensors of one prompt.
        answers: Tokens by label.

    Returns:
        Log-likelihood by label.
    """
    import torch

    shape = given["input_ids"].shape
    model = inputs.loaded.model
    takes = "logits_to_keep" in inspect.signature(model.forward).parameters

    def kept(count: int) -> dict[str, int]:
        return {"logits_to_keep": count} if takes else {}

    scores = {}
    with torch.inference_mode():
        for label, tokens in answers.items():
            fed = torch.tensor([tokens[:-1]], dtype=torch.long, device=inputs.loaded.device.name)
            filled = dict(given)
            for name, value in given.items():
                # Beside the tokens: the mask, and types of tokens, which are 0 for text.
                if value.shape == shape:
                    more = torch.full_like(fed, int(name == "attention_mask"), dtype=value.dtype)
                    filled[name] = torch.cat([value, fed if name == "input_ids" else more], dim=1)
            logits = model(**filled, use_cache=False, **kept(len(tokens))).logits[0, -len(tokens) :]
            likelihood = torch.log_softmax(logits.float(), dim=-1)
            targets = torch.tensor(tokens, device=likelihood.device)
            scores[label] = float(likelihood.gather(1, targets[:, None]).double().sum())
    return scores


def prompt_positions(model: Any, given: Mapping[str, Any]) -> Any:
    """Return the positions of a padded batch.

    Args:
        model: The model.
        given: Its inputs.

    Returns:
        [B, T]; with M-RoPE and images [4, B, T]: of texts, then in time, rows and columns.
    """
    import torch

    texts = (given["attention_mask"].long().cumsum(dim=1) - 1).clamp(min=0)
    count = getattr(getattr(model, "model", None), "get_rope_index", None)
    if count is None or "image_grid_thw" not in given:
        return texts
    return torch.cat([texts[None], count(**given)[0].to(texts)])
