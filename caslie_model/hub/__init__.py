"""Names on the Hugging Face Hub, downloads and their errors."""
