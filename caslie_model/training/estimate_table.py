"""The estimate of a training as text: a table, or JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

from caslie_model.training.estimate import Estimate
from mmecinstruct.core.quantities import human, lasting


def estimate_json(found: Estimate) -> str:
    """Return an estimate as JSON, with the sum of the trained parameters."""
    content = {**asdict(found), "trained_parameters": found.trained_parameters}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)


def estimate_table(found: Estimate) -> str:
    """Return an estimate as lines of a name, a value and a remark."""
    parts = ", ".join(f"{name} {count:,}" for name, count in found.trained.items())
    rows = [
        ("base model", found.base_model, f"fusion {found.fusion}, on {found.device}, {found.precision}"),
        ("parameters", f"{found.parameters:,}", ""),
        ("trained parameters", f"{found.trained_parameters:,}", parts),
    ]
    if found.samples is not None and found.tokens is not None:
        remark = f"{found.shortened:,} shortened, {found.images:,} images"
        if found.captions:
            remark += f", {found.captions:,} captions (cut in {found.captions_cut:,} samples)"
        rows += [
            ("samples", f"{found.samples:,}", remark),
            ("steps", f"{found.steps:,}", f"of {found.samples_per_step} samples, ended by {found.ended_by}"),
            ("tokens", f"{found.tokens:,}", "prompts and answers, without padding"),
        ]
    if found.flops is not None:
        remark = f"{found.flops_of_largest_batch:.2e} in the largest batch; extrapolated from a mean one"
        rows.append(("FLOPs", f"{found.flops:.2e}", remark))
    if found.memory is not None and found.seconds is not None:
        counted = "of the process" if found.device == "cpu" else "of torch's allocator"
        remark = f"{found.seconds_per_step:.3g} s in the largest step; extrapolated by tokens"
        rows += [
            ("memory", human(found.memory), f"peak {counted} in the largest step"),
            ("time", lasting(found.seconds), remark),
        ]
    rows += [(name, "unknown", reason) for name, reason in found.unknown.items()]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(
        f"{name:<{widths[0]}}  {value:>{widths[1]}}  {remark}".rstrip() for name, value, remark in rows
    )
