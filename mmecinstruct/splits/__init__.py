"""Splits: which sample belongs to which, and which samples are selected."""
