"""Files of a model or an adapter that are published, chosen by name: no checkpoint, no log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path

from caslie_model.config.files import FUSION_CONFIG, PEFT_CONFIG
from caslie_model.errors import ModelError
from caslie_model.hub.download import FILES
from caslie_model.hub.public_names import public_json
from mmecinstruct.publish.hub_upload import Content

CARD = "README.md"
TOKENIZER_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "vocab.*",
    "merges.txt",
    "added_tokens.json",
    "chat_template*",
)
ADAPTER_FILES = (*FILES, *TOKENIZER_FILES, "loss_curve.png")
_ADAPTER_CONFIGS = (PEFT_CONFIG, FUSION_CONFIG)
MODEL_FILES = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    *TOKENIZER_FILES,
    "prompts/*.j2",
    CARD,
    *_ADAPTER_CONFIGS,
)


def is_weights(path: str) -> bool:
    """Return whether a path in a repository is one that `from_pretrained` would take weights from.

    It prefers model.safetensors to an index of shards, and adapter_config.json to a whole model: what an earlier push
    left of these would be served instead of the pushed files.

    Args:
        path: A path in the repository.

    Returns:
        Whether it decides which weights are loaded.
    """
    return "/" not in path and (
        path in _ADAPTER_CONFIGS or path.endswith((".safetensors", ".safetensors.index.json"))
    )


def chosen_files(
    folder: Path, patterns: tuple[str, ...] = MODEL_FILES, known: Mapping[str, str] | None = None
) -> dict[str, Content]:
    """Return a folder's files of the given names, with paths of this machine taken out of JSON files.

    Args:
        folder: The model or adapter folder, which stays as it is.
        patterns: Names relative to the folder, with wildcards.
        known: Public names of models and datasets (`known_names`).

    Returns:
        Path or content of each file, by its path in the repository.

    Raises:
        ModelError: If a JSON file is damaged.
    """
    files: dict[str, Content] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or not any(
            name.count("/") == pattern.count("/") and fnmatch(name, pattern) for pattern in patterns
        ):
            continue
        files[name] = path
        if name.endswith(".json") and not name.startswith("tokenizer."):
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
            except (ValueError, RecursionError) as error:
                raise ModelError(f"{path}: damaged: {error}") from error
            public = public_json(content, known=known or {})
            if public != content:
                files[name] = (json.dumps(public, indent=1, ensure_ascii=False) + "\n").encode()
    return files
