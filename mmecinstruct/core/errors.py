"""Errors that a user can act on. Each message names the record at fault and the remedy."""

from __future__ import annotations


class MmecError(Exception):
    """Base of every error that is reported to the user as a message instead of a traceback."""


class RecipeError(MmecError):
    """The recipe, or an override of it, is not valid."""


class SourceError(MmecError):
    """A raw file is missing or is not what its source says it is."""


class PullError(MmecError):
    """A publisher's files cannot be fetched, or the raw folder cannot take them."""


class WorkspaceError(MmecError):
    """The workspace is locked by another build, damaged, or cannot be written."""


class ExecutorError(MmecError):
    """The cluster is missing, cannot be reached, or has a node that does not fit."""


class DatasetError(MmecError):
    """A dataset folder is damaged or is not a dataset folder."""


class HubError(MmecError):
    """The Hub refused or could not be reached."""


class RenderError(MmecError):
    """A template is missing, is not valid, or does not make what it must."""
