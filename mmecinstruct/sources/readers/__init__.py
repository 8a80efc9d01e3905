"""Readers of raw files: streams, JSON lines, tables, parts of large files."""
