"""Curate tables: unique ids, duplicates, language."""
