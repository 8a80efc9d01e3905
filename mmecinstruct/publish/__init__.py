"""Publish a dataset folder on the Hugging Face Hub: write its card and upload it."""
