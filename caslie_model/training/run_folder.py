"""The output folder of a training before, while and after it runs, so that a run can be resumed or rejected."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

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
from caslie_model.config.training import TrainingConfig
from caslie_model.errors import RunError
from caslie_model.hub.model_files import TOKENIZER_FILES
from caslie_model.prompts.templates import PROMPTS_FOLDER
from caslie_model.runtime.console import say
from mmecinstruct.core.files import write_atomically

CHECKPOINTS = "checkpoints"
FINGERPRINT = "fingerprint.txt"
# Its name in runs that an earlier version started.
_OLD_FINGERPRINT = "identity.txt"
# The files of a finished run, settings last: they say that the folder is one of ours.
_WRITTEN = (
    PEFT_WEIGHTS,
    PEFT_CONFIG,
    FUSION_WEIGHTS,
    FUSION_CONFIG,
    *TOKENIZER_FILES,
    "README.md",
    "loss_curve.png",
    TRAINING,
    CONFIG,
)


def prepare_folder(config: TrainingConfig, resume: bool, overwrite: bool) -> dict[str, Any] | None:
    """Clear the output folder, or keep its files.

    Args:
        config: The settings of the run, with the folder `out`.
        resume: Continue an unfinished run with the same config.
        overwrite: Delete what an earlier run left.

    Returns:
        The content of training.json of a run that is already finished, else None.

    Raises:
        RunError: If the folder holds something else, a run that is neither resumed nor overwritten, or one of another
            config.
    """
    out = config.out
    if out.is_file():
        raise RunError(f"--out {out} is a file")
    if not out.is_dir() or not any(out.iterdir()):
        return None
    if not (out / CONFIG).is_file() and not (out / TRAINING).is_file():
        raise RunError(f"--out {out} is not empty and not of caslie_model; give another folder")
    if overwrite:
        for name in _WRITTEN:
            for path in out.glob(name):
                path.unlink()
        for name in (CHECKPOINTS, PROMPTS_FOLDER):
            shutil.rmtree(out / name, ignore_errors=True)
        return None
    finished = adapter_weights(out) is not None and (out / TRAINING).is_file()
    if not resume:
        state = "a finished adapter" if finished else "an unfinished run"
        remedy = "--overwrite" if finished else "--resume to go on, --overwrite to start again"
        raise RunError(f"--out {out} holds {state}; give {remedy}, or another folder")
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
        return None
    say(f"{out} is already finished")
    summary: dict[str, Any] = json.loads((out / TRAINING).read_text(encoding="utf-8"))
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
    config.out.mkdir(parents=True, exist_ok=True)
    checkpoints = config.out / CHECKPOINTS
    for name in (FINGERPRINT, _OLD_FINGERPRINT):
        file = checkpoints / name
        if file.is_file() and file.read_text(encoding="utf-8") != fingerprint:
            raise RunError(
                f"--resume: the samples, the prompts or the base model changed since {config.out} was started; "
                "start again with --overwrite"
            )
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
