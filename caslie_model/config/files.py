"""Names of the files in a run folder."""

from __future__ import annotations

WEIGHTS = "adapter_model.safetensors"


CONFIG = "config.yaml"


TRAINING = "training.json"
