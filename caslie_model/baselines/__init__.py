"""Baselines that are fitted to a dataset's training split, and asked like any model: `baseline:NAME`."""
