"""Tests: they mirror the packages; `servers` has the local servers that they talk to."""
