"""Models on the Hugging Face Hub: cards and uploads."""
