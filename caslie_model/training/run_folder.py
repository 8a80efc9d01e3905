"""The output folder of a training before, while and after it runs, so that a run can be resumed or rejected."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from caslie_model.adapters.output_lock import output_lock
from caslie_model.adapters.summary import read_summary
from caslie_model.config.files import (
    CONFIG,
    FUSION_CONFIG,
    FUSION_WEIGHTS,
    PEFT_CONFIG,
    PEFT_WEIGHTS,
    TRAINING,
    adapter_weights,
)
from caslie_model.config.presets import config_yaml, load_config
from caslie_model.config.training import AlignConfig, TrainingConfig
from caslie_model.errors import ModelError, RunError
from caslie_model.prompts.templates import PROMPTS_FOLDER
from caslie_model.runtime.console import say
from mmecinstruct.core.disk_errors import check_can_write, writing_to
from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.output_folder import ALIGN, FINETUNE, check_output, claim_output, is_marked

AnyConfig = TypeVar("AnyConfig", bound=TrainingConfig)
Rest = ParamSpec("Rest")
Result = TypeVar("Result")

CHECKPOINTS = "checkpoints"
FINGERPRINT = "fingerprint.txt"
# Its name in runs that an earlier version started.
_OLD_FINGERPRINT = "identity.txt"
# What `save_pretrained` of a tokenizer writes.
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
# The files of a finished run, settings last: they say that the folder is one of ours.
_WRITTEN = (
    PEFT_WEIGHTS,
    PEFT_CONFIG,
    FUSION_WEIGHTS,
    FUSION_CONFIG,
    *_TOKENIZER_FILES,
    "README.md",
    "loss_curve.png",
    TRAINING,
    CONFIG,
)


def one_run_at_a_time(
    train: Callable[Concatenate[AnyConfig, Rest], Result],
) -> Callable[Concatenate[AnyConfig, Rest], Result]:
    """Return a training that is refused while another process trains into the same folder.

    Args:
        train: Takes its settings first.
    """

    @wraps(train)
    def locked(config: AnyConfig, /, *rest: Rest.args, **named: Rest.kwargs) -> Result:
        check_folder(config)
        with output_lock(config.out):
            return train(config, *rest, **named)

    return locked


def prepare_folder(config: TrainingConfig, resume: bool, overwrite: bool) -> dict[str, Any] | None:
    """Clear the output folder, or keep its files.

    Args:
        config: The settings of the run, with the folder `out`.
        resume: Continue an unfinished run with the same config.
        overwrite: Delete what an earlier run left.

    Returns:
        The content of training.json of a run that is already finished, else None.

    Raises:
        OutputError: If another command made the folder, or nothing can be written there.
        RunError: If the folder holds something else, a run that is neither resumed nor overwritten, or one of another
            config.
    """
    summary = _look_into(config, resume, overwrite)
    if summary is None:
        check_can_write(config.out)
    return summary


def check_folder(config: TrainingConfig) -> None:
    """Check that no other command made the folder `out`, and that it can be one.

    Args:
        config: The settings of the run.

    Raises:
        OutputError: If it is another command's, or cannot be written.
        RunError: If it holds files that no command of ours wrote.
    """
    out = config.out
    check_output(
        out, _command(config), [config.data, *([] if config.init_from is None else [config.init_from])]
    )
    if out.is_dir() and any(out.iterdir()) and not _holds_run(out) and not is_marked(out, _command(config)):
        raise RunError(f"out={out} is not empty and not of caslie_model; give another folder")


def _command(config: TrainingConfig) -> str:
    return ALIGN if isinstance(config, AlignConfig) else FINETUNE


def _holds_run(out: Path) -> bool:
    return (out / CONFIG).is_file() or (out / TRAINING).is_file()


def _look_into(config: TrainingConfig, resume: bool, overwrite: bool) -> dict[str, Any] | None:
    out = config.out
    check_folder(config)
    if not _holds_run(out):
        # A run was stopped while it wrote its first files.
        shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
        if resume:
            say(f"{out} holds no run to resume: training starts from the beginning")
        return None
    if overwrite:
        for name in _WRITTEN:
            (out / name).unlink(missing_ok=True)
        for name in (CHECKPOINTS, PROMPTS_FOLDER):
            shutil.rmtree(out / name, ignore_errors=True)
        return None
    finished = adapter_weights(out) is not None and (out / TRAINING).is_file()
    if not resume:
        state = "a finished adapter" if finished else "an unfinished run"
        remedy = "--overwrite" if finished else "--resume to go on, --overwrite to start again"
        raise RunError(f"out={out} holds {state}; give {remedy}, or another folder")
    before = load_config(type(config), out / CONFIG).model_dump(exclude={"out"})
    now = config.model_dump(exclude={"out"})
    if not finished:
        # It may have moved; `write_run_files` compares its fingerprint.
        before["base_model"] = now["base_model"]
    changed = sorted(key for key in now if now[key] != before[key])
    if changed:
        raise RunError(
            f"--resume: {out} was started with another config ({', '.join(changed)} differ); give the same "
            "one, or --overwrite"
        )
    if not finished:
        if last_checkpoint(out / CHECKPOINTS) is None:
            say(f"{out} has no checkpoint to resume from: training starts from the beginning")
        return None
    try:
        summary = read_summary(out)
    except ModelError as error:
        raise RunError(f"{error}, or start again with --overwrite") from error
    say(f"{out} is already finished")
    return summary


def write_run_files(config: TrainingConfig, templates: tuple[str, str], fingerprint: str) -> None:
    """Write the files that a resumed run is compared with.

    Args:
        config: The settings of the run.
        templates: The user's and the plain prompt template.
        fingerprint: Of the run's inputs (`TrainingInputs.fingerprint`).

    Raises:
        RunError: If samples, prompts or base model changed since the run was started.
    """
    claim_output(config.out, _command(config))
    checkpoints = config.out / CHECKPOINTS
    for name in (FINGERPRINT, _OLD_FINGERPRINT):
        file = checkpoints / name
        if file.is_file() and file.read_text(encoding="utf-8") != fingerprint:
            raise RunError(
                f"--resume: the samples, the prompts or the base model changed since {config.out} was started; "
                "start again with --overwrite"
            )
    with writing_to(config.out):
        (config.out / PROMPTS_FOLDER).mkdir(exist_ok=True)
        for name, source in zip(("user.j2", "plain.j2"), templates, strict=True):
            write_atomically(config.out / PROMPTS_FOLDER / name, source.encode())
        checkpoints.mkdir(exist_ok=True)
        write_atomically(checkpoints / FINGERPRINT, fingerprint.encode())
        write_atomically(config.out / CONFIG, config_yaml(config).encode())


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint, and delete newer ones that a kill left half-written.

    The Trainer writes trainer_state.json last, so a checkpoint without it is not whole.

    Args:
        folder: The folder of checkpoints.

    Returns:
        The checkpoint's folder, None where there is none.
    """
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for path in reversed(found):
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(path)
            continue
        return path
    return None
