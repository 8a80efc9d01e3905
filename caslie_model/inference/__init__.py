"""Answers of a model: prediction, and the log of predictions."""
