"""A training that is measured on the validation split, and ends when that no longer improves."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from caslie_model.adapters.loading import load_for_evaluation
from caslie_model.batching.labels_and_padding import training_batch
from caslie_model.config.files import adapter_weights
from caslie_model.config.presets import evaluate_config, finetune_config
from caslie_model.config.training import EarlyStopSettings, FinetuneConfig
from caslie_model.data.samples import read_samples
from caslie_model.errors import ConfigError, RunError
from caslie_model.evaluation.evaluate import evaluate
from caslie_model.runtime.device import CPU
from caslie_model.training.early_stopping import BestValidation, EarlyStop
from caslie_model.training.finetune import finetune, select_samples, select_validation
from caslie_model.training.loss_curve import write_loss_curve
from caslie_model.training.run import TrainingResult
from caslie_model.training.run_folder import CHECKPOINTS
from mmecinstruct.core.errors import DatasetError

SA, AP, CC = "sentiment_analysis", "answerability_prediction", "category_classification"
SHORT = (
    "answers=letter",
    "epochs=8",
    "batch_size=4",
    "log_every=1",
    "checkpoint_every=4",
    "device=cpu",
    "lr=0.02",
    "lr_connector=0.02",
    "connector.gate_init=1",
    "early_stop.every=1",
    "early_stop.patience=2",
)
KINDS = {
    "text": ("fusion=text", "gradient_accumulation=2", "batch_size=2"),
    "packed text": ("fusion=text", "packing=true"),
    "xattn": ("fusion=xattn",),
    "packed xattn with LoRA": ("fusion=xattn", "packing=true", "with_lora=true"),
    "concat": ("fusion=concat", "gradient_accumulation=2", "batch_size=2"),
    "xattn in bfloat16": ("fusion=xattn", "precision=bfloat16"),
}


def config(data: Path, out: Path, *overrides: str, tasks: str = "[cc]") -> FinetuneConfig:
    return finetune_config("tiny", [*SHORT, f"tasks={tasks}", *overrides], data=str(data), out=out)


@pytest.fixture(scope="module")
def stopped(contrary: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TrainingResult]:
    """Return the uninterrupted run of a kind, trained when it is first asked for."""
    done: dict[str, TrainingResult] = {}

    def run(kind: str) -> TrainingResult:
        if kind not in done:
            out = tmp_path_factory.mktemp("stopped") / "adapter"
            done[kind] = finetune(config(contrary, out, *KINDS[kind]))
        return done[kind]

    return run


def early_stop_of(folder: Path, data: Path, task: str = CC) -> tuple[EarlyStop, Any]:
    """Return the measure of an adapter folder, and the adapter's model (of text)."""
    loaded = load_for_evaluation(evaluate_config(model=str(folder), data=str(data), out="o", device="cpu"))
    encoded = loaded.prompt_format.encode_all(read_samples(str(data), task, "validation"))
    settings = EarlyStopSettings()
    return EarlyStop(settings, encoded, loaded.prompt_format, folder, 4, CPU), loaded.model


def weights_of(result: TrainingResult) -> dict[str, torch.Tensor]:
    return load_file(adapter_weights(result.folder))


def assert_equal_runs(one: TrainingResult, other: TrainingResult) -> None:
    for name in ("early_stop", "ended_by", "steps", "tokens", "samples_seen"):
        assert other.summary[name] == one.summary[name], name
    assert [e["loss"] for e in other.summary["log"]] == [e["loss"] for e in one.summary["log"]]
    weights, others = weights_of(one), weights_of(other)
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


