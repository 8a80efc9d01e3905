"""The loss curve of a training as an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_loss_curve(
    log: Sequence[Mapping[str, Any]], path: Path, early_stop: Mapping[str, Any] | None = None
) -> None:
    """Plot loss and learning rate over steps as a PNG, and below how far each gate is open, where there are gates.

    Args:
        log: Entries of the Trainer's log that have a loss.
        path: The file to write.
        early_stop: `early_stop` of training.json; its figures are plotted too.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    steps = [entry["step"] for entry in log]
    gates = [name for name in (log[0] if log else ()) if name.startswith("gate_")]
    scored = early_stop is not None and early_stop["metric"] == "score"
    panels = 1 + scored + bool(gates)
    figure, axes = pyplot.subplots(
        panels, figsize=(7, 1.5 + 2.5 * panels), sharex=True, squeeze=False, layout="constrained"
    )
    axis, rest = axes[0, 0], list(axes[1:, 0])
    try:
        axis.plot(steps, [entry["loss"] for entry in log], color="tab:blue", label="training")
        axis.set_ylabel("loss per answer token", color="tab:blue")
        if early_stop is not None:
            _draw_validation(rest.pop(0) if scored else axis, early_stop)
        axis.set_ylim(bottom=0)
        rates = axis.twinx()
        rates.plot(steps, [entry["learning_rate"] for entry in log], color="tab:gray", linestyle=":")
        rates.set_ylabel("learning rate", color="tab:gray")
        rates.set_ylim(bottom=0)
        if gates:
            for name in gates:
                label = f"layer {name.removeprefix('gate_')}"
                rest[0].plot(steps, [entry[name] for entry in log], label=label)
            rest[0].set_ylabel("tanh(gate): 0 is shut")
            rest[0].legend(fontsize="small")
        for panel in axes[:, 0]:
            panel.grid(alpha=0.3)
        axes[-1, 0].set_xlabel("step")
        figure.savefig(path, dpi=110)
    finally:
        pyplot.close(figure)


def _draw_validation(axis: Any, early_stop: Mapping[str, Any]) -> None:
    metric = early_stop["metric"]
    steps = [entry["step"] for entry in early_stop["evaluations"]]
    figures = [entry[metric] for entry in early_stop["evaluations"]]
    axis.plot(steps, figures, color="tab:orange", marker="o", markersize=3, label="validation")
    axis.axvline(early_stop["best_step"], color="tab:orange", linestyle="--", linewidth=1, label="best")
    if metric == "score":
        axis.set_ylabel("validation score")
        axis.set_ylim(0, 1)
    axis.legend(fontsize="small")
