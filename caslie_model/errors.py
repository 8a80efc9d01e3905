"""Errors of the model package that a user can act on."""

from __future__ import annotations

from mmecinstruct.core.errors import MmecError


class ConfigError(MmecError):
    """A preset, a setting or an override is not valid."""


class ModelError(MmecError):
    """A base model or an adapter folder is missing, damaged, or of another kind."""


class RunError(MmecError):
    """An output folder holds something else than this run may continue or replace."""
