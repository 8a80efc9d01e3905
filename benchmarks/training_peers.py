"""TRL's SFTTrainer on the batches of `training.py`, in a virtual environment of its own.

    PYTHON training_peers.py JOB WAY

Imports nothing of the project.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from training_turns import Batches, Line, order_of, train_in_turns

# The order of batches, and what differs from TRL's defaults, of each way to use it.
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "trl": ("random", {}),
    "trl, same batches": ("planned", {}),
    "trl, no checkpointing": ("planned", {"gradient_checkpointing": False}),
    "trl, padding-free": (
        "planned",
        {"gradient_checkpointing": False, "padding_free": True, "max_length": None},
    ),
}


def trainer_of(job: dict[str, Any], batches: Batches, options: dict[str, Any], folder: Path) -> Any:
    """Return a trainer of LoRA on the answers alone, in float32, through these batches in this order."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
    from trl import SFTConfig, SFTTrainer

    rows = [job["rows"][index] for batch in batches for index in batch]
    data = Dataset.from_list(
        [
            {
                "input_ids": row["prompt"] + row["target"],
                "completion_mask": [0] * len(row["prompt"]) + [1] * len(row["target"]),
            }
            for row in rows
        ]
    )
    settings = job["settings"]
    arguments = {
        "completion_only_loss": True,
        "max_length": job["max_length"],
        # Slower than float32 on most processors, and ours computes in float32.
        "bf16": False,
        "use_cpu": True,
        "output_dir": str(folder),
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "train_sampling_strategy": "sequential",
        "per_device_train_batch_size": len(batches[0]),
        "max_steps": len(batches),
        **settings["optimiser"],
        **options,
    }
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    lora = settings["lora"]
    set_seed(settings["optimiser"]["seed"])  # the low-rank weights begin as ours
    return SFTTrainer(
        model=model,
        args=SFTConfig(**arguments),
        train_dataset=data,
        processing_class=tokenizer,
        peft_config=LoraConfig(
            task_type="CAUSAL_LM",
            r=lora["rank"],
            lora_alpha=lora["alpha"],
            lora_dropout=lora["dropout"],
            target_modules=lora["target_modules"],
        ),
    )


def main() -> None:
    """Train one way."""
    import torch

    torch.set_num_threads(1)
    line = Line()
    path, way = Path(sys.argv[1]), sys.argv[2]
    job = json.loads(path.read_text(encoding="utf-8"))
    order, options = WAYS[way]
    trainer = trainer_of(job, order_of(job, order), options, path.parent / "peer")
    train_in_turns(line, trainer, job["orders"][order])


if __name__ == "__main__":
    main()
