"""Adapters: trained parts of a model, loading, merging and the model card."""
