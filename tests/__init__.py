"""Tests: they mirror the packages; `servers` holds the stand-in servers that they talk to."""
