"""The command line `caslie_model`: thin over the Python API."""

from caslie_model.cli.app import app, main

__all__ = ["app", "main"]
