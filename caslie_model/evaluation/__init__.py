"""Evaluation: metrics, tables, the run over test splits."""
