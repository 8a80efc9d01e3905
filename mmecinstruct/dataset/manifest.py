"""The manifest: the files of a dataset folder with their rows, sizes and hashes.

It holds no time, host or absolute path: the same build gives the same bytes. Of the card it has a hash of each
generated part, so that people may write between them.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Annotated

import pyarrow.parquet as pq
import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.dataset.card_parts import CardParts, parse_card, part_hashes
from mmecinstruct.dataset.shards import REJECTIONS_PATH, find_shards
from mmecinstruct.recipe import Recipe
from mmecinstruct.schemas.samples import SCHEMA_VERSION
from mmecinstruct.version import __version__

CARD = "README.md"
RECIPE = "recipe.yaml"
STATISTICS = "statistics.json"
# A folder of an earlier version has none.
AUDIT = "audit.json"
MANIFEST = "manifest.json"

# A larger manifest, card or recipe is not read.
MAX_TEXT_BYTES = 50_000_000


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not path or path.startswith("/") or "\\" in path or ".." in parts or str(PurePosixPath(path)) != path:
        raise ValueError("a path is relative to the folder, as in a/b.parquet")
    return path


class FileEntry(BaseModel):
    """One file of the folder.

    Attributes:
        path: Below the folder, with `/`.
        rows: Rows of a table; null for other files.
        bytes: Size in bytes.
        sha256: SHA-256 of the content.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str, AfterValidator(_inside)]
    rows: int | None = Field(ge=0)
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """The content of a dataset folder.

    Attributes:
        schema_version: Version of the samples' schema.
        project_version: Version of the package that built the folder.
        recipe: Name of the recipe.
        fingerprint: Fingerprint of everything that decided the content.
        files: All files but the card and the manifest.
        card: SHA-256 of each generated part of the card, by its name. None in a folder of an earlier version.
    """

    # Later versions may add fields; these keep their meaning within a schema version.
    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: str = Field(pattern=r"^\d+\.\d+$")
    project_version: str
    recipe: str
    fingerprint: str
    files: tuple[FileEntry, ...]
    card: dict[str, str] | None = None


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Write the resolved recipe as recipe.yaml; `load_recipe` reads it back as an equal value."""
    write_atomically(folder / RECIPE, _recipe_text(recipe))


def has_recipe(folder: Path, recipe: Recipe) -> bool:
    """Return whether a dataset folder was built with the recipe."""
    try:
        return (folder / RECIPE).read_bytes() == _recipe_text(recipe)
    except OSError:
        return False


def _recipe_text(recipe: Recipe) -> bytes:
    return yaml.safe_dump(recipe.published(), sort_keys=False, allow_unicode=True, width=100).encode()


def write_manifest(folder: Path, recipe: Recipe, fingerprint: str) -> Manifest:
    """Write manifest.json of the shards, rejections, recipe, audit, statistics and card in a folder; call it last.

    Args:
        folder: The dataset folder.
        recipe: The resolved recipe.
        fingerprint: Fingerprint of everything that decided the content.

    Returns:
        The manifest.

    Raises:
        DatasetError: One of the files is missing, or the card is not valid.
    """
    try:
        card = part_hashes(read_card(folder))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{folder / CARD}: {error}; write it before the manifest") from error
    entries = []
    audit = [AUDIT] if (folder / AUDIT).is_file() else []
    for path in [*find_shards(folder), REJECTIONS_PATH, RECIPE, *audit, STATISTICS]:
        file = folder / path
        if not file.is_file():
            raise DatasetError(f"{folder}: {path} is missing; write it before the manifest")
        rows = pq.read_metadata(file).num_rows if path.endswith(".parquet") else None
        entries.append(FileEntry(path=path, rows=rows, bytes=file.stat().st_size, sha256=sha256_file(file)))
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        project_version=__version__,
        recipe=recipe.name,
        fingerprint=fingerprint,
        files=tuple(entries),
        card=card,
    )
    text = json.dumps(manifest.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    write_atomically(folder / MANIFEST, text.encode())
    return manifest


def read_card(folder: Path) -> CardParts:
    """Return the parts of a folder's card.

    Raises:
        OSError: It cannot be read.
        ValueError: It is larger than MAX_TEXT_BYTES, no UTF-8, or its YAML or marks are not valid.
    """
    file = folder / CARD
    if file.stat().st_size > MAX_TEXT_BYTES:
        raise ValueError(f"larger than {MAX_TEXT_BYTES} bytes")
    return parse_card(file.read_text(encoding="utf-8-sig"))


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a dataset folder.

    Raises:
        DatasetError: The manifest is missing or not valid.
    """
    file = folder / MANIFEST
    try:
        if file.stat().st_size > MAX_TEXT_BYTES:
            raise DatasetError(f"{file}: larger than {MAX_TEXT_BYTES} bytes; it is not a manifest")
        return Manifest.model_validate_json(file.read_bytes())
    except OSError as error:
        raise DatasetError(f"{file}: {error.strerror}; is {folder} a dataset folder?") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise DatasetError(
            f"{file}: not a manifest ({where}: {first['msg']}); build into another folder"
        ) from error
