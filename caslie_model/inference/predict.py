"""Answer questions in batches, so that the batch size changes no answer.

Prompts are padded on the left and masked, and positions are counted from the first real token. Rounding remains:
matrices of another shape are multiplied in another order, and logits differ in their last digits (measured for
SmolLM2-135M in float32: below 1e-4). A decision between two candidates that are closer than a tolerance well above that
noise is not taken from the batch: the sample is answered again alone, without padding, as with batch size 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Protocol

from caslie_model.adapters.loading import LoadedModel
from caslie_model.batching.labels_and_padding import prompt_batch
from caslie_model.data.answers import parse_answer
from caslie_model.data.images import Features
from caslie_model.inference.option_scores import (
    SCORING_TOKENS,
    PromptPass,
    continuation_scores,
    shares_prompts,
)
from caslie_model.inference.questions import Prediction
from caslie_model.inference.shared_start import prompt_inputs
from caslie_model.prompts.encoder import Encoded

# Logits closer than this are decided alone: more than ten times the noise between batch shapes.
TIE_TOLERANCE = {"float32": 2e-3, "bfloat16": 0.5}
# Per token: likelihoods closer than this may change places between batch shapes. In bfloat16 the noise is too large for
# that: only the first place is sure.
NOISE = {"float32": 2e-4, "bfloat16": 0.0}
# Tokens beyond the longest allowed answer, for models that say "The answer is B".
GENERATION_SLACK = 8


def predict_batch(
    loaded: LoadedModel,
    batch: Sequence[Encoded],
    scoring: str,
    length_normalised: bool = False,
    features: Features | None = None,
) -> list[Prediction]:
    """Answer a batch of samples by greedy generation, or by the likelihood of each allowed answer.

    Args:
        loaded: The model.
        batch: Samples in tokens.
        scoring: generate or likelihood.
        length_normalised: Take the answer of the highest likelihood per token instead of the most probable one.
        features: Features of images by key, for a fusion model.

    Returns:
        One prediction a sample.
    """
    if scoring == "generate":
        generated = _generate(loaded, batch, features)
        if len(batch) > 1:
            again = [is_near(lead, loaded.device.precision) for _, lead in generated]
            generated = [
                _generate(loaded, [sample], features)[0] if alone else result
                for sample, result, alone in zip(batch, generated, again, strict=True)
            ]
        else:
            again = [False]
        return [
            _generated_prediction(loaded, sample, tokens, alone, not math.isnan(lead))
            for sample, (tokens, lead), alone in zip(batch, generated, again, strict=True)
        ]
    results = []
    for sample, scores in zip(batch, answer_scores(loaded, batch, features), strict=True):
        alone = len(batch) > 1 and are_near(sample, scores, loaded.device.precision)
        if alone:
            [scores] = answer_scores(loaded, [sample], features)
        results.append(scored_prediction(sample, scores, length_normalised, alone))
    return results


def answer_scores(
    loaded: LoadedModel, batch: Sequence[Encoded], features: Features | None = None
) -> list[dict[str, float]]:
    """Return the log-likelihood of each allowed answer, its end included, summed over its tokens.

    Each prompt is computed once; its keys and values, and those of its images, are shared by the sample's answers. A
    model with layers of another kind (linear attention, Mamba, convolution) computes it anew for each answer.

    Args:
        loaded: The model.
        batch: Samples in tokens.
        features: Features of images by key, for a fusion model.

    Returns:
        Log-likelihood by label for each sample.
    """
    import torch

    if not shares_prompts(loaded.model):
        return [_whole_scores(loaded, sample, features) for sample in batch]
    with torch.inference_mode():
        inputs = _prompt_inputs(loaded, batch, features, max(sample.answer_room for sample in batch))
        mask, cache = inputs["attention_mask"], inputs.get("past_key_values")
        if cache is not None:
            for name in ("input_ids", "position_ids"):
                inputs[name] = inputs[name][:, cache.get_seq_length() :]
        output = loaded.model(**inputs, use_cache=True, logits_to_keep=1)
        media = getattr(output, "media", None)
        prompts = PromptPass(
            output.past_key_values,
            mask,
            output.logits[:, -1],
            inputs_of=lambda rows: {} if media is None else {"media": media.rows(rows)},
        )
        return continuation_scores(loaded.model, prompts, [sample.answers for sample in batch])


def _whole_scores(loaded: LoadedModel, sample: Encoded, features: Features | None) -> dict[str, float]:
    """Return the log-likelihood of each allowed answer of a sample, without a cache and without padding before it."""
    import torch

    fed = sample.answer_room - 1
    rows = list(sample.answers.items())
    at_once = max(1, SCORING_TOKENS // (len(sample.prompt) + fed))
    scores: dict[str, float] = {}
    with torch.inference_mode():
        for start in range(0, len(rows), at_once):
            chunk = rows[start : start + at_once]
            inputs = prompt_batch(
                [_continued(sample, tokens[:-1], fed, loaded.tokenizer.eos_token_id) for _, tokens in chunk],
                loaded.tokenizer.eos_token_id,
                loaded.device,
                features,
            )
            logits = loaded.model(**inputs, use_cache=False, logits_to_keep=fed + 1).logits[:, -fed - 1 :]
            likelihoods = torch.log_softmax(logits.float(), dim=-1)
            for row, (label, tokens) in enumerate(chunk):
                targets = torch.tensor(tokens, device=likelihoods.device)
                scores[label] = float(likelihoods[row, range(len(tokens)), targets].double().sum())
    return scores


def _continued(sample: Encoded, tokens: Sequence[int], length: int, filler: int) -> Encoded:
    """Return a sample whose prompt is continued by tokens, filled up to a length behind all that is read."""
    more = (*tokens, *[filler] * (length - len(tokens)))
    return replace(
        sample,
        prompt=(*sample.prompt, *more),
        token_items=(*sample.token_items, *[0] * length) if sample.token_items else (),
        token_slots=(*sample.token_slots, *[-1] * length) if sample.token_slots else (),
    )


def _prompt_inputs(
    loaded: LoadedModel, batch: Sequence[Encoded], features: Features | None, following: int
) -> dict[str, Any]:
    """Return the model's inputs for the prompts; of text, past_key_values holds all but their last tokens.

    following: Tokens that may follow a prompt.
    """
    padding = loaded.tokenizer.eos_token_id
    if features is not None:
        return prompt_batch(batch, padding, loaded.device, features)
    return prompt_inputs(loaded.model, [each.prompt for each in batch], padding, loaded.device, following)


def _generate(
    loaded: LoadedModel, batch: Sequence[Encoded], features: Features | None = None
) -> list[tuple[list[int], float]]:
    """Return each sample's greedy tokens and their smallest lead, as `greedy_tokens` does."""
    import torch

    budgets = [sample.answer_room + GENERATION_SLACK for sample in batch]
    with torch.inference_mode():
        inputs = _prompt_inputs(loaded, batch, features, max(budgets))
        del inputs["position_ids"]  # generate counts them itself, from the mask
        return greedy_tokens(loaded.model, inputs, budgets)


