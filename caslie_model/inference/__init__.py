"""Answers of a model: prediction and its log."""
