"""Fields of the card on the Hub that a new card keeps: its license, and the figures of the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml

from caslie_model.errors import ModelError
from caslie_model.hub.model_files import CARD
from caslie_model.publishing.model_index import RESULTS_FOLDER
from mmecinstruct.publish.hub_upload import Content, has_same, remote_files

if TYPE_CHECKING:
    from huggingface_hub import CardData, RepoCard

_LICENSE = ("license", "license_name", "license_link")
_FIGURES = "model-index"
_FIGURES_GO = "the figures of {} on the Hub are of other weights and go; --evaluation gives new ones"


@dataclass(frozen=True)
class Kept:
    """Fields that are kept from the card on the Hub.

    Attributes:
        fields: Values by name.
        notes: Messages for the publisher.
        stale: Files of figures on the Hub that are of other weights.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    stale: frozenset[str] = frozenset()


def read_card(content: Content, name: object) -> RepoCard:
    """Return a card with its fields and its text.

    Args:
        content: The card, or its path.
        name: Of the file, for errors.

    Returns:
        The card.

    Raises:
        ModelError: If it has no fields: the Hub would reject it later.
    """
    from huggingface_hub import RepoCard

    text = content if isinstance(content, bytes) else content.read_bytes()
    try:
        # Not ModelCard, which rewrites figures that it reads: those on a card may be anyone's.
        card = RepoCard(text.decode())
    except (yaml.YAMLError, RecursionError) as error:
        raise ModelError(f"{name}: its head is not valid YAML: {error}") from error
    except (TypeError, ValueError):
        card = None
    if not card or not card.data:
        raise ModelError(f"{name}: a card starts with its fields as YAML between lines of ---")
    return card


def kept_fields(
    repo: str, files: Mapping[str, Content], metadata: CardData, token: str, revision: str | None
) -> Kept:
    """Return the fields of the card on the Hub that the new card lacks and keeps.

    The license is kept; figures are kept if the weights are the same, else their files are stale. Raises what
    huggingface_hub raises (for `hub_errors`).

    Args:
        repo: The model repository, as user/name.
        files: Files to upload, by path.
        metadata: The new card's fields.
        token: Of the Hub.
        revision: The branch; None: main.

    Returns:
        Fields to keep, and notes; nothing where there is no repository or no card.
    """
    there, base = _there(repo, token, revision)
    weights = [path for path in files if path.endswith(".safetensors")]
    is_same = all(has_same(files[path], there.get(path)) for path in weights)
    results = {path for path in there if path.startswith(RESULTS_FOLDER) and path not in files}
    stale = frozenset() if is_same else frozenset(results)
    notes = [_FIGURES_GO.format("its repository")] if stale else []
    if CARD not in there:
        return Kept({}, tuple(notes), stale)
    before = _fields(repo, base, token)
    fields: dict[str, Any] = {}
    if "license" not in metadata and "license" in before:
        fields = {name: before[name] for name in _LICENSE if name in before}
        notes.append(f"the license {before['license']} of its card on the Hub stays; --license names another")
    if _FIGURES not in metadata and _FIGURES in before:
        if is_same:
            fields[_FIGURES] = before[_FIGURES]
        else:
            notes.append(_FIGURES_GO.format("its card"))
    return Kept(fields, tuple(notes), stale)


def _there(repo: str, token: str, revision: str | None) -> tuple[dict[str, Any], str | None]:
    """Return the files of a revision and its name; a branch that does not exist yet starts as the main one."""
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
        except (yaml.YAMLError, ValueError, RecursionError):
            return {}