def greedy_tokens(
    model: Any, inputs: Mapping[str, Any], budgets: Sequence[int]
) -> list[tuple[list[int], float]]:
    """Return the greedy tokens after each prompt of a batch up to its end, and the smallest lead of one over the next.

    Args:
        model: The model, with its ends in `generation_config`.
        inputs: The inputs of `generate` for B prompts, padded on the left.
        budgets: Tokens of each answer at most [B].

    Returns:
        Tokens and lead by prompt. The lead is NaN where a token was chosen by what is no finite number.
    """
    import torch

    with torch.inference_mode():
        output = model.generate(
            **inputs, max_new_tokens=max(budgets), output_logits=True, return_dict_in_generate=True
        )
        top = torch.stack([logits.float().topk(2, dim=-1).values for logits in output.logits], dim=1)
        # NaN counts as the largest value; infinity less a number is infinity.
        leads = torch.where(top[..., 0].isfinite(), top[..., 0] - top[..., 1], torch.nan).tolist()
        sequences = output.sequences[:, -len(output.logits) :].tolist()
    ends = set(model.generation_config.eos_token_id)
    results = []
    for tokens, steps, budget in zip(sequences, leads, budgets, strict=True):
        # Tokens that this row generated beyond its own end or budget, while the batch went on, do not count.
        length = next((i for i, token in enumerate(tokens[:budget]) if token in ends), None)
        decided = budget if length is None else length + 1
        lead = min(steps[:decided], key=lambda step: (not math.isnan(step), step))
        results.append((tokens[: budget if length is None else length], lead))
    return results


class AllowedAnswers(Protocol):
    """A question in tokens: what decides between its answers."""

    @property
    def answers(self) -> Mapping[str, Sequence[int]]:
        """Tokens of each allowed label."""

    @property
    def answer_room(self) -> int:
        """Number of tokens of the longest one."""


def scored_prediction(
    sample: AllowedAnswers, scores: Mapping[str, float], length_normalised: bool, alone: bool
) -> Prediction:
    """Return the likeliest label, the first of equal ones in the order of the options.

    Args:
        sample: The question.
        scores: Summed log-likelihood by label.
        length_normalised: Compare likelihoods per token.
        alone: Whether it was decided outside the batch.
    """
    tokens = {label: len(answer) for label, answer in sample.answers.items()}
    compared = {name: score / tokens[name] for name, score in scores.items()} if length_normalised else scores
    finite = _are_finite(scores.values())
    label = max(compared, key=lambda name: compared[name]) if finite else None
    known = {name: score if math.isfinite(score) else None for name, score in scores.items()}
    return Prediction(label, None, known, alone, finite, tokens)


def _generated_prediction(
    loaded: LoadedModel, sample: Encoded, tokens: Sequence[int], alone: bool, finite: bool
) -> Prediction:
    text = loaded.tokenizer.decode(tokens, skip_special_tokens=True).strip()
    prompt_format = loaded.prompt_format
    options = {letter: prompt_format.defused(words) for letter, words in sample.sample.options.items()}
    label = parse_answer(text, options, prompt_format.answers)
    return Prediction(label if finite else None, text, None, alone, finite)


def _are_finite(scores: Iterable[float]) -> bool:
    return all(math.isfinite(score) for score in scores)


def are_near(sample: AllowedAnswers, scores: Mapping[str, float], precision: str) -> bool:
    """Return whether the batch's shape may decide the first place or a rank, by sums or by likelihoods per token.

    Args:
        sample: The question.
        scores: Summed log-likelihood by label.
        precision: float32 or bfloat16.
    """
    if not _are_finite(scores.values()):
        return True
    for values, room in (
        (scores.values(), sample.answer_room),
        ((score / len(sample.answers[label]) for label, score in scores.items()), 1),
    ):
        ranked = sorted(values, reverse=True)
        leads = [better - worse for better, worse in pairwise(ranked)]
        if leads and (leads[0] < TIE_TOLERANCE[precision] * room or min(leads) < NOISE[precision] * room):
            return True
    return False


def is_near(lead: float, precision: str) -> bool:
    """Return whether the batch's shape may decide between two tokens, or one is no finite number.

    Args:
        lead: Difference of their logits.
        precision: float32 or bfloat16.
    """
    return not lead >= TIE_TOLERANCE[precision]  # NaN too
