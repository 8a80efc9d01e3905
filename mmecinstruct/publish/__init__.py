"""A finished dataset folder on the Hugging Face Hub: its card, the upload."""
