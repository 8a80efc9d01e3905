"""`caslie_model predict`: ask a model every sample of a dataset, in one or several processes.

Files in the output folder: `predictions.jsonl` with its header, and `config.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caslie_model.adapters.captions import with_captions_of_training
from caslie_model.config.evaluation import PredictConfig
from caslie_model.config.files import CONFIG
from caslie_model.config.presets import config_yaml
from caslie_model.data.captions import with_captions
from caslie_model.data.samples import Sample
from caslie_model.errors import ConfigError, RunError
from caslie_model.inference.answer_questions import (
    append_answers,
    check_answered,
    longest_first,
    money_kept,
    record_of,
)
from caslie_model.inference.open_predictor import open_predictor
from caslie_model.inference.prediction_log import (
    PREDICTIONS,
    Key,
    PredictionFile,
    keep_data,
    open_part,
    open_predictions,
    read_records,
)
from caslie_model.inference.questions import Predictor, Prepared, Shot
from caslie_model.inference.select_samples import Selection, select_samples
from caslie_model.inference.shots import choose_shots
from caslie_model.inference.variants import choose_other_images, make_questions
from caslie_model.runtime.console import say
from caslie_model.runtime.disk_errors import explained_disk_errors
from caslie_model.runtime.processes import (
    first_decides,
    is_first_process,
    join_processes,
    process_count,
    process_number,
    wait_for_all,
)
from mmecinstruct.core.disk_errors import check_can_write
from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.output_folder import PREDICT, check_output, claim_output

METRICS = "metrics.json"


@dataclass(frozen=True)
class Answers:
    """What a run answered.

    Attributes:
        folder: Where the predictions are.
        samples: The samples of the run, as published.
        records: Predictions by sample id and variant, of this run's questions only.
        provenance: All that the answers depend on.
        questions: How many questions the samples make.
        shortened: How many samples were shortened to fit, as they are published.
    """

    folder: Path
    samples: tuple[Sample, ...]
    records: Mapping[Key, dict[str, Any]]
    provenance: Mapping[str, Any]
    questions: int
    shortened: int

    @property
    def file(self) -> Path:
        """The file of the predictions, a JSON object in each line."""
        return self.folder / PREDICTIONS

    @property
    def missing(self) -> int:
        """How many questions got no answer; running the same again asks them."""
        return self.questions - len(self.records)


def predict(config: PredictConfig, overwrite: bool = False) -> Answers:
    """Ask what is not answered yet; earlier predictions of the same run are kept.

    Args:
        config: The settings.
        overwrite: Delete earlier predictions.

    Returns:
        The predictions.

    Raises:
        MmecError: If data, model or folder do not allow it; the message has the remedy.
    """
    check_folder(config)
    answers = answer_samples(config, overwrite, PREDICT)
    # Beside metrics stand the settings that they were computed with.
    if is_first_process() and not (config.out / METRICS).is_file():
        write_atomically(config.out / CONFIG, config_yaml(config).encode())
    return answers


def check_folder(config: PredictConfig) -> None:
    """Check that no other command made the folder `out`, and that it can be one.

    Args:
        config: The settings.

    Raises:
        OutputError: If it is another command's, lies inside model or dataset, or has another `config.yaml`.
    """
    check_output(config.out, PREDICT, [config.model, config.data], writes=(CONFIG,))


def answer_samples(config: PredictConfig, overwrite: bool, command: str) -> Answers:
    """Ask what is not answered yet. The folder has been checked.

    Args:
        config: The settings.
        overwrite: Delete earlier predictions.
        command: The command that makes the folder.

    Returns:
        The predictions, the same in every process.

    Raises:
        MmecError: If data, model or folder do not allow it; the message has the remedy.
    """
    check_can_write(config.out)
    if config.asks_server and process_count() > 1:
        raise ConfigError(
            f"a server is asked by one process, not by {process_count()}; `concurrency` says how many requests it gets "
            "at a time"
        )
    join_processes(config.device)
    config = with_captions_of_training(config)
    selection = select_samples(config)
    samples = selection.samples
    shots = _shots(config, samples)
    others = choose_other_images(config, selection.whole, samples)
    lenders = {other.sample for chosen in others.values() for other in chosen}
    shown = {
        sample.id: sample
        for sample in (
            *samples,
            *(sample for sample in selection.whole if sample.id in lenders),
            *(shot for chosen in shots.values() for shot in chosen),
        )
    }
    with (
        explained_disk_errors(config.out, "then run the same again: what was answered is kept"),
        open_predictor(config, tuple(shown.values())) as opened,
    ):
        images = opened.images
        of_shots = {} if config.images == "none" else images or {}
        questions = make_questions(
            config,
            samples,
            images,
            {
                name: tuple(Shot(shot, of_shots.get(shot.id, ())) for shot in chosen)
                for name, chosen in shots.items()
            },
            others,
        )
        prepared = opened.predictor.prepare(questions)
        provenance = {**opened.predictor.provenance, **_asking(config)}
        first_decides(lambda: claim_output(config.out, command))
        _answer_missing(config, opened.predictor, prepared, selection, provenance, overwrite)
        there = read_records(config.out)
    keys = [question.key for question in questions]
    answers = Answers(
        config.out,
        samples,
        {key: there[key] for key in keys if key in there},
        provenance,
        len(keys),
        sum(each.shortened for each in prepared if not each.question.variant),
    )
    if answers.missing and config.write_batch is None:
        say(
            f"{answers.missing} of {answers.questions} questions have no answer; run the same again to ask these"
        )
    return answers


def _shots(config: PredictConfig, samples: Sequence[Sample]) -> Mapping[str, tuple[Sample, ...]]:
    """Return the demonstrations of each sample, with captions where images are shown at all."""
    shots = choose_shots(config.data, samples, config.shots, config.seed)
    if not shots or config.shown_captions is None or config.images == "none":
        return shots
    distinct = {shot.id: shot for chosen in shots.values() for shot in chosen}
    captioned = with_captions(distinct.values(), config.data, config.shown_captions, config.captions_from)
    by_id = {shot.id: shot for shot in captioned}
    return {name: tuple(by_id[shot.id] for shot in chosen) for name, chosen in shots.items()}


def _asking(config: PredictConfig) -> dict[str, Any]:
    """Return the settings of asking that change answers whatever the model; defaults that came later are left out."""
    return {
        "scoring": config.scoring,
        "length_normalised": config.length_normalised,
        "instruction": "unseen" if config.instruction == "unseen" else "seen",
        **({"images": config.images} if config.images != "own" else {}),
        **({"captions": config.shown_captions} if config.shown_captions else {}),
        **({"shots": config.shots} if config.shots else {}),
    }


def _answer_missing(
    config: PredictConfig,
    predictor: Predictor,
    prepared: Sequence[Prepared],
    selection: Selection,
    provenance: Mapping[str, Any],
    overwrite: bool,
) -> None:
    """Ask this process's part of what is not answered yet; the first process takes over the parts of the others."""
    published = {sample.id: sample for sample in selection.samples}
    with ExitStack() as stack:
        files: list[PredictionFile] = []

        def open_first() -> set[Key]:
            opened = open_predictions(config.out, provenance, overwrite, selection.fingerprints)
            files.append(stack.enter_context(opened))
            check_answered(prepared, published, files[0])
            keep_data(config.out, selection.fingerprints)
            return set(files[0].records)

        answered = first_decides(open_first)
        missing = longest_first(each for each in prepared if each.question.key not in answered)
        in_questions = f" in {len(prepared)} questions" if len(prepared) > len(published) else ""
        say(
            f"{len(published)} samples{in_questions}, {len(prepared) - len(missing)} answered already, "
            f"{sum(each.shortened for each in prepared)} shortened to fit"
            + (f"; {process_count()} processes" if process_count() > 1 else "")
        )
        own = missing[process_number() :: process_count()]
        with ExitStack() as part:
            if not files:
                files.append(part.enter_context(open_part(config.out, process_number())))
            part.enter_context(money_kept(predictor, files[0]))
            append_answers(
                files[0],
                (
                    [record_of(each, answer, published[each.question.sample.id]) for each, answer in group]
                    for group in predictor.answer(own)
                ),
                len(own),
            )
        wait_for_all()
        if is_first_process():
            files[0].take_parts()
        # Others read the file only when it is whole.
        wait_for_all()
        if not (config.out / PREDICTIONS).is_file():
            raise RunError(
                f"{config.out / PREDICTIONS} is not there, where the first process wrote it: give `out` a folder that "
                "all processes share"
            )
