"""The Hugging Face Hub: names, downloads, uploads of models in memory, and errors."""
