"""Samples of a dataset: texts, images, answers."""
