"""Batches: their order, task weights, padding, packing and the inputs of the loss."""
