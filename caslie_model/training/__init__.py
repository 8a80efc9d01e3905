"""Training: fine-tuning, alignment, their estimate and the run folder."""
