"""What do the layers below the first adapter cost, and what would their stored results save?

    taskset -c 0 env OMP_NUM_THREADS=1 python benchmarks/prefix_reuse.py DATASET [--steps 6] [--first-layers 10 15]

Real weights (preset smollm2-135m, xattn, no LoRA), real samples of one task in batches as a training plans them. Each
batch is trained on twice in turn, with the lower layers and with their stored states; so is each batch of questions
answered by likelihood. Processor seconds of one thread, medians of ratios of pairs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from caslie_model.adapter import LoadedModel
from caslie_model.base_model import load_base_model
from caslie_model.batches import prompt_batch, training_batch
from caslie_model.config import finetune_config
from caslie_model.finetuning import select_samples
from caslie_model.fusion.language_model import decoder_layers
from caslie_model.fusion.lower_layers import standing_in, states_below
from caslie_model.plan import plan_batches
from caslie_model.prediction import answer_scores
from caslie_model.prompts import Encoded, PromptFormat, packaged_templates
from caslie_model.sight import look_at
from caslie_model.trainable import trainable_model

TEXT = ("input_ids", "attention_mask", "position_ids")


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result and the processor seconds."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def below(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    return states_below(
        model.language_model, model.config.first_layer, **{name: batch[name] for name in TEXT}
    )


def training(model: Any, batches: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Time steps with and without the lower layers; compare losses on states that were rounded."""
    model.train()
    lower = decoder_layers(model.language_model)[: model.config.first_layer]
    optimiser = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=1e-3)

    def step(batch: dict[str, Any]) -> float:
        loss = model(**batch, logits_to_keep=batch["labels"].shape[1]).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        return float(loss)

    whole, upper, alone = [], [], []
    differences: dict[str, list[float]] = {"float32": [], "float16": [], "bfloat16": []}
    for number, batch in enumerate(batches):
        states, seconds = timed(lambda batch=batch: below(model, batch))
        with torch.no_grad():
            exact = float(model(**batch, logits_to_keep=batch["labels"].shape[1]).loss)
            for name in differences:
                with standing_in(lower, states.to(getattr(torch, name)).float()):
                    loss = float(model(**batch, logits_to_keep=batch["labels"].shape[1]).loss)
                differences[name].append(abs(loss - exact) / exact)

        def shortened(batch: dict[str, Any] = batch, states: torch.Tensor = states) -> float:
            with standing_in(lower, states):
                return step(batch)

        if number % 2:
            _, b = timed(shortened)
            _, a = timed(lambda batch=batch: step(batch))
        else:
            _, a = timed(lambda batch=batch: step(batch))
            _, b = timed(shortened)
        if number:  # the first step also allocates
            whole.append(a)
            upper.append(b)
            alone.append(seconds)
    return {
        "seconds_step": statistics.median(whole),
        "seconds_step_stored": statistics.median(upper),
        "seconds_below": statistics.median(alone),
        "speedup": statistics.median(a / b for a, b in zip(whole, upper, strict=True)),
        "loss_difference_relative": {name: max(values) for name, values in differences.items()},
        "largest_state": float(states.abs().max()),
    }


def answering(
    loaded: LoadedModel, batches: Sequence[Sequence[Encoded]], features: Any, first_layer: int
) -> dict[str, Any]:
    """Time likelihood scoring, and of it the lower layers: by a clock before the first and before the first adapter."""
    model = loaded.model.eval()
    layers = decoder_layers(model.language_model)
    entered, spent = [0.0], [0.0]
    hooks = [
        layers[0].register_forward_pre_hook(lambda *_: entered.__setitem__(0, time.process_time())),
        layers[first_layer - 1].register_forward_hook(
            lambda *_: spent.__setitem__(0, spent[0] + time.process_time() - entered[0])
        ),
    ]
    shares, seconds, prompts = [], [], []
    for batch in batches:
        spent[0] = 0.0
        _, total = timed(lambda batch=batch: answer_scores(loaded, batch, False, features))
        shares.append(spent[0] / total)
        seconds.append(total)
        spent[0] = 0.0
        with torch.inference_mode():
            loaded.model(**prompt_batch(batch, 0, "cpu", features), use_cache=True, logits_to_keep=1)
        prompts.append(spent[0] / total)
    for hook in hooks:
        hook.remove()
    return {
        "seconds_batch": statistics.median(seconds),
        "share_below": statistics.median(shares),
        "share_below_in_prompts": statistics.median(prompts),
    }


def storing(states: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
    """Time writing and reading a batch's states as rows of a safetensors file (from the page cache)."""
    tokens = int(mask.sum())
    rows = states[mask.bool()].to(torch.float16)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.safetensors"
        _, write = timed(lambda: save_file({"states": rows}, path))
        with safe_open(path, framework="pt") as file:
            _, read = timed(lambda: file.get_slice("states")[:tokens].float())
    return {
        "bytes_per_token": rows.shape[1] * 2,
        "tokens": tokens,
        "seconds_to_write": write,
        "seconds_to_read": read,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("--task", default="cc")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--first-layers", type=int, nargs="+", default=[10, 15])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = {}
    for first_layer in arguments.first_layers:
        config = finetune_config(
            "smollm2-135m",
            ["fusion=xattn", f"tasks=[{arguments.task}]", f"bridge.first_layer={first_layer}"],
            data=arguments.dataset,
            out=Path("unused"),
        )
        samples = select_samples(config.model_copy(update={"samples_per_task": 8 * 17}))
        base = load_base_model(config.base_model)
        assert config.vision is not None
        sight = look_at(config.data, samples, config.vision, "cpu", "float32")
        format_ = PromptFormat(base.tokenizer, *packaged_templates(), config.answers, config.max_length)
        encoded = format_.encode_all(samples, sight.pictures)
        lengths = [len(each.prompt) + len(each.target) for each in encoded]
        plan = plan_batches([s.id for s in samples], lengths, config.batch_size, 1, None, 0)
        chosen = [[encoded[i] for i in batch] for batch in plan.batches[: arguments.steps + 1]]
        torch.manual_seed(0)
        model = trainable_model(base, config, sight)
        padding = base.tokenizer.eos_token_id
        batches = [training_batch(batch, padding, sight.features) for batch in chosen]
        result: dict[str, Any] = {"tokens_per_sample": statistics.mean(lengths)}
        result["training"] = training(model, batches)
        loaded = LoadedModel(model, base.tokenizer, format_, "cpu", "float32")
        result["likelihood"] = answering(
            loaded, chosen[: max(2, arguments.steps // 2)], sight.features, first_layer
        )
        result["answers"] = statistics.mean(len(each.answers) for each in encoded)
        result["storing"] = storing(below(model, batches[0]), batches[0]["attention_mask"])
        results[first_layer] = result
        print(json.dumps({first_layer: result}, indent=1), flush=True)


if __name__ == "__main__":
    main()
