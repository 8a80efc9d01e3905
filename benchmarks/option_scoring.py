r"""The likelihood of 20 options in words: ours beside one full pass per option.

    python benchmarks/option_scoring.py --data DATASET [--samples 6] [--results benchmarks/results]

DATASET is a dataset folder with sequential recommendation and category classification (`mmec build --tasks all` without
sources builds the sample). Three kinds of options: offers of sequential recommendation as they are, whose words differ
from the start; sizes and colours of one product, which start alike; and categories of a few words.

Of each sample, ours (the tree of the options behind the prompt), ours without the tree (a row per option behind a copy
of the prompt's keys and values) and the loop (prompt and option as one sequence, each by itself; logits for the option
alone) take turns in one process, each alone with one sample at a time. The ratios are those of a sample's own times.
Ranks are equal where two options are closer than the rounding of a sum of logarithms.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads take no CPU seconds

import torch

from caslie_model.adapters.loading import LoadedModel, load_for_evaluation
from caslie_model.config.presets import evaluate_config
from caslie_model.data.samples import Sample, read_samples
from caslie_model.inference import option_scores
from caslie_model.inference.predict import answer_scores
from caslie_model.prompts.encoder import Encoded

OPTIONS = 20
LETTERS = [chr(ord("A") + i) for i in range(OPTIONS)]
COLOURS = ("black", "white", "navy", "grey", "wine red")
SIZES = ("38", "40", "42", "44")
SHARED = [f"Men's running shoe, size {size}, {colour}" for size in SIZES for colour in COLOURS]
CATEGORIES = [
    *(
        "Running Shoes",
        "Garden Chairs",
        "Kitchen Knives",
        "Wall Clocks",
        "Desk Lamps",
        "Travel Mugs",
        "Bath Towels",
    ),
    *(
        "Dog Collars",
        "Yoga Mats",
        "Phone Cases",
        "Picture Frames",
        "Board Games",
        "Rain Jackets",
        "Tool Boxes",
    ),
    *("Hair Dryers", "Window Boxes", "Bike Helmets", "Baby Blankets", "Coffee Grinders", "Camping Tents"),
]
# Scores closer than this have no order.
ROUNDING = 1e-3
WAYS = ("tree", "rows", "loop")
Result = dict[str, Any]


def with_options(sample: Sample, words: Sequence[str]) -> Sample:
    """Return a sample that asks for one of other options."""
    return replace(sample, options=dict(zip(LETTERS, words, strict=True)), output="A")


def questions(loaded: LoadedModel, data: str, count: int) -> dict[str, list[Encoded]]:
    """Return samples by kind of options."""
    offers = [
        each
        for each in read_samples(data, "sequential_recommendation", "test")
        if len(each.options) == OPTIONS
    ]
    products = read_samples(data, "category_classification", "test")
    kinds = {
        "offers, no shared start": offers[:count],
        "sizes and colours, shared start": [with_options(each, SHARED) for each in products[:count]],
        "categories, no shared start": [with_options(each, CATEGORIES) for each in products[:count]],
    }
    return {kind: [loaded.prompt_format.encode(each) for each in samples] for kind, samples in kinds.items()}


def by_tree(loaded: LoadedModel, sample: Encoded) -> dict[str, float]:
    """Score as the package does."""
    return answer_scores(loaded, [sample])[0]


def by_rows(loaded: LoadedModel, sample: Encoded) -> dict[str, float]:
    """Score as the package does for a model that takes no tree."""
    with mock.patch.object(option_scores, "takes_trees", return_value=False):
        return answer_scores(loaded, [sample])[0]


def by_loop(loaded: LoadedModel, sample: Encoded) -> dict[str, float]:
    """Score each option by a pass over prompt and option."""
    scores = {}
    for label, tokens in sample.answers.items():
        ids = torch.tensor([[*sample.prompt, *tokens[:-1]]])
        with torch.inference_mode():
            logits = loaded.model(ids, use_cache=False, logits_to_keep=len(tokens)).logits[0]
        likelihoods = logits.log_softmax(dim=-1)
        scores[label] = float(likelihoods[range(len(tokens)), list(tokens)].double().sum())
    return scores


def timed(score: Callable[[LoadedModel, Encoded], dict[str, float]], *given: Any) -> tuple[float, float, Any]:
    """Return wall-clock and CPU seconds, and the result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = score(*given)
    return time.perf_counter() - wall, time.process_time() - cpu, result


