"""The base model of an adapter: loaded from where it is now, and checked to be the one that it was trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from caslie_model.adapters.summary import read_summary
from caslie_model.backbones.base_fingerprint import fingerprint_of_read_files, is_without_content
from caslie_model.backbones.language_model import BaseModel, load_base_model
from caslie_model.config.files import TRAINING
from caslie_model.config.training import TrainingConfig
from caslie_model.errors import ModelError
from caslie_model.runtime.console import say
from caslie_model.runtime.device import CPU, Device


def load_base_of(
    folder: Path,
    trained: TrainingConfig,
    device: Device = CPU,
    quantise: str | None = None,
    place: str | None = None,
    any_base: bool = False,
) -> BaseModel:
    """Load the base model of an adapter.

    Args:
        folder: The adapter folder.
        trained: The settings of its training.
        device: Where to load the base model, and in which precision.
        quantise: none, 8bit or 4bit; None: as in training.
        place: Where the base model is now; None: where it was in training.
        any_base: Load another base model than that of the training all the same, with a warning.

    Returns:
        The base model, under its name in training. Another one, or that of an adapter that records no fingerprint,
        under the name of the place.

    Raises:
        ModelError: If the base model cannot be loaded, or is not the one that the adapter was trained on, or the record
            of the training is damaged.
    """
    name = place or trained.base_model
    recorded = recorded_fingerprint(folder)
    try:
        base = load_base_model(name, device, quantise or trained.quantise)
    except ModelError as error:
        if place:
            raise
        raise ModelError(
            f"{error}. {folder} was trained on it: if it is elsewhere now, name the place with --base"
        ) from error
    if recorded is None:
        # Fusion adapters have it in their own config too, which `load_adapter` compares.
        if trained.fusion == "text" or _recorded(folder)[1]:
            say(f"{folder} does not record the fingerprint of its base model: {name} is not checked")
        return base
    if base.fingerprint != recorded and recorded == of_read_files(base.location):
        base = replace(base, fingerprint=recorded)
    if base.fingerprint != recorded:
        difference = (
            f"{folder} was trained on another base model: {trained.base_model} had the fingerprint {recorded[:16]}, "
            f"and {name} has {base.fingerprint[:16]} (weights, tokenizer or chat template differ)"
        )
        if any_base:
            say(f"warning: {difference}: the figures are not those of the trained model")
            return base
        raise ModelError(
            f"{difference}; name a place of the same base model with --base, or train an adapter for this one; "
            "`evaluate --set any_base=true` scores it all the same"
        )
    return replace(base, name=trained.base_model)


def ends_by_eos(folder: Path) -> bool:
    """Return whether an adapter was taught to end answers by the end-of-sequence token, as by earlier versions."""
    return "end_token" not in _summary(folder)


def recorded_fingerprint(folder: Path) -> str | None:
    """Return the fingerprint of the base model that an adapter was trained on; None where it records none of use."""
    name, recorded = _recorded(folder)
    return None if not recorded or is_without_content(recorded, name) else recorded


def _recorded(folder: Path) -> tuple[str, str]:
    summary = _summary(folder)
    # The second name is that of version 0.1.
    recorded = summary.get("base_fingerprint") or summary.get("base_identity") or ""
    return str(summary.get("base_model")), recorded


def _summary(folder: Path) -> dict[str, Any]:
    # An unfinished run has none.
    return read_summary(folder) if (folder / TRAINING).exists() else {}


def of_read_files(location: str) -> str | None:
    """Return the fingerprint that a base model in a folder has on the Hub; None for one that is there already.

    Args:
        location: As `locate` returns it.
    """
    return fingerprint_of_read_files(Path(location)) if Path(location).is_dir() else None
