"""Prompts: templates, tokens, truncation, spans of images."""
