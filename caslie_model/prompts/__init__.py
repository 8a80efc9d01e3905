"""Prompts: templates, tokens, truncation and the text spans of images."""
