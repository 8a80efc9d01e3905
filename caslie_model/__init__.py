"""Fine-tune CASLIE models on MMECInstruct datasets and measure them.

    import caslie_model

    caslie_model.finetune("dataset-sample", "model", preset="tiny", tasks=["sa"])
    caslie_model.evaluate("model", "dataset-sample", "results", tasks=["sa"]).table

A name is imported, and torch with it, when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmecinstruct.core.lazy import lazy_names
from mmecinstruct.version import __version__

if TYPE_CHECKING:
    from caslie_model.api import align, features, finetune, merge, push_model
    from caslie_model.api_evaluation import (
        ask,
        caption,
        caption_quality,
        compare,
        evaluate,
        judge,
        predict,
        predict_table,
    )
    from caslie_model.config.caption_quality import CaptionQualityConfig
    from caslie_model.config.captions import CaptionConfig
    from caslie_model.config.evaluation import EvaluateConfig, PredictConfig
    from caslie_model.config.judging import JudgeConfig
    from caslie_model.config.presets import (
        align_config,
        caption_config,
        caption_quality_config,
        evaluate_config,
        finetune_config,
        judge_config,
        predict_config,
    )
    from caslie_model.config.training import AlignConfig, FinetuneConfig
    from caslie_model.fusion import load_adapter

__all__ = [
    "AlignConfig",
    "CaptionConfig",
    "CaptionQualityConfig",
    "EvaluateConfig",
    "FinetuneConfig",
    "JudgeConfig",
    "PredictConfig",
    "__version__",
    "align",
    "align_config",
    "ask",
    "caption",
    "caption_config",
    "caption_quality",
    "caption_quality_config",
    "compare",
    "evaluate",
    "evaluate_config",
    "features",
    "finetune",
    "finetune_config",
    "judge",
    "judge_config",
    "load_adapter",
    "merge",
    "predict",
    "predict_config",
    "predict_table",
    "push_model",
]

# Otherwise a type checker would accept any name as a public one.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "AlignConfig": "caslie_model.config.training",
            "CaptionConfig": "caslie_model.config.captions",
            "CaptionQualityConfig": "caslie_model.config.caption_quality",
            "EvaluateConfig": "caslie_model.config.evaluation",
            "FinetuneConfig": "caslie_model.config.training",
            "JudgeConfig": "caslie_model.config.judging",
            "PredictConfig": "caslie_model.config.evaluation",
            "__version__": "mmecinstruct.version",
            "align": "caslie_model.api",
            "ask": "caslie_model.api_evaluation",
            "align_config": "caslie_model.config.presets",
            "caption": "caslie_model.api_evaluation",
            "caption_config": "caslie_model.config.presets",
            "caption_quality": "caslie_model.api_evaluation",
            "caption_quality_config": "caslie_model.config.presets",
            "compare": "caslie_model.api_evaluation",
            "evaluate": "caslie_model.api_evaluation",
            "evaluate_config": "caslie_model.config.presets",
            "features": "caslie_model.api",
            "finetune": "caslie_model.api",
            "finetune_config": "caslie_model.config.presets",
            "judge": "caslie_model.api_evaluation",
            "judge_config": "caslie_model.config.presets",
            "load_adapter": "caslie_model.fusion",
            "merge": "caslie_model.api",
            "predict": "caslie_model.api_evaluation",
            "predict_config": "caslie_model.config.presets",
            "predict_table": "caslie_model.api_evaluation",
            "push_model": "caslie_model.api",
        },
    )
