"""The command line `mmec`: thin over the Python API."""

from mmecinstruct.cli.app import main

__all__ = ["main"]
