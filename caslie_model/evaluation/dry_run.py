"""Count the questions that an evaluation would ask. No model is loaded, nothing is written."""

from __future__ import annotations

from collections import Counter
from typing import Any

from caslie_model.adapters.captions import with_captions_of_training
from caslie_model.config.evaluation import EvaluateConfig, PredictConfig
from caslie_model.data.images import SampleImage
from caslie_model.errors import ConfigError
from caslie_model.evaluation import evaluate
from caslie_model.inference import run
from caslie_model.inference.prediction_log import read_records
from caslie_model.inference.questions import Question
from caslie_model.inference.select_samples import Selection, select_samples
from caslie_model.inference.variants import choose_other_images, make_questions


def estimate_evaluation(config: PredictConfig, overwrite: bool = False) -> dict[str, Any]:
    """Return how many questions an evaluation or a prediction would ask.

    Args:
        config: The settings of the evaluation.
        overwrite: Whether earlier predictions would be forgotten.

    Returns:
        `samples`, the `questions` that they make with all variants, those `answered` already in `config.out`, and of
        each task and split (`parts`) the same. Whether the earlier answers are of the same model and settings is not
        checked, nor whether the model takes images and the samples' images can be read.

    Raises:
        OutputError: `config.out` is another command's folder, or a file.
        DatasetError: There is no such dataset, or it has no such samples.
        ConfigError: The answers are those of a file: nothing is asked.
    """
    if isinstance(config, EvaluateConfig):
        if config.predictions is not None:
            raise ConfigError(
                "--dry-run counts the questions to a model; --predictions asks none, leave one of them out"
            )
        evaluate.check_folder(config)
    else:
        run.check_folder(config)
    config = with_captions_of_training(config)
    selection = select_samples(config)
    questions = _questions(config, selection)
    there = set() if overwrite else set(read_records(config.out))
    samples = Counter((sample.task, sample.split) for sample in selection.samples)
    asked = Counter((each.sample.task, each.sample.split) for each in questions)
    done = Counter((each.sample.task, each.sample.split) for each in questions if each.key in there)
    parts = [
        {
            "task": task,
            "split": split,
            "samples": count,
            "questions": asked[task, split],
            "answered": done[task, split],
        }
        for (task, split), count in samples.items()
    ]
    return {
        "samples": samples.total(),
        "questions": asked.total(),
        "answered": done.total(),
        "parts": parts,
    }


def _questions(config: PredictConfig, selection: Selection) -> list[Question]:
    """Return the questions without their contents: images by their roles, and no demonstrations."""
    roles = {
        sample.id: tuple(SampleImage(role, "") for role in sample.image_roles) for sample in selection.whole
    }
    others = choose_other_images(config, selection.whole, selection.samples)
    return make_questions(config, selection.samples, roles, {}, others)


def estimate_table(estimate: dict[str, Any]) -> str:
    """Return the estimate as a table."""
    rows = [*estimate["parts"], {"task": "all", "split": "", **estimate}]
    width = max(len(row["task"]) for row in rows)
    counts = ("samples", "questions", "answered")
    lines = [f"{'task':<{width}}  {'split':<10}" + "".join(f"  {name:>9}" for name in counts)]
    lines += [
        f"{row['task']:<{width}}  {row['split']:<10}" + "".join(f"  {row[name]:>9,}" for name in counts)
        for row in rows
    ]
    return "\n".join(lines)
