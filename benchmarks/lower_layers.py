"""What do the layers below the first adapter cost, and what do their kept states save?

    taskset -c 0 env OMP_NUM_THREADS=1 python benchmarks/lower_layers.py DATASET [--first-layers 10 15] [--steps 5]

Real weights (preset smollm2-135m, xattn, no LoRA) and samples of one task in batches as a training plans them. Each
batch is trained on in three ways that take turns: as ever; with its states computed and put into an empty store (a
first epoch); with its states from the files of a store (a later one). Then questions are answered by likelihood, with
a clock around the lower layers. Processor seconds of one thread; ratios are medians over pairs.
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

from caslie_model.adapter import LoadedModel
from caslie_model.base_model import load_base_model
from caslie_model.batches import training_batch
from caslie_model.config import finetune_config
from caslie_model.finetuning import select_samples
from caslie_model.fusion.language_model import decoder_layers
from caslie_model.lower_states import LowerStates
from caslie_model.plan import plan_batches
from caslie_model.prediction import answer_scores
from caslie_model.prompts import Encoded, PromptFormat, packaged_templates
from caslie_model.sight import look_at
from caslie_model.state_store import StateStore
from caslie_model.trainable import trainable_model

PLENTY = 10**10


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result and the processor seconds."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def loss_of(model: Any, batch: dict[str, Any], states: torch.Tensor | None = None) -> torch.Tensor:
    loss: torch.Tensor = model(
        **batch, lower_states=states, logits_to_keep=batch["labels"].shape[1], use_cache=False
    ).loss
    return loss


def training(model: Any, batches: Sequence[dict[str, Any]], root: Path) -> dict[str, Any]:
    """Time steps of the three ways, and what writing and reading alone take."""
    model.train()
    optimiser = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=1e-3)
    written = StateStore(root / "warm" / "model", PLENTY)
    _, computing = timed(lambda: [LowerStates(model, written).of_batch(batch) for batch in batches])
    _, writing = timed(written.flush)
    tokens = sum(int(batch["attention_mask"].sum()) for batch in batches)
    size = sum(path.stat().st_size for path in written.folder.glob("*"))

    def step(batch: dict[str, Any], lower: LowerStates | None) -> float:
        loss = loss_of(model, batch, None if lower is None else lower.of_batch(batch))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        return float(loss.detach())

    ways = {
        "as ever": lambda number: None,
        "computed and kept": lambda number: LowerStates(
            model, StateStore(root / f"cold{number}" / "model", PLENTY)
        ),
        "from the store": lambda number: LowerStates(model, StateStore(written.folder, PLENTY)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number, batch in enumerate(batches):
        order = list(ways)[number % 3 :] + list(ways)[: number % 3]
        for name in order:
            _, spent = timed(lambda name=name, batch=batch, number=number: step(batch, ways[name](number)))
            if number:  # the first steps also allocate
                seconds[name].append(spent)
    reader = LowerStates(model, StateStore(written.folder, PLENTY))
    _, first_read = timed(lambda: [reader.of_batch(batch) for batch in batches])
    _, reading = timed(lambda: [reader.of_batch(batch) for batch in batches])
    ever = seconds["as ever"]
    return {
        "seconds": {name: round(statistics.median(values), 3) for name, values in seconds.items()},
        "faster": {
            name: round(statistics.median(a / b for a, b in zip(ever, values, strict=True)), 3)
            for name, values in seconds.items()
        },
        "bytes_per_token": round(size / tokens),
        "per_1000_tokens": {
            name: round(1e3 * spent / tokens, 5)
            for name, spent in (
                ("computing", computing),
                ("writing", writing),
                ("reading, checked", first_read),
                ("reading", reading),
            )
        },
    }


def rounding(model: Any, batches: Sequence[dict[str, Any]], root: Path) -> dict[str, float]:
    """Return the largest relative difference of a batch's loss, by the type that states are kept in."""
    lower = LowerStates(model, StateStore(root / "warm" / "model", PLENTY))
    differences: dict[str, float] = {}
    with torch.no_grad():
        for batch in batches:
            states = lower.of_batch(batch)
            exact = float(loss_of(model, batch))
            for name in ("float32", "float16", "bfloat16"):
                rounded = float(loss_of(model, batch, states.to(getattr(torch, name)).float()))
                differences[name] = max(differences.get(name, 0.0), abs(rounded - exact) / exact)
    return differences


def answering(
    loaded: LoadedModel, batches: Sequence[Sequence[Encoded]], features: Any, first_layer: int
) -> dict[str, float]:
    """Return the share of likelihood scoring that the lower layers take, in prompts and in answers."""
    loaded.model.eval()
    layers = decoder_layers(loaded.model.language_model)
    entered = 0.0
    spent: list[float] = []  # of each pass

    def enter(*_: Any) -> None:
        nonlocal entered
        entered = time.process_time()

    hooks = [
        layers[0].register_forward_pre_hook(enter),
        layers[first_layer - 1].register_forward_hook(lambda *_: spent.append(time.process_time() - entered)),
    ]
    prompts, answers, totals = [], [], []
    for batch in batches:
        spent.clear()
        _, total = timed(lambda batch=batch: answer_scores(loaded, batch, False, features))
        prompts.append(spent[0] / total)  # the first pass is of the prompts
        answers.append(sum(spent[1:]) / total)
        totals.append(total)
    for hook in hooks:
        hook.remove()
    return {
        "seconds_per_batch": round(statistics.median(totals), 3),
        "share_in_prompts": round(statistics.median(prompts), 3),
        "share_in_answers": round(statistics.median(answers), 3),
    }


def measure(dataset: str, task: str, first_layer: int, steps: int, root: Path) -> dict[str, Any]:
    config = finetune_config(
        "smollm2-135m",
        ["fusion=xattn", f"tasks=[{task}]", f"bridge.first_layer={first_layer}"],
        data=dataset,
        out=Path("unused"),
    )
    samples = select_samples(config.model_copy(update={"samples_per_task": 8 * 17}))
    base = load_base_model(config.base_model)
    assert config.vision is not None
    sight = look_at(config.data, samples, config.vision, "cpu", "float32")
    prompt_format = PromptFormat(base.tokenizer, *packaged_templates(), config.answers, config.max_length)
    encoded = prompt_format.encode_all(samples, sight.pictures)
    lengths = [len(each.prompt) + len(each.target) for each in encoded]
    plan = plan_batches([sample.id for sample in samples], lengths, config.batch_size, 1, None, 0)
    chosen = [[encoded[index] for index in batch] for batch in plan.batches[: steps + 1]]
    torch.manual_seed(0)
    model = trainable_model(base, config, sight)
    batches = [training_batch(batch, base.tokenizer.eos_token_id, sight.features) for batch in chosen]
    loaded = LoadedModel(model, base.tokenizer, prompt_format, "cpu", "float32")
    return {
        "tokens_per_sample": round(statistics.mean(lengths), 1),
        "options": statistics.mean(len(each.answers) for each in encoded),
        "training": training(model, batches, root),
        "loss_differs_by": rounding(model, batches[:2], root),
        "likelihood": answering(loaded, chosen[1:3], sight.features, first_layer),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("--task", default="cc")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--first-layers", type=int, nargs="+", default=[10, 15])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for first_layer in arguments.first_layers:
        with tempfile.TemporaryDirectory() as folder:
            result = measure(arguments.dataset, arguments.task, first_layer, arguments.steps, Path(folder))
        print(json.dumps({f"first_layer {first_layer}": result}, indent=1), flush=True)


if __name__ == "__main__":
    main()
