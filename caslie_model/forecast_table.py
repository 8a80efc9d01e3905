"""A forecast in words: the table of `--plan`, and the line that compares it with what happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from caslie_model.cost import Forecast


def forecast_table(found: Forecast) -> str:
    """Return a forecast as lines of a name, a number and what it means."""
    fused = found.fusion != "text"
    rows: list[tuple[str, str, str]] = [
        ("base model", found.base_model, f"fusion {found.fusion}, on {found.device}, {found.precision}"),
        ("samples", f"{found.samples:,}", f"{found.shortened:,} shortened to fit" if found.shortened else ""),
        ("steps", f"{found.steps:,}", f"of {found.batch} samples, ended by {found.ended_by}"),
        (
            "tokens per step",
            f"{found.tokens / found.steps:,.0f}",
            f"on average, {found.most_tokens:,} at most",
        ),
    ]
    if fused:
        rows.append(("pictures", f"{found.pictures:,}", f"{found.different_pictures:,} of them different"))
    if found.features_to_compute is not None:
        rows.append(
            ("features to compute", f"{found.features_to_compute:,}", "pictures, before the first step")
        )
    groups = ", ".join(f"{name} {count:,}" for name, count in found.trained.items())
    rows += [
        ("parameters", f"{found.parameters:,}", ""),
        ("trained parameters", f"{found.trained_parameters:,}", groups),
        ("memory", size(found.memory), "at most, of which"),
        ("  weights", size(found.weights), ""),
        ("  optimiser state", size(found.optimiser), ""),
        ("  largest step", size(found.step), f"activations {size(found.activations)}, then gradients"),
        ("  gradients", size(found.gradients), "in the largest step"),
    ]
    if found.beside:
        rows.append(("  allocator", size(found.beside), "kept beside the tensors, by experience"))
    if found.process:
        rows.append(("  this process", size(found.process), "libraries and samples"))
    rows.append(("FLOPs per step", f"{found.flops / found.steps:.2e}", f"{found.flops:.2e} in all"))
    if found.seconds is None or found.speed is None:
        rows.append(("time", "–", f"there is no {found.device} here to measure"))
    else:
        low, high = duration(found.seconds_low or 0), duration(found.seconds_high or 0)
        speed = f"{found.speed.flops / 1e9:,.0f} GFLOP/s, {found.speed.bytes / 1e9:,.1f} GB/s"
        rows.append(
            ("time", duration(found.seconds), f"an estimate ({low} to {high}) at {speed}, as measured now")
        )
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    # The base model's name may be long; numbers are set below each other all the same.
    return "\n".join(
        f"{name:<{widths[0]}}  {value:>{widths[1]}}  {meaning}".rstrip() for name, value, meaning in rows
    )


def compared(predicted: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    """Return what was foretold and what happened, in one line. predicted, measured: of training.json."""
    parts = [f"memory {size(measured['memory'])} at most ({size(predicted['memory'])} foretold)"]
    if predicted["seconds"] is not None:
        parts.append(
            f"{duration(measured['seconds'])} of training ({duration(predicted['seconds'])} foretold)"
        )
    return ", ".join(parts)


def size(count: float) -> str:
    """Return bytes in words, by powers of 1000."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count / 1e3:,.1f} kB"


def duration(seconds: float) -> str:
    """Return seconds in words, in the unit that suits them."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
