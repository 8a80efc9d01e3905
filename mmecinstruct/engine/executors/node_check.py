"""Check that a node of a cluster has the build's folders, and the driver's code and libraries.

Ray carries these functions to the node by value, since the node may lack this package: standard library only.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "mmecinstruct"
CODE = "the code of mmecinstruct"
# A network file system may show a new file a little later.
TOKEN_SECONDS = 5.0


@dataclass(frozen=True)
class Requirements:
    """Requirements of each node."""

    token_file: str  # written by the driver into the workspace
    token: str
    folders: tuple[str, ...]  # that the tasks read, beside the workspace
    versions: Mapping[str, str]  # `versions_here` of the driver


def versions_here(libraries: Sequence[str]) -> dict[str, str]:
    """Return the versions of Python, of the libraries and of this package's files, "none" for a missing one."""
    versions = {"python": platform.python_version()}
    for library in libraries:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            versions[library] = "none"
    return {**versions, CODE: _code_hash()}


def _code_hash() -> str:
    """Return a hash of the package's Python files and templates: a release's number stays while it is worked on."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        return "none"
    package = Path(found.origin).parent
    # The same folders as in mmecinstruct/core/package_data.py.
    carried = package / "_templates"
    templates = carried if carried.is_dir() else package.parent / "templates"
    digest = hashlib.sha256()
    for root, pattern in ((package, "*.py"), (templates, "*.j2")):
        for path in sorted(root.rglob(pattern), key=lambda path: path.relative_to(root).as_posix()):
            digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def problems_here(requirements: Requirements) -> list[str]:
    """Return the problems of this machine, each with the remedy; none where it fits."""
    problems = []
    if not _has_token(requirements):
        folder = os.path.dirname(requirements.token_file)
        problems.append(
            f"it does not have the workspace {folder} of the build: give --workspace a folder on a file system that "
            "all nodes share under the same path"
        )
    missing = [folder for folder in requirements.folders if not os.path.isdir(folder)]
    if missing:
        problems.append(
            f"it does not have {missing[0]}: the data must be on a file system that all nodes share under the same "
            "path"
        )
    libraries = [name for name in requirements.versions if name not in ("python", CODE)]
    here = versions_here(libraries)
    other = [
        f"{name} {here[name]} instead of {wanted}"
        for name, wanted in requirements.versions.items()
        if here[name] != wanted
    ]
    if other:
        problems.append(
            f"it has {', '.join(other)}: install the same versions on every node, or the files would depend on where "
            "they were made"
        )
    return problems


def _has_token(requirements: Requirements) -> bool:
    deadline = time.monotonic() + TOKEN_SECONDS
    while True:
        try:
            with open(requirements.token_file, encoding="utf-8") as stream:
                return stream.read() == requirements.token
        except OSError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.5)