@pytest.mark.parametrize(
    "kind",
    [kind if kind in ("text", "xattn") else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS],
)
def test_a_run_whose_validation_loss_rises_is_stopped(
    kind: str, stopped: Callable[[str], TrainingResult]
) -> None:
    result = stopped(kind)
    summary = json.loads((result.folder / "training.json").read_text())
    record = summary["early_stop"]
    losses = [entry["loss"] for entry in record["evaluations"]]
    assert summary["ended_by"] == "early_stop"
    assert [entry["step"] for entry in record["evaluations"]] == list(range(1, summary["steps"] + 1))
    assert record["best"] == min(losses) == losses[record["best_step"] - 1]
    assert summary["steps"] == record["best_step"] + 2 < 32
    assert len(summary["log"]) == summary["steps"]
    assert summary["samples_seen"] <= 4 * summary["steps"]
    assert not (result.folder / CHECKPOINTS).exists()
    assert f"those of step {record['best_step']}, the best of" in (result.folder / "README.md").read_text()


def test_the_weights_that_are_saved_are_those_of_the_best_step(
    stopped: Callable[[str], TrainingResult], contrary: Path, tmp_path: Path
) -> None:
    result = stopped("text")
    record = result.summary["early_stop"]
    measure, model = early_stop_of(result.folder, contrary)
    assert measure.measure(model) == pytest.approx(record["best"], rel=1e-3)
    assert record["evaluations"][-1]["loss"] > 1.02 * record["best"]
    # The measured loss is the training loss, without dropout.
    with torch.inference_mode():
        batch = training_batch(measure.encoded, padding=0)
        loss = model(**batch, logits_to_keep=batch["labels"].shape[1]).loss
    assert float(loss) == pytest.approx(record["best"], rel=1e-3)


def test_measuring_does_not_change_the_training(
    stopped: Callable[[str], TrainingResult], contrary: Path, tmp_path: Path
) -> None:
    """With dropout, whose random numbers must not be used up."""
    measured = stopped("text").summary
    plain = finetune(config(contrary, tmp_path / "a", *KINDS["text"], "early_stop=null")).summary
    assert "early_stop" not in plain
    assert plain["ended_by"] == "epochs"
    losses = [entry["loss"] for entry in measured["log"]]
    assert [entry["loss"] for entry in plain["log"]][: len(losses)] == losses


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_stop(
    stopped: Callable[[str], TrainingResult],
    contrary: Path,
    tmp_path: Path,
    train_until_killed: Callable[[FinetuneConfig], None],
) -> None:
    out = tmp_path / "adapter"
    train_until_killed(config(contrary, out, *KINDS["text"]))
    again = finetune(config(contrary, out, *KINDS["text"]), resume=True)
    assert again.summary["resumed_at_step"] == 4
    assert_equal_runs(stopped("text"), again)


