"""Assign samples to splits and select those that are published."""
