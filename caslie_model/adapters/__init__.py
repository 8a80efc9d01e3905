"""Adapters: which parameters are trained, loading, merging, the model card."""