@pytest.mark.parametrize(
    "kind",
    [
        kind if kind == "xattn" else pytest.param(kind, marks=pytest.mark.slow)
        for kind in ("text", "xattn", "packed xattn with LoRA", "concat")
    ],
)
@pytest.mark.parametrize("after_the_best", [0, 1])
def test_a_run_killed_between_checkpoints_stops_at_the_same_step(
    kind: str,
    after_the_best: int,
    stopped: Callable[[str], TrainingResult],
    contrary: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cut off when better weights than the last checkpoint knows of were just written, or one step later."""
    whole = stopped(kind)
    keep = EarlyStop.keep
    last = whole.summary["early_stop"]["best_step"] + after_the_best

    def power_cut(self: EarlyStop, model: Any, log: Any) -> None:
        keep(self, model, log)
        if log[-1]["step"] == last:
            raise KeyboardInterrupt

    asked = config(contrary, tmp_path / "a", *KINDS[kind], "checkpoint_every=3")
    with monkeypatch.context() as patch:
        patch.setattr(EarlyStop, "keep", power_cut)
        with pytest.raises(KeyboardInterrupt):
            finetune(asked)
    again = finetune(asked, resume=True)
    assert again.summary["resumed_at_step"] == (last - 1) // 3 * 3
    assert_equal_runs(whole, again)


def test_a_run_cut_off_after_its_stop_trains_no_step_more(
    stopped: Callable[[str], TrainingResult], contrary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def power_cut(*_: Any) -> None:
        raise KeyboardInterrupt

    asked = config(contrary, tmp_path / "a", *KINDS["xattn"])
    with monkeypatch.context() as patch:
        patch.setattr("caslie_model.training.run.write_loss_curve", power_cut)
        with pytest.raises(KeyboardInterrupt):
            finetune(asked)
    again = finetune(asked, resume=True)
    assert again.summary["resumed_at_step"] == again.summary["steps"]
    assert_equal_runs(stopped("xattn"), again)


def test_lost_best_weights_are_an_error(
    contrary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = EarlyStop.keep
    monkeypatch.setattr(EarlyStop, "keep", lambda self, *a: keep(self, *a) or self._file(1).write_text(""))
    with pytest.raises(RunError, match=r"best weights .*best-1.safetensors cannot be read.*--overwrite"):
        finetune(config(contrary, tmp_path / "a", "fusion=text", "epochs=0.25"))


def test_a_run_to_its_end_also_returns_to_its_best_step(contrary: Path, tmp_path: Path) -> None:
    """Its last step is measured for any `every`."""
    settings = ("fusion=text", "early_stop.every=6", "early_stop.patience=9", "epochs=4")
    summary = finetune(config(contrary, tmp_path / "a", *settings)).summary
    record = summary["early_stop"]
    assert (summary["ended_by"], summary["steps"], record["stopped"]) == ("epochs", 16, False)
    assert [entry["step"] for entry in record["evaluations"]] == [6, 12, 16]
    assert record["best_step"] < 16
    measure, model = early_stop_of(tmp_path / "a", contrary)
    assert measure.measure(model) == pytest.approx(record["best"], rel=1e-3)


@pytest.mark.parametrize("fusion", ["text", pytest.param("xattn", marks=pytest.mark.slow)])
def test_the_score_is_the_mean_of_the_tasks_primary_metrics(
    fusion: str,
    row: Callable[..., dict[str, Any]],
    image_row: Callable[..., dict[str, Any]],
    write_rows: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """As `evaluate` has it: F1 of AP, macro F1 of SA, recall@1 of CC."""
    rows = [
        make(number + offset, task, split)
        for split, count, offset in (("train", 12, 0), ("validation", 8, 100))
        for task, make in ((AP, row), (SA, row), (CC, image_row))
        for number in range(count)
    ]
    data = write_rows(tmp_path / "data", rows)
    settings = (f"fusion={fusion}", "epochs=2", "early_stop.metric=score", "early_stop.every=4")
    summary = finetune(
        config(data, tmp_path / "a", *settings, "early_stop.patience=9", tasks="[ap, sa, cc]")
    ).summary
    record = summary["early_stop"]
    assert record["samples"] == 24
    assert record["best"] == max(entry["score"] for entry in record["evaluations"])
    assert record["best_step"] == next(
        e["step"] for e in record["evaluations"] if e["score"] == record["best"]
    )
    metrics = evaluate(
        evaluate_config(
            model=str(tmp_path / "a"),
            data=str(data),
            out=tmp_path / "e",
            splits=("validation",),
            scoring="likelihood",
            device="cpu",
        )
    ).metrics
    scores = [each["primary"] for each in metrics["results"] if each["part"] == "all"]
    assert len(scores) == 3
    assert record["best"] == pytest.approx(sum(scores) / 3)


def test_trackers_get_the_logs(contrary: Path, tmp_path: Path) -> None:
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    settings = ("fusion=text", "epochs=1", "report_to=[tensorboard]", "early_stop.patience=9")
    record = finetune(config(contrary, tmp_path / "a", *settings)).summary["early_stop"]
    events = reading.EventAccumulator(str(tmp_path / "a" / "tensorboard"))
    events.Reload()
    logged = [(event.step, event.value) for event in events.Scalars("eval/loss")]
    assert logged == [(e["step"], pytest.approx(e["loss"], rel=1e-5)) for e in record["evaluations"]]


def standing(metric: str, *figures: float) -> BestValidation | None:
    log: list[dict[str, Any]] = [{"loss": 1.0, "step": 1}]
    log += [{f"eval_{metric}": figure, "step": 10 * n} for n, figure in enumerate(figures, start=1)]
    settings = EarlyStopSettings(metric=metric, patience=2)
    measure = EarlyStop(settings, (), None, Path(), 1, CPU)
    best = measure.best(log)
    assert measure.is_over(log) == (best is not None and best.waited >= 2)
    return best


def test_a_lower_loss_and_a_higher_score_are_better() -> None:
    assert standing("loss") is None
    assert standing("loss", 3.0, 2.0, 2.5) == BestValidation(20, 2.0, 1)
    assert standing("score", 0.3, 0.2, 0.5) == BestValidation(30, 0.5, 0)


def test_the_first_of_equal_figures_is_the_best() -> None:
    assert standing("score", 0.5, 0.5, 0.5) == BestValidation(10, 0.5, 2)


def test_a_diverged_run_is_no_improvement() -> None:
    assert standing("loss", 2.0, math.nan, math.inf) == BestValidation(10, 2.0, 2)
    assert standing("loss", math.nan, 2.0) == BestValidation(20, 2.0, 0)


def test_samples_are_of_each_task_alike_as_far_as_there_are(
    row: Callable[..., dict[str, Any]], write_rows: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [row(n, task, "train") for task in (AP, SA, CC) for n in range(4)]
    rows += [row(n + 100, task, "validation") for task, count in ((AP, 2), (SA, 9)) for n in range(count)]
    data = write_rows(tmp_path / "data", rows)

    def chosen(samples: int) -> list[Any]:
        asked = config(data, tmp_path / "o", f"early_stop.samples={samples}", tasks="[ap, sa, cc]")
        return select_validation(asked, select_samples(asked))

    for samples, of_each in ((3, (2, 1)), (4, (2, 2)), (8, (2, 6)), (100, (2, 9))):
        found = [each.task for each in chosen(samples)]
        assert (found.count(AP), found.count(SA)) == of_each
    assert {each.id for each in chosen(4)} < {each.id for each in chosen(7)}
    assert all(each.split == "validation" for each in chosen(100))
    with pytest.raises(ConfigError, match=r"early_stop\.samples=2 is less than one for each of 3 tasks"):
        chosen(2)


def test_a_missing_validation_split_fails_before_writing(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"early_stop: .* has no validation samples of sentiment_analysis"):
        finetune(config(dataset, tmp_path / "a", tasks="[sa]"))
    assert not (tmp_path / "a").exists()


def test_the_validation_split_is_not_trained_on() -> None:
    with pytest.raises(ConfigError, match="early_stop uses the validation split: train on another one"):
        finetune_config("tiny", ["early_stop.every=5", "split=validation"], data="d", out="o")


@pytest.mark.parametrize("metric", ["loss", "score"])
@pytest.mark.parametrize("gates", [{}, {"gate_1": 0.3}])
def test_validations_are_in_the_loss_curve(metric: str, gates: dict[str, float], tmp_path: Path) -> None:
    from PIL import Image

    log = [{"step": n, "loss": 2.0 / n, "learning_rate": 1e-3, **gates} for n in range(1, 9)]
    record = {
        "metric": metric,
        "best_step": 4,
        "evaluations": [{"step": n, metric: 0.5 + 0.05 * abs(n - 4)} for n in (2, 4, 6)],
    }
    write_loss_curve(log, tmp_path / "with.png", record)
    write_loss_curve(log, tmp_path / "without.png")
    logged, plain = (Image.open(tmp_path / f"{name}.png").convert("RGB") for name in ("with", "without"))
    shown, without_line = (
        {colour for _, colour in image.getcolors(2**20) or ()} for image in (logged, plain)
    )
    orange = (255, 127, 14)
    assert orange in shown
    assert orange not in without_line
    assert (logged.height > plain.height) == (metric == "score")
