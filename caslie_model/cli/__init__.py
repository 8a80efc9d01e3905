"""The command line `caslie_model`: thin over the Python API."""

from caslie_model.cli.app import main

__all__ = ["main"]
