"""What a training run leaves for people: the loss curve and the model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from caslie_model.config import TrainingConfig, config_yaml
from caslie_model.published import hub_id, public_config
from mmecinstruct.templating import compiled, rendered
from mmecinstruct.version import __version__
from mmecinstruct.workspace import write_atomically


def write_loss_curve(log: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw loss and learning rate over steps as a PNG; below them, where there are any, how far each gate is open."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    steps = [entry["step"] for entry in log]
    gates = [name for name in (log[0] if log else ()) if name.startswith("gate_")]
    figure, axes = pyplot.subplots(
        2 if gates else 1, figsize=(7, 6.5 if gates else 4), sharex=True, squeeze=False, layout="constrained"
    )
    axis = axes[0, 0]
    try:
        for name in gates:
            label = f"layer {name.removeprefix('gate_')}"
            axes[1, 0].plot(steps, [entry[name] for entry in log], label=label)
        if gates:
            axes[1, 0].set_ylabel("tanh(gate): 0 is shut")
            axes[1, 0].set_xlabel("step")
            axes[1, 0].grid(alpha=0.3)
            axes[1, 0].legend(fontsize="small")
        axis.plot(steps, [entry["loss"] for entry in log], color="tab:blue")
        axis.set_xlabel("step")
        axis.set_ylabel("loss per answer token", color="tab:blue")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        rates = axis.twinx()
        rates.plot(steps, [entry["learning_rate"] for entry in log], color="tab:gray", linestyle=":")
        rates.set_ylabel("learning rate", color="tab:gray")
        rates.set_ylim(bottom=0)
        figure.savefig(path, dpi=110)
    finally:
        pyplot.close(figure)


def write_model_card(
    config: TrainingConfig, summary: Mapping[str, Any], path: Path, merged: bool = False
) -> None:
    """Write README.md from the template `model_card.md.j2`, of an adapter folder or of one merged with its base."""
    # A card is made to be published: it names folders, but not where they lie on this machine.
    shown = public_config(config)
    variables = {
        "config": shown.model_dump(mode="json"),
        "config_yaml": config_yaml(shown),
        "summary": summary,
        "trains_lora": config.trains_lora,
        "attributes": list(getattr(config, "attributes", ())),  # of an alignment
        "version": __version__,
        "merged": merged,
        # Only a Hub id is one that the Hub can link to.
        "base_on_hub": hub_id(config.base_model) is not None,
        "data_on_hub": hub_id(config.data) is not None,
        "first_loss": summary["log"][0]["loss"] if summary["log"] else None,
        "last_loss": summary["log"][-1]["loss"] if summary["log"] else None,
    }
    write_atomically(path, (rendered(compiled("model_card.md.j2"), variables) + "\n").encode())
