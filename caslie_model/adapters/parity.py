"""Whether LoRA in the weights answers as LoRA beside them: logits of one prompt, before and after."""

from __future__ import annotations

from typing import Any

# Adding LoRA to the weights rounds. Differences of logits beyond this, relative to their spread, are a fault.
TOLERANCE = 1e-3
_PROBE = "Which category does the product belong to? Reply with the words of one option and nothing else."


def probe_logits(model: Any, tokenizer: Any) -> Any:
    """Return a model's logits [1, T, vocabulary] of the probe, in float32.

    Args:
        model: A causal language model, in evaluation mode.
        tokenizer: Its tokenizer.
    """
    import torch

    tokens = torch.tensor([tokenizer(_PROBE)["input_ids"]], device=model.device)
    with torch.inference_mode():
        return model(input_ids=tokens).logits.float()


def deviation(found: Any, expected: Any) -> float:
    """Return the largest difference of logits, in standard deviations of the expected ones.

    Args:
        found: Logits of any shape.
        expected: Logits of the same shape.
    """
    return float((found - expected).abs().max() / expected.std())
