"""Evaluation: predict missing answers, then score every task and split.

Files in the output folder: `predictions.jsonl` with its header, `metrics.json`, `metrics.md`, `config.yaml`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caslie_model.adapters.loading import LoadedModel, load_for_evaluation
from caslie_model.batching.positions import check_positions
from caslie_model.config.evaluation import EvaluateConfig
from caslie_model.config.files import CONFIG
from caslie_model.config.presets import config_yaml
from caslie_model.data.images import Features, SampleImage
from caslie_model.data.samples import Sample, first_by_hash, read_samples
from caslie_model.errors import ConfigError, ModelError, RunError
from caslie_model.evaluation.harness_files import write_harness_files
from caslie_model.evaluation.lenient import add_lenient
from caslie_model.evaluation.metrics import Bootstrap
from caslie_model.evaluation.saved_predictions import read_predictions, write_predictions
from caslie_model.evaluation.score import majority_labels, score
from caslie_model.evaluation.tables import metrics_markdown
from caslie_model.hub.public_names import public_name
from caslie_model.inference.predict import GENERATION_SLACK, Prediction, predict_batch
from caslie_model.inference.prediction_log import PREDICTIONS, open_predictions
from caslie_model.prompts.encoder import Encoded
from caslie_model.runtime.console import say
from caslie_model.runtime.disk_errors import explained_disk_errors
from caslie_model.runtime.progress import Progress
from caslie_model.vision.visual_inputs import VisualInputs, load_visual_inputs, shuffled
from mmecinstruct.core.disk_errors import check_can_write
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.output_folder import EVALUATE, check_output, claim_output

if TYPE_CHECKING:
    import pandas as pd

METRICS = "metrics.json"
METRICS_TEXT = "metrics.md"


@dataclass(frozen=True)
class EvaluationResult:
    """The files that an evaluation wrote.

    Attributes:
        folder: Where the files are.
        metrics: The content of metrics.json.
    """

    folder: Path
    metrics: dict[str, Any]

    @property
    def table(self) -> pd.DataFrame:
        """The figures, a row per task, split and part."""
        import pandas as pd

        return pd.DataFrame(self.metrics["results"])


def evaluate(config: EvaluateConfig, overwrite: bool = False) -> EvaluationResult:
    """Predict and score as the config says; earlier predictions of the same run are kept.

    Args:
        config: The settings of the evaluation.
        overwrite: Delete earlier predictions.

    Returns:
        The output folder and the content of metrics.json.

    Raises:
        MmecError: If data, model or folder do not allow it; the message has the remedy.
    """
    check_folder(config)
    check_can_write(config.out)
    samples = select_samples(config)
    if config.predictions is not None:
        return _evaluate_saved(config, config.predictions, samples, overwrite)
    loaded = load_for_evaluation(config)
    if config.images != "own" and loaded.vision is None:
        raise ConfigError(f"images={config.images}: {config.model} is a text model, which takes no images")
    visual_inputs = None
    if loaded.vision is not None:
        trained_with = loaded.model.config.vision_fingerprint
        visual_inputs = load_visual_inputs(config.data, samples, loaded.vision, loaded.device, trained_with)
    encoded = loaded.prompt_format.encode_all(samples, _images_by_sample(config, samples, visual_inputs))
    check_positions(
        loaded.model,
        loaded.prompt_format.max_length,
        max(len(each.prompt) + each.answer_room for each in encoded),
        GENERATION_SLACK if config.scoring == "generate" else 0,
    )
    features = visual_inputs.features if visual_inputs else None
    provenance = {
        **loaded.provenance,
        "scoring": config.scoring,
        "length_normalised": config.length_normalised,
        **({"images": config.images} if config.images != "own" else {}),
    }
    claim_output(config.out, EVALUATE)
    with (
        explained_disk_errors(config.out, "then run the same again: what was answered is kept"),
        open_predictions(config.out, provenance, overwrite) as file,
    ):
        _check_prompts(encoded, file.records, config.out)
        answered = [each.sample for each in encoded if each.sample.id in file.records]
        if strange := {
            sample.id
            for sample in answered
            if file.records[sample.id]["prediction"] not in (None, *sample.labels)
        }:
            file.drop(strange)
        # Longest first: running out of memory happens at once, not at the end.
        missing = sorted(
            (each for each in encoded if each.sample.id not in file.records),
            key=lambda each: (-len(each.prompt), each.sample.id),
        )
        say(
            f"{len(encoded)} samples, {len(encoded) - len(missing)} answered already, "
            f"{sum(each.shortened for each in encoded)} shortened to fit; on {loaded.device}"
        )
        with Progress("predicting", len(missing), "samples") as progress:
            for start in range(0, len(missing), config.batch_size):
                batch = missing[start : start + config.batch_size]
                file.append(_records(batch, _predict(loaded, batch, config, features)))
                progress.update(start + len(batch))
        records = {each.sample.id: file.records[each.sample.id] for each in encoded}
        metrics = _score(config, samples, records, provenance, sum(each.shortened for each in encoded))
    return EvaluationResult(config.out, metrics)


def _evaluate_saved(
    config: EvaluateConfig, file: Path, samples: Sequence[Sample], overwrite: bool
) -> EvaluationResult:
    """Score the predictions of a file, or of a folder that has such a file."""
    file = file / PREDICTIONS if file.is_dir() else file
    saved = read_predictions(file, samples, config.answers or "letter", config.instruction)
    claim_output(config.out, EVALUATE)
    with explained_disk_errors(config.out, "then run the same again"):
        write_predictions(config.out, file, saved, overwrite)
        return EvaluationResult(
            config.out, _score(config, samples, saved.published, saved.provenance, shortened=0)
        )


def _score(
    config: EvaluateConfig,
    samples: Sequence[Sample],
    records: Mapping[str, Mapping[str, Any]],
    provenance: Mapping[str, Any],
    shortened: int,
) -> dict[str, Any]:
    """Score the answers and write all files but the predictions; returns the content of metrics.json."""
    not_finite = {name for name, record in records.items() if _is_not_finite(record)}
    answers = {name: None if name in not_finite else record["prediction"] for name, record in records.items()}
    if not_finite:
        say(
            f"{len(not_finite)} of {len(samples)} samples have scores that are no finite numbers: they count as "
            "wrong. Did the training diverge? Else give precision=float32"
        )
    baselines = majority_labels(config.data, samples)
    metrics: dict[str, Any] = {
        "model": config.model,
        "base_only": config.base_only,
        "data": config.data,
        # A path means nothing to others.
        "public_data": public_name(config.data),
        "provenance": provenance,
        "samples_shortened": shortened,
        "results": score(
            samples, answers, baselines, Bootstrap(config.bootstrap_resamples, config.seed), not_finite
        ),
    }
    if config.lenient:
        add_lenient(metrics["results"], samples, records)
    if "lm-eval" in config.export:
        write_harness_files(config, metrics, samples, records)
    for name, text in (
        (METRICS, json.dumps(metrics, indent=1, ensure_ascii=False, allow_nan=False) + "\n"),
        (METRICS_TEXT, metrics_markdown(metrics)),
        (CONFIG, config_yaml(config)),
    ):
        write_atomically(config.out / name, text.encode())
    return metrics


def check_folder(config: EvaluateConfig) -> None:
    """Check that no other command made the folder `out`, and that it can be one.

    Args:
        config: The settings of the evaluation.

    Raises:
        OutputError: If it is another command's, lies inside model or dataset, or has another `config.yaml`.
    """
    # Predictions of a file may be those in `out`, and their model is a mere name.
    reads = [config.data] if config.predictions is not None else [config.model, config.data]
    check_output(config.out, EVALUATE, reads, writes=(CONFIG, METRICS, METRICS_TEXT))


def select_samples(config: EvaluateConfig) -> list[Sample]:
    """Return the samples to evaluate, by task, split and hash order of their ids.

    Args:
        config: Dataset, tasks, splits, subset, limit and seed.

    Returns:
        The samples.

    Raises:
        DatasetError: If the dataset has none, or one id occurs twice.
    """
    wanted = {"all": None, "visual-critical": True, "text": False}[config.subset]
    result: list[Sample] = []
    for task in config.tasks:
        for split in config.splits:
            samples = [
                sample
                for sample in read_samples(config.data, task, split)
                if wanted is None or sample.visual_critical is wanted
            ]
            result.extend(first_by_hash(samples, config.limit, config.seed, "evaluated samples"))
    if not result:
        raise DatasetError(
            f"{config.data} has no samples of these tasks in {', '.join(config.splits)} "
            f"(subset {config.subset})"
        )
    ids: set[str] = set()
    for sample in result:
        if sample.id in ids:
            raise DatasetError(f"sample {sample.id} is in two splits or tasks; build the dataset again")
        ids.add(sample.id)
    return result


def _images_by_sample(
    config: EvaluateConfig, samples: Sequence[Sample], visual_inputs: VisualInputs | None
) -> dict[str, tuple[SampleImage, ...]]:
    """Return the images that go with each sample: its own, shuffled ones or none."""
    if visual_inputs is None or config.images == "none":
        return {}
    if config.images == "shuffled":
        return shuffled(visual_inputs.images, samples, config.seed)
    return visual_inputs.images


def _predict(
    loaded: LoadedModel, batch: Sequence[Encoded], config: EvaluateConfig, features: Features | None
) -> list[Prediction]:
    import torch

    try:
        return predict_batch(loaded, batch, config.scoring, config.length_normalised, features)
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"out of memory with batch_size={config.batch_size}; give a smaller one: answers stay the same"
        ) from error


def _records(batch: Sequence[Encoded], predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    records = []
    for each, prediction in zip(batch, predictions, strict=True):
        record: dict[str, Any] = {
            "id": each.sample.id,
            "task": each.sample.task,
            "split": each.sample.split,
            "prompt": each.fingerprint,
            "prediction": prediction.label,
        }
        if prediction.text is not None:
            record["text"] = prediction.text
        if prediction.scores is not None:
            record["scores"] = {
                label: None if value is None else round(value, 4)
                for label, value in prediction.scores.items()
            }
        if not prediction.finite:
            record["not_finite"] = True
        records.append(record)
    return records


def _is_not_finite(record: Mapping[str, Any]) -> bool:
    """Return whether a prediction was decided by no finite number, which earlier versions wrote without a mark."""
    return record.get("not_finite", False) or None in record.get("scores", {}).values()


def _check_prompts(encoded: Sequence[Encoded], records: Mapping[str, Any], folder: Path) -> None:
    for each in encoded:
        record = records.get(each.sample.id)
        if record is not None and record.get("prompt") != each.fingerprint:
            raise RunError(
                f"{folder} answers another prompt for sample {each.sample.id}: the dataset changed, or the token "
                "that ends an answer; give another folder, or --overwrite"
            )
