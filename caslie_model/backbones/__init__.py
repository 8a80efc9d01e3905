"""Frozen language models, and their quantisation."""
