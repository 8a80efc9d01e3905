"""Settings of an audit without a recipe: those of the folder's own recipe, else the defaults."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from mmecinstruct.core.errors import DatasetError, YamlError
from mmecinstruct.core.settings import QUIET
from mmecinstruct.core.yaml_text import read_yaml
from mmecinstruct.dataset.manifest import MAX_TEXT_BYTES, RECIPE
from mmecinstruct.recipe.audit import AuditSettings


def settings_of_folder(folder: Path) -> AuditSettings:
    """Return the audit's settings of the folder's recipe.yaml, the defaults where it has none.

    Only the part `audit` is read, so recipes of other versions work.

    Args:
        folder: The dataset folder.

    Raises:
        DatasetError: The recipe is not valid.
    """
    file = folder / RECIPE
    if not file.is_file():
        return AuditSettings()
    try:
        content = read_yaml(file, MAX_TEXT_BYTES)
        part = content.get("audit") if isinstance(content, dict) else None
        return AuditSettings.model_validate(part or {}, context=QUIET)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise DatasetError(f"{file}: audit.{where}: {first['msg']}; name another recipe") from error
    except YamlError as error:
        raise DatasetError(f"{error}; name another recipe") from error
