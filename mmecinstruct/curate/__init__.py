"""Curated tables: identity, duplicates, language."""
