"""Evaluation: metrics, tables and the run over test splits."""
