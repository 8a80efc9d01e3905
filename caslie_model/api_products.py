"""The functions of `import caslie_model` that answer questions about your own products. Thin, as those in `api`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from caslie_model.runtime.console import quiet_libraries_meanwhile

if TYPE_CHECKING:
    from caslie_model.config.evaluation import PredictConfig
    from caslie_model.inference.rounds import Answer
    from caslie_model.inference.table import TableResult

AnyPath: TypeAlias = str | Path


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
