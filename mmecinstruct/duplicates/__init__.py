"""Duplicates: images, texts and products that are the same thing twice."""
