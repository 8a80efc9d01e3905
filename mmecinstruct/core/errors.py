"""Errors that a user can act on. Each message names the cause and the remedy."""

from __future__ import annotations


class MmecError(Exception):
    """Base of every error that is reported to the user as a message instead of a traceback."""


class RecipeError(MmecError):
    """The recipe, or an override of it, is not valid."""


class YamlError(MmecError):
    """A YAML file or text cannot be read, or is not what settings are written in."""


class SourceError(MmecError):
    """A raw file is missing or does not have the format of its source."""


class PullError(MmecError):
    """A publisher's files cannot be downloaded, or the raw folder cannot store them."""


class WorkspaceError(MmecError):
    """The workspace is locked by another build, damaged, or cannot be written."""


class ExecutorError(MmecError):
    """The cluster is missing, cannot be reached, or has an incompatible node."""


class DatasetError(MmecError):
    """A dataset folder is damaged or is not a dataset folder."""


class HubError(MmecError):
    """The Hub rejected a request or could not be reached."""


class OutputError(MmecError):
    """A path that a command should write to holds what another made, or cannot be written."""


class RenderError(MmecError):
    """A template is missing, is not valid, or renders an invalid text."""
