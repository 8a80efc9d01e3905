"""Publish an adapter folder, or a merged model, on the Hugging Face Hub, with its card.

Files are chosen by name: no checkpoint and no log is uploaded. Paths of this machine are replaced by names in what is
uploaded; the folder itself stays as it is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from caslie_model.adapters.summary import read_summary
from caslie_model.config.files import (
    CONFIG,
    MODEL_CONFIG,
    PEFT_CONFIG,
    TRAINING,
    adapter_weights,
)
from caslie_model.config.presets import config_yaml, load_config
from caslie_model.config.training import AlignConfig, FinetuneConfig, TrainingConfig
from caslie_model.errors import ConfigError, ModelError
from caslie_model.hub.model_files import ADAPTER_FILES, CARD, chosen_files, is_weights
from caslie_model.hub.public_names import hub_id, known_names, public_config, public_name
from caslie_model.publishing.hub_card import kept_fields, read_card
from caslie_model.publishing.model_index import eval_results, model_index, read_figures
from mmecinstruct.publish.hub_upload import (
    Content,
    PushResult,
    check_repo_name,
    hub_errors,
    hub_token,
    sizes,
    upload,
)
from mmecinstruct.version import __version__

_NO_LICENSE = "the card names no license; give one with --license, e.g. --license apache-2.0"


@dataclass(frozen=True)
class ModelPush:
    """Files that were or would be uploaded.

    Attributes:
        result: Files, repository and commit.
        notes: Messages for the publisher.
    """

    result: PushResult
    notes: tuple[str, ...]


def push_model(
    folder: Path,
    repo: str,
    *,
    private: bool = False,
    dry_run: bool = False,
    token: str | None = None,
    revision: str | None = None,
    message: str | None = None,
    license: str | None = None,
    evaluation: Path | None = None,
    with_model_index: bool = False,
) -> ModelPush:
    """Upload an adapter folder or a merged model folder to a model repository.

    Weights that an earlier push left and this one does not bring are removed (`is_weights`). Where no license is given,
    that of the card on the Hub stays.

    Args:
        folder: An adapter folder or a merged model.
        repo: The model repository, as user/name, created if need be.
        private: Create it as a private one.
        dry_run: List what would be uploaded, without a connection.
        token: Default: HF_TOKEN or that of `hf auth login`.
        revision: A branch, created if need be; default: main.
        message: Commit message.
        license: An identifier of the Hub (apache-2.0), for the card.
        evaluation: A folder of `evaluate` whose figures go to the Hub, as `.eval_results/*.yaml`.
        with_model_index: Write the figures into the card's model-index as well.

    Returns:
        The uploaded files, and notes for the publisher.

    Raises:
        ModelError: If the folder is not finished or not whole, or the evaluation does not fit (`read_figures`).
        HubError: If the name is wrong, or the Hub rejects the upload.
    """
    check_repo_name(repo)
    files, notes = model_files(folder)
    card = read_card(files[CARD], folder / CARD)
    if license:
        card.data["license"] = license
    if with_model_index and not evaluation:
        raise ModelError("model-index: there are no figures; give --evaluation with a folder of `evaluate`")
    if evaluation:
        figures = read_figures(
            folder, None if (folder / MODEL_CONFIG).is_file() else _any_config(folder), evaluation
        )
        results = eval_results(figures)
        files |= results
        if with_model_index:
            from huggingface_hub.repocard_data import eval_results_to_model_index

            index = eval_results_to_model_index(repo.partition("/")[2], model_index(figures))
            card.data["model-index"] = index
        elif not results:
            notes.append(
                f"the figures are not published: {figures.data} is a folder of this machine, and the Hub shows figures "
                "of datasets on it; push the dataset and evaluate again into the same folder with --data user/name, or "
                "give --model-index for the card"
            )
    if license or with_model_index:
        files[CARD] = str(card).encode()
    if dry_run:
        if "license" not in card.data:
            notes.append(_NO_LICENSE)
        return ModelPush(PushResult(repo, private, True, sizes(files)), tuple(notes))
    secret = hub_token(token)
    with hub_errors(repo, secret):
        kept = kept_fields(repo, files, card.data, secret, revision)
        if kept.fields:
            for name, value in kept.fields.items():
                card.data[name] = value
            files[CARD] = str(card).encode()
        notes += kept.notes if "license" in card.data else (*kept.notes, _NO_LICENSE)
        description = f"Made with caslie_model {__version__}"
        title = message or f"Release {folder.resolve().name}"
        result = upload(
            files,
            repo,
            "model",
            private,
            secret,
            title,
            revision,
            description,
            is_stale=lambda path: is_weights(path) or path in kept.stale,
        )
    return ModelPush(result, tuple(notes))


def model_files(folder: Path) -> tuple[dict[str, Content], list[str]]:
    """Return the files of a folder that are published, and notes for the publisher.

    Args:
        folder: An adapter folder or a merged model.

    Returns:
        Path or content by path in the repository, and the notes.

    Raises:
        ModelError: If it is no finished adapter folder and no whole model folder.
    """
    if not (folder / MODEL_CONFIG).is_file():
        if (folder / CONFIG).is_file():
            return _adapter_files(folder)
        raise ModelError(
            f"{folder} is no adapter folder (no {CONFIG}) and no model folder (no {MODEL_CONFIG})"
        )
    files = chosen_files(folder)
    if not any(path.endswith(".safetensors") for path in files):
        raise ModelError(f"{folder} holds no weights (*.safetensors)")
    if CARD not in files:
        raise ModelError(f"{folder} has no card ({CARD}): write one, or merge again, which writes it")
    return files, []


def _adapter_files(folder: Path) -> tuple[dict[str, Content], list[str]]:
    missing = [name for name in (TRAINING, CARD) if not (folder / name).is_file()]
    if adapter_weights(folder) is None:
        missing.insert(0, "the weights")
    if missing:
        raise ModelError(
            f"{folder} is not finished ({', '.join(missing)} missing); finish it with `finetune --resume`"
        )
    config = _any_config(folder)
    folders = read_summary(folder).get("folders")
    known = known_names(config, folders)
    is_text = config.fusion == "text"
    if is_text:
        # A path, so that peft finds it here; others need the name.
        known[_base_of_peft(folder / PEFT_CONFIG)] = public_name(config.base_model, known)
    files = chosen_files(folder, ADAPTER_FILES, known)
    files[CONFIG] = config_yaml(public_config(config, folders)).encode()
    needed = {"base model": config.base_model}
    if config.vision is not None and not is_text:
        needed["vision encoder"] = config.vision.encoder
    notes = [
        f"its {what} {public_name(name, known)} is a folder of this machine: others cannot load the adapter without it"
        for what, name in needed.items()
        if not name.startswith(("package:", "random:")) and hub_id(name, known) is None
    ]
    if is_text and config.base_model.startswith("package:"):
        notes.append(
            f"its base model comes in a Python package ({config.base_model}), from which peft and transformers do not "
            "load: `caslie_model evaluate` does; for others push the whole model that `caslie_model merge` writes"
        )
    return files, notes


def _base_of_peft(file: Path) -> str:
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["base_model_name_or_path"])
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise ModelError(f"{file} is damaged ({error}); copy it from where the adapter was") from error


def _any_config(folder: Path) -> TrainingConfig:
    try:
        return load_config(FinetuneConfig, folder / CONFIG)
    except ConfigError as error:
        try:
            return load_config(AlignConfig, folder / CONFIG)
        except ConfigError:
            raise error from None
