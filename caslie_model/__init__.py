"""Fine-tune CASLIE models on MMECInstruct datasets and measure them.

The command line is a thin layer over two functions, imported here when first used, since they need torch:

    from caslie_model import evaluate, evaluate_config, finetune, finetune_config
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmecinstruct.version import __version__

if TYPE_CHECKING:
    from caslie_model.config.evaluation import EvaluateConfig
    from caslie_model.config.presets import evaluate_config, finetune_config
    from caslie_model.config.training import FinetuneConfig
    from caslie_model.evaluation.evaluate import evaluate
    from caslie_model.training.finetune import finetune

__all__ = [
    "EvaluateConfig",
    "FinetuneConfig",
    "__version__",
    "evaluate",
    "evaluate_config",
    "finetune",
    "finetune_config",
]

_HOMES = {
    "EvaluateConfig": "caslie_model.config.evaluation",
    "FinetuneConfig": "caslie_model.config.training",
    "evaluate_config": "caslie_model.config.presets",
    "finetune_config": "caslie_model.config.presets",
    "evaluate": "caslie_model.evaluation.evaluate",
    "finetune": "caslie_model.training.finetune",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'caslie_model' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
