"""Samples, images and answers of a published dataset."""
