"""Find the package's data files: templates and recipes.

They are at the top level of a checkout and inside the package of a wheel.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def _resource_folder(name: str) -> Path:
    carried = _PACKAGE / f"_{name}"
    return carried if carried.is_dir() else _PACKAGE.parent / name


def templates_folder() -> Path:
    """Return the folder of the Jinja2 templates."""
    return _resource_folder("templates")


def pipelines_folder() -> Path:
    """Return the folder of the recipes, and of the presets of training and captioning."""
    return _resource_folder("pipelines")


def recipe_files() -> list[Path]:
    """Return the recipes that come with the package."""
    presets = set(caption_preset_files())
    return [path for path in sorted(pipelines_folder().glob("*.yaml")) if path not in presets]


def caption_preset_files() -> list[Path]:
    """Return the presets of captioning and judging that come with the package."""
    return sorted(pipelines_folder().glob("captions-*.yaml"))
