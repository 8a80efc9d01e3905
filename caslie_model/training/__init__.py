"""Training: fine-tuning, alignment, the run folder."""
