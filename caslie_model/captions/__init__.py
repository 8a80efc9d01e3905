"""Captions of a dataset's images, each for the sample that shows it."""
