"""Synthetic data: the sample shop, and raw files in the formats of the publishers."""