def same_ranks(ours: dict[str, float], theirs: dict[str, float]) -> bool:
    """Return whether no two options that differ by more than rounding have another order."""
    return not any(
        theirs[one] - theirs[other] > ROUNDING and ours[one] <= ours[other] for one in ours for other in ours
    )


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, least and most."""
    return {
        "median": round(statistics.median(values), 2),
        "least": round(min(values), 2),
        "most": round(max(values), 2),
    }


def measure(loaded: LoadedModel, samples: Sequence[Encoded]) -> Result:
    """Time all ways on each sample in turn."""
    score = {"tree": by_tree, "rows": by_rows, "loop": by_loop}
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    cpu: dict[str, list[float]] = {way: [] for way in WAYS}
    ranks, first, differences = 0, 0, []
    for number, sample in enumerate(samples):
        found = {}
        for way in WAYS[number % 3 :] + WAYS[: number % 3]:
            wall, used, found[way] = timed(score[way], loaded, sample)
            seconds[way].append(wall)
            cpu[way].append(used)
        ranks += same_ranks(found["tree"], found["loop"])
        first += max(found["tree"], key=found["tree"].__getitem__) == max(
            found["loop"], key=found["loop"].__getitem__
        )
        differences += [abs(found["tree"][label] - found["loop"][label]) for label in sample.answers]
    fed = [sum(len(tokens) - 1 for tokens in each.answers.values()) for each in samples]
    trees = [len(tree_of(each).tokens) for each in samples]
    return {
        "samples": len(samples),
        "prompt_tokens": spread([len(each.prompt) for each in samples]),
        "option_tokens": spread(fed),
        "option_tokens_in_the_tree": spread(trees),
        "seconds": {way: spread(seconds[way]) for way in WAYS},
        "cpu_seconds": {way: spread(cpu[way]) for way in WAYS},
        "loop_by_tree": spread([a / b for a, b in zip(seconds["loop"], seconds["tree"], strict=True)]),
        "loop_by_tree_cpu": spread([a / b for a, b in zip(cpu["loop"], cpu["tree"], strict=True)]),
        "loop_by_rows_cpu": spread([a / b for a, b in zip(cpu["loop"], cpu["rows"], strict=True)]),
        "rows_by_tree_cpu": spread([a / b for a, b in zip(cpu["rows"], cpu["tree"], strict=True)]),
        "equal_ranks": ranks,
        "equal_answers": first,
        "largest_difference": max(differences),
    }


def tree_of(sample: Encoded) -> Any:
    """Return the tokens of a sample's options that are fed."""
    wanted = [(0, label, tokens) for label, tokens in sample.answers.items()]
    return option_scores._rows(wanted, as_trees=True)[0]


def page(record: Result) -> str:
    """Return the result as Markdown."""

    def shown(each: dict[str, float]) -> str:
        return f"{each['median']} [{each['least']}, {each['most']}]"

    lines = [
        "# Likelihood of 20 options in words",
        "",
        f"`option_scoring.py`: {record['model']}, float32, {record['threads']} thread(s) of a machine that others use "
        f"(load before {record['load_before']}, after {record['load_after']}), one sample at a time; median [least, "
        "most] over the samples. *tree* is ours, *rows* ours for a model that takes no tree, *loop* a full pass per "
        "option.",
        "",
        "| options | samples | tokens of prompt | tokens of options: all / in the tree | seconds: tree | rows | loop | "
        "loop / tree | of CPU seconds: loop / tree | loop / rows | rows / tree | equal ranks | equal answers | "
        "largest difference |",
        "|---|---:|---|---|---|---|---|---|---|---|---|---:|---:|---:|",
    ]
    for kind, each in record["results"].items():
        tokens = f"{each['option_tokens']['median']} / {each['option_tokens_in_the_tree']['median']}"
        times = " | ".join(shown(each["seconds"][way]) for way in WAYS)
        ratios = " | ".join(
            shown(each[name])
            for name in ("loop_by_tree", "loop_by_tree_cpu", "loop_by_rows_cpu", "rows_by_tree_cpu")
        )
        lines.append(
            f"| {kind} | {each['samples']} | {shown(each['prompt_tokens'])} | {tokens} | {times} | {ratios} | "
            f"{each['equal_ranks']} | {each['equal_answers']} | {each['largest_difference']:.1e} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--samples", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = evaluate_config(
        model=options.model, data=options.data, out="unused", base_only=True, answers="text", device="cpu"
    )
    loaded = load_for_evaluation(config)
    load_before = [round(each, 1) for each in os.getloadavg()]
    kinds = questions(loaded, options.data, options.samples)
    by_tree(loaded, kinds["categories, no shared start"][0])  # warms up
    results = {kind: measure(loaded, samples) for kind, samples in kinds.items()}
    record = {
        "model": options.model,
        "torch": torch.__version__,
        "threads": options.threads,
        "load_before": load_before,
        "load_after": [round(each, 1) for each in os.getloadavg()],
        "results": results,
    }
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "option_scoring.json").write_text(
        json.dumps(record, indent=1) + "\n", encoding="utf-8"
    )
    (options.results / "option_scoring.md").write_text(page(record), encoding="utf-8")


if __name__ == "__main__":
    main()
