"""Fine-tune CASLIE models on MMECInstruct datasets and measure them.

The command line is a thin layer over two functions, imported here when first used, since they need torch:

    from caslie_model import evaluate, evaluate_config, finetune, finetune_config
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmecinstruct.version import __version__

if TYPE_CHECKING:
    from caslie_model.config import (
        EvaluateConfig,
        FinetuneConfig,
        evaluate_config,
        finetune_config,
    )
    from caslie_model.evaluation import evaluate
    from caslie_model.finetuning import finetune

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
    "EvaluateConfig": "caslie_model.config",
    "FinetuneConfig": "caslie_model.config",
    "evaluate_config": "caslie_model.config",
    "finetune_config": "caslie_model.config",
    "evaluate": "caslie_model.evaluation",
    "finetune": "caslie_model.finetuning",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'caslie_model' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
