"""Answer questions in batches, so that the batch size changes no answer.

Prompts are padded on the left and masked, and positions are counted from the first real token. Rounding remains:
matrices of another shape are multiplied in another order, and logits differ in their last digits (measured for
SmolLM2-135M in float32: below 1e-4). A decision between two candidates that are closer than a tolerance well above that
noise is not taken from the batch: the sample is answered again alone, without padding, as with batch size 1.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from caslie_model.adapters.loading import LoadedModel
from caslie_model.batching.labels_and_padding import prompt_batch
from caslie_model.data.answers import parse_answer
from caslie_model.data.images import Features
from caslie_model.inference.questions import Prediction
from caslie_model.prompts.encoder import Encoded

# Logits closer than this are decided alone: more than ten times the noise between batch shapes.
TIE_TOLERANCE = {"float32": 2e-3, "bfloat16": 0.5}
# Tokens beyond the longest allowed answer, for models that say "The answer is B".
GENERATION_SLACK = 8
# Tokens (rows times length) of option scoring held in memory at once.
SCORING_TOKENS = 16_384


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
        length_normalised: Likelihood per token instead of the answer's probability.
        features: Features of images by key, for a fusion model.

    Returns:
        One prediction a sample.
    """
    if scoring == "generate":
        generated = _generate(loaded, batch, features)
        if len(batch) > 1:
            again = [_is_near(loaded, lead) for _, lead in generated]
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
    all_scores = answer_scores(loaded, batch, length_normalised, features)
    for sample, scores in zip(batch, all_scores, strict=True):
        room = 1 if length_normalised else sample.answer_room
        best, second = sorted(scores.values(), reverse=True)[:2] if len(scores) > 1 else (0.0, -math.inf)
        is_near = best - second < TIE_TOLERANCE[loaded.device.precision] * room
        alone = len(batch) > 1 and (is_near or not _are_finite(scores.values()))
        if alone:
            scores = answer_scores(loaded, [sample], length_normalised, features)[0]
        results.append(_scored_prediction(scores, alone))
    return results


def answer_scores(
    loaded: LoadedModel,
    batch: Sequence[Encoded],
    length_normalised: bool = False,
    features: Features | None = None,
) -> list[dict[str, float]]:
    """Return the log-likelihood of each allowed answer, its end included.

    Each prompt is computed once; its keys and values, and those of its images, are shared by the sample's answers. A
    model with layers of another kind (linear attention, Mamba, convolution) computes it anew for each answer.

    Args:
        loaded: The model.
        batch: Samples in tokens.
        length_normalised: Divide by the answer's tokens.
        features: Features of images by key, for a fusion model.

    Returns:
        Log-likelihood by label for each sample.
    """
    import torch

    if not _shares_prompts(loaded.model):
        return [_whole_scores(loaded, sample, length_normalised, features) for sample in batch]
    with torch.inference_mode():
        inputs = prompt_batch(batch, loaded.tokenizer.eos_token_id, loaded.device, features)
        output = loaded.model(**inputs, use_cache=True, logits_to_keep=1)
        first = torch.log_softmax(output.logits[:, -1].float(), dim=-1)
        rows = [
            (index, label, tokens)
            for index, sample in enumerate(batch)
            for label, tokens in sample.answers.items()
        ]
        width = inputs["input_ids"].shape[1]
        scores: list[dict[str, float]] = [{} for _ in batch]
        start = 0
        while start < len(rows):
            end = start + 1
            longest = len(rows[start][2])
            while end < len(rows):
                longest = max(longest, len(rows[end][2]))
                if (end + 1 - start) * (width + longest) > SCORING_TOKENS:
                    break
                end += 1
            chunk = rows[start:end]
            for (index, label, tokens), total in zip(
                chunk, _continue(loaded, output, inputs, first, chunk), strict=True
            ):
                scores[index][label] = total / len(tokens) if length_normalised else total
            start = end
    return scores


def _shares_prompts(model: Any) -> bool:
    """Return whether a prompt's cache can be repeated and continued by several tokens: it has keys and values alone."""
    from transformers import DynamicCache

    language_model = getattr(model, "language_model", model)
    if getattr(language_model, "_is_stateful", False):
        return False
    cache = DynamicCache(config=language_model.config.get_text_config(decoder=True))
    return not any(hasattr(layer, "conv_states") for layer in cache.layers)


def _whole_scores(
    loaded: LoadedModel, sample: Encoded, length_normalised: bool, features: Features | None
) -> dict[str, float]:
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
                total = float(likelihoods[row, range(len(tokens)), targets].double().sum())
                scores[label] = total / len(tokens) if length_normalised else total
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


