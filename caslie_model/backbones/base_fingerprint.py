"""Fingerprints of base models: of their weights, tokenizer and chat template, by content.

A folder is hashed with all of these files. Of a model on the Hub the cache has only the files that were read, and other
programs may add to it, so these alone are hashed. Both give the same for a model that has no other files.
"""

from __future__ import annotations

import json
from pathlib import Path

from mmecinstruct.core.hashing import fingerprint, sha256_file

_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


def fingerprint_of_folder(folder: Path) -> str:
    """Return the fingerprint of a base model in a folder.

    Args:
        folder: The folder.
    """
    names = ("*.safetensors", "tokenizer*", "chat_template*")
    return _fingerprint([file for name in names for file in folder.glob(name) if file.is_file()])


def fingerprint_of_read_files(folder: Path) -> str:
    """Return the fingerprint of the files that transformers reads of a base model.

    Args:
        folder: A snapshot in the Hub's cache, or a folder with the same files, perhaps among others.
    """
    weights = [folder / _WEIGHTS]
    if not weights[0].is_file():
        weights = [folder / name for name in _shards(folder)]
    tokenizer = [folder / name for name in _TOKENIZER]
    if not tokenizer[0].is_file():
        tokenizer = list(folder.glob("tokenizer*"))
    found = [*weights, *tokenizer, *folder.glob("chat_template*")]
    return _fingerprint([file for file in found if file.is_file()])


def is_without_content(recorded: str, name: str) -> bool:
    """Return whether a fingerprint says nothing of the files: earlier versions knew no commit of a model on the Hub.

    Args:
        recorded: The fingerprint.
        name: The base model's name when it was recorded.
    """
    return recorded == fingerprint({"name": name, "commit": None})


def _shards(folder: Path) -> list[str]:
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        return sorted(set(index["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return [file.name for file in folder.glob("*.safetensors")]


def _fingerprint(files: list[Path]) -> str:
    return fingerprint({file.name: sha256_file(file) for file in files})
