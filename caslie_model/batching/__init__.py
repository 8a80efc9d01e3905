"""Batches: their order, padding, packing and what the loss needs of them."""