def _continue(
    loaded: LoadedModel,
    prompts: Any,
    inputs: dict[str, Any],
    first: Any,
    rows: Sequence[tuple[int, str, tuple[int, ...]]],
) -> list[float]:
    """Return the log-likelihood of each row's tokens after its prompt; prompts: the model's output for these."""
    import torch

    chosen = torch.tensor([index for index, _, _ in rows], device=loaded.device.name)
    totals = first[
        chosen, torch.tensor([tokens[0] for _, _, tokens in rows], device=loaded.device.name)
    ].double()
    fed = max(len(tokens) for _, _, tokens in rows) - 1  # the last token is predicted, not fed
    if fed:
        end = loaded.tokenizer.eos_token_id
        ids = torch.full((len(rows), fed), end, device=loaded.device.name)
        mask = torch.zeros((len(rows), fed), dtype=torch.long, device=loaded.device.name)
        targets = torch.zeros((len(rows), fed), dtype=torch.long, device=loaded.device.name)
        for row, (_, _, tokens) in enumerate(rows):
            count = len(tokens) - 1
            ids[row, :count] = torch.tensor(tokens[:-1], device=loaded.device.name)
            targets[row, :count] = torch.tensor(tokens[1:], device=loaded.device.name)
            mask[row, :count] = 1
        # A copy whose tensors are replaced, never changed: the prompts' cache serves the next rows too.
        cache = prompts.past_key_values
        own = copy.copy(cache)
        own.layers = [copy.copy(layer) for layer in cache.layers]
        own.batch_select_indices(chosen)
        before = inputs["attention_mask"][chosen]
        positions = before.sum(dim=1, keepdim=True) + torch.arange(fed, device=loaded.device.name)
        media = getattr(prompts, "media", None)
        output = loaded.model(
            input_ids=ids,
            attention_mask=torch.cat([before, mask], dim=1),
            position_ids=positions,
            past_key_values=own,
            use_cache=True,
            **({} if media is None else {"media": media.rows(chosen)}),
        )
        likelihoods = torch.log_softmax(output.logits.float(), dim=-1)
        picked = likelihoods.gather(2, targets.unsqueeze(2)).squeeze(2).double()
        totals = totals + (picked * mask).sum(dim=1)
    return [float(total) for total in totals]


def _generate(
    loaded: LoadedModel, batch: Sequence[Encoded], features: Features | None = None
) -> list[tuple[list[int], float]]:
    """Return each sample's greedy tokens up to the end, and the smallest lead of a token over the next.

    The lead is NaN where a token was chosen by what is no finite number.
    """
    import torch

    inputs = prompt_batch(batch, loaded.tokenizer.eos_token_id, loaded.device, features)
    budgets = [sample.answer_room + GENERATION_SLACK for sample in batch]
    del inputs["position_ids"]  # generate counts them itself, from the mask
    with torch.inference_mode():
        output = loaded.model.generate(
            **inputs, max_new_tokens=max(budgets), output_logits=True, return_dict_in_generate=True
        )
        top = torch.stack([logits.float().topk(2, dim=-1).values for logits in output.logits], dim=1)
        # NaN counts as the largest value; infinity less a number is infinity.
        leads = torch.where(top[..., 0].isfinite(), top[..., 0] - top[..., 1], torch.nan).tolist()
        sequences = output.sequences[:, inputs["input_ids"].shape[1] :].tolist()
    ends = set(loaded.model.generation_config.eos_token_id)
    results = []
    for tokens, steps, budget in zip(sequences, leads, budgets, strict=True):
        # Tokens that this row generated beyond its own end or budget, while the batch went on, do not count.
        length = next((i for i, token in enumerate(tokens[:budget]) if token in ends), None)
        decided = budget if length is None else length + 1
        lead = min(steps[:decided], key=lambda step: (not math.isnan(step), step))
        results.append((tokens[: budget if length is None else length], lead))
    return results


def _scored_prediction(scores: dict[str, float], alone: bool) -> Prediction:
    """Return the likeliest label, the first of equal ones in the order of the options."""
    finite = _are_finite(scores.values())
    label = max(scores, key=lambda name: scores[name]) if finite else None
    known = {name: score if math.isfinite(score) else None for name, score in scores.items()}
    return Prediction(label, None, known, alone, finite)


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


def _is_near(loaded: LoadedModel, lead: float) -> bool:
    return not lead >= TIE_TOLERANCE[loaded.device.precision]  # NaN too
