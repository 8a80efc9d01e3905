"""Evaluation: predict missing answers, then score every task and split.

Files in the output folder: `predictions.jsonl` with its header, `metrics.json`, `metrics.md`, `config.yaml`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caslie_model.config.evaluation import EvaluateConfig
from caslie_model.config.files import CONFIG
from caslie_model.config.presets import config_yaml
from caslie_model.errors import ConfigError
from caslie_model.evaluation.harness_files import write_harness_files
from caslie_model.evaluation.lenient import add_lenient
from caslie_model.evaluation.metrics import Bootstrap
from caslie_model.evaluation.records import PUBLISHED, is_not_finite
from caslie_model.evaluation.saved_predictions import read_predictions, write_predictions
from caslie_model.evaluation.score import majority_labels, score
from caslie_model.evaluation.tables import metrics_markdown
from caslie_model.hub.public_names import public_name
from caslie_model.inference.prediction_log import PREDICTIONS
from caslie_model.inference.run import METRICS, Answers, answer_samples
from caslie_model.inference.select_samples import select_samples
from caslie_model.runtime.console import say
from caslie_model.runtime.disk_errors import explained_disk_errors
from caslie_model.runtime.processes import first_decides
from mmecinstruct.core.disk_errors import check_can_write
from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.output_folder import EVALUATE, check_output, claim_output

if TYPE_CHECKING:
    import pandas as pd

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
    if config.write_batch is not None:
        raise ConfigError("write_batch asks nothing, so there is nothing to score: give it to `predict`")
    check_folder(config)
    if config.predictions is not None:
        answers = _saved_answers(config, config.predictions, overwrite)
    else:
        answers = answer_samples(config, overwrite, EVALUATE)
    return EvaluationResult(config.out, first_decides(lambda: _score(config, answers)))


def _saved_answers(config: EvaluateConfig, file: Path, overwrite: bool) -> Answers:
    """Return the predictions of a file, or of a folder that has such a file, kept in the folder of this evaluation."""
    check_can_write(config.out)
    # Nothing is asked: no prompt shows a caption.
    samples = select_samples(config.model_copy(update={"captions": "none"})).samples
    file = file / PREDICTIONS if file.is_dir() else file
    saved = read_predictions(file, samples, config.answers or "letter", config.instruction)
    claim_output(config.out, EVALUATE)
    with explained_disk_errors(config.out, "then run the same again"):
        write_predictions(config.out, file, saved, overwrite)
    return Answers(config.out, samples, saved.records, saved.provenance, len(samples), shortened=0)


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


def _score(config: EvaluateConfig, answers: Answers) -> dict[str, Any]:
    """Score the answers and write all files but the predictions; returns the content of metrics.json."""
    published = {name: record for (name, variant), record in answers.records.items() if variant == PUBLISHED}
    not_finite = sum(map(is_not_finite, published.values()))
    if not_finite:
        say(
            f"{not_finite} of {len(answers.samples)} samples have scores that are no finite numbers: they count "
            "as wrong. Did the training diverge? Else give precision=float32"
        )
    metrics: dict[str, Any] = {
        "model": config.model,
        "base_only": config.base_only,
        "data": config.data,
        # A path means nothing to others.
        "public_data": public_name(config.data),
        "provenance": answers.provenance,
        "samples_shortened": answers.shortened,
        **score(
            answers.samples,
            answers.records,
            majority_labels(config.data, answers.samples),
            Bootstrap(config.bootstrap_resamples, config.seed),
        ),
    }
    if config.lenient:
        add_lenient(metrics["results"], answers.samples, published)
    with explained_disk_errors(config.out, "then run the same again: what was answered is kept"):
        if "lm-eval" in config.export:
            write_harness_files(config, metrics, answers.samples, published)
        for name, text in (
            (METRICS, json.dumps(metrics, indent=1, ensure_ascii=False, allow_nan=False) + "\n"),
            (METRICS_TEXT, metrics_markdown(metrics)),
            (CONFIG, config_yaml(config)),
        ):
            write_atomically(config.out / name, text.encode())
    return metrics
