"""The stages of a build: one file a stage, with its name, version, libraries, fields, work items and work.

`pipeline/build.py` has their order. Nothing else lists them: a new stage is a file here and a line there.
"""

from __future__ import annotations

import importlib
import pkgutil

from mmecinstruct.engine.stage import Stage


def stage_classes() -> list[type[Stage]]:
    """Return the classes of all stages, by name."""
    found = set()
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Stage) and hasattr(value, "version"):
                found.add(value)
    return sorted(found, key=lambda stage: stage.name)


def kept_libraries() -> tuple[str, ...]:
    """Return the libraries whose output some stage keeps: all nodes of a cluster need the same versions of them."""
    return tuple(sorted({library for stage in stage_classes() for library in stage.libraries}))
