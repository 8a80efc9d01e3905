"""What stays of the card on the Hub when a new one replaces it: its license, and the figures of the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml

from caslie_model.errors import ModelError
from caslie_model.hub.model_files import CARD
from mmecinstruct.publish.hub_upload import Content, has_same, remote_files

if TYPE_CHECKING:
    from huggingface_hub import CardData, RepoCard

_LICENSE = ("license", "license_name", "license_link")
_FIGURES = "model-index"


@dataclass(frozen=True)
class Kept:
    """Fields of the card that is there, to be kept, and what its publisher should know of them."""

    fields: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_card(content: Content, name: object) -> RepoCard:
    """Return a card in its fields and its text. name: of the file, for errors.

    Raises ModelError when it has no fields: the Hub would refuse it later.
    """
    from huggingface_hub import RepoCard

    text = content if isinstance(content, bytes) else content.read_bytes()
    try:
        # Not ModelCard, which rewrites figures that it reads: those on a card may be anyone's.
        card = RepoCard(text.decode())
    except yaml.YAMLError as error:
        raise ModelError(f"{name}: its head is not valid YAML: {error}") from error
    except (TypeError, ValueError):
        card = None
    if not card or not card.data:
        raise ModelError(f"{name}: a card begins with its fields as YAML between lines of ---")
    return card


def kept_fields(
    repo: str, files: Mapping[str, Content], metadata: CardData, token: str, revision: str | None
) -> Kept:
    """Return what stays of the card on the Hub where the new one, of these fields, says nothing of it.

    The license stays; figures stay where the weights do. A repository without a card has nothing to keep, one that is
    not there neither. Raises what huggingface_hub raises (for `hub_errors`).
    """
    there, place = _there(repo, token, revision)
    if CARD not in there:
        return Kept()
    before = _fields(repo, place, token)
    fields: dict[str, Any] = {}
    notes = []
    if "license" not in metadata and "license" in before:
        fields = {name: before[name] for name in _LICENSE if name in before}
        notes.append(f"the license {before['license']} of its card on the Hub stays; --license names another")
    if _FIGURES not in metadata and _FIGURES in before:
        weights = [path for path in files if path.endswith(".safetensors")]
        if all(has_same(files[path], there.get(path)) for path in weights):
            fields[_FIGURES] = before[_FIGURES]
        else:
            notes.append(
                "the figures of its card on the Hub are of other weights and go; --evaluation gives new ones"
            )
    return Kept(fields, tuple(notes))


def _there(repo: str, token: str, revision: str | None) -> tuple[dict[str, Any], str | None]:
    """Return what a revision holds and its name; a branch that is not there yet will begin as the main one."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        try:
            return remote_files(repo, "model", token, revision), revision
        except RevisionNotFoundError:
            return remote_files(repo, "model", token), None
    except RepositoryNotFoundError:
        return {}, None


def _fields(repo: str, revision: str | None, token: str) -> dict[str, Any]:
    from huggingface_hub import hf_hub_download, metadata_load

    with TemporaryDirectory() as folder:
        path = hf_hub_download(repo, CARD, revision=revision, token=token, local_dir=folder)
        try:
            return metadata_load(path) or {}
        except (yaml.YAMLError, ValueError):
            return {}
