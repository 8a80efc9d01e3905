"""The functions of `import mmecinstruct`. Thin; the command `mmec` calls the same ones.

Imports are inside the functions, so that each loads only what it needs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from mmecinstruct.core.console import comma_list
from mmecinstruct.core.disk_errors import path_problem, shown
from mmecinstruct.core.errors import DatasetError, PullError, RecipeError
from mmecinstruct.core.hub import reading_from_hub
from mmecinstruct.engine.executors.local import cores

if TYPE_CHECKING:
    import datasets

    from mmecinstruct.auditing import AuditReport
    from mmecinstruct.core.progress import Report
    from mmecinstruct.dataset.validate import Validation
    from mmecinstruct.pipeline.check_images import ImagesReport
    from mmecinstruct.pipeline.report import BuildReport
    from mmecinstruct.publish.hub_upload import PushResult
    from mmecinstruct.recipe import Recipe
    from mmecinstruct.sources.remote_file import RemoteFile
    from mmecinstruct.web.raw_files.plan import PullPlan
    from mmecinstruct.web.raw_files.progress import Listener
    from mmecinstruct.web.raw_files.report import PullReport

AnyPath: TypeAlias = str | Path
Overrides: TypeAlias = Sequence[str] | Mapping[str, Any]


def default_workspace() -> Path:
    """Return the workspace that is used where none is named: `MMEC_WORKSPACE`, else `.mmec`."""
    return Path(os.environ.get("MMEC_WORKSPACE") or ".mmec")


def load_recipe(recipe: AnyPath, overrides: Overrides = ()) -> Recipe:
    """Read and validate a recipe.

    Args:
        recipe: The name of a built-in recipe, or a YAML file.
        overrides: Fields to set, by their dotted names: a mapping, or texts such as `sizes.train=100`.

    Returns:
        The recipe, a frozen object.

    Raises:
        RecipeError: There is no such recipe, or fields are wrong; the message names each with its remedy.

    Examples:
        >>> import mmecinstruct as mm
        >>> recipe = mm.load_recipe("sample", {"sizes.train": 100})
        >>> recipe.name, recipe.sizes.train
        ('sample', 100)
    """
    from mmecinstruct.recipe import load_recipe, override_texts

    return load_recipe(str(recipe), override_texts(overrides))


def build(
    recipe: AnyPath | Recipe = "sample",
    out: AnyPath | None = None,
    *,
    tasks: str | Sequence[str] = "all",
    data: AnyPath = ".",
    workspace: AnyPath | None = None,
    workers: int | None = None,
    executor: Literal["local", "ray"] = "local",
    ray_address: str | None = None,
    retry_failed: bool = False,
    progress: Report | None = None,
) -> BuildReport:
    """Build a dataset folder from a recipe.

    An interrupted build continues where it stopped; a finished one returns at once. The same recipe and raw files give
    the same bytes, whatever the number of workers and the executor.

    Args:
        recipe: A built-in name, a YAML file, or the result of `load_recipe`.
        out: The dataset folder to write. Default: `dataset-` and the recipe's name.
        tasks: "all", or names or short names of tasks, in a sequence or separated by commas.
        data: Root of the recipe's relative paths. The sample shop needs none.
        workspace: Where finished stages are kept between builds. Default: `MMEC_WORKSPACE`, else `.mmec`.
        workers: Processes. Default: one per core, as far as the recipe's memory suffices.
        executor: Where work items run: in processes here, or as tasks of a Ray cluster.
        ray_address: The cluster, as host:port or `auto`. Default: `RAY_ADDRESS`, else one is started here.
        retry_failed: Whether to ask again for images that failed for a reason that passes.
        progress: Called with a stage's name, its finished work items, and all of them.

    Returns:
        The results: sizes per task and split, rejected rows per stage, warnings, and tasks that lack something.

    Raises:
        RecipeError: Nothing can be built, or not under the recipe's licences.
        SourceError: A raw file is missing or is not what its source says.
        WorkspaceError: Another build has the workspace, or its disk is full.
        ExecutorError: There is no Ray, no cluster, or a node that does not fit.
        DatasetError: `out` holds something else, or cannot be written.

    Examples:
        >>> import mmecinstruct as mm
        >>> recipe = mm.load_recipe("sample", {"sample.products": 120, "sizes.train": 20})
        >>> report = mm.build(recipe, "small-dataset", tasks="sa,cc", workers=1)
        >>> report.sizes["sentiment_analysis"]["train"]["chosen"]
        20
    """
    from mmecinstruct.pipeline.build import build
    from mmecinstruct.recipe import Recipe

    loaded = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    wanted = task_names(tasks)
    if loaded.sample is None and ((problem := path_problem(Path(data))) or not Path(data).is_dir()):
        raise RecipeError(f"data={shown(data)}: {problem or 'there is no such folder'}")
    return build(
        loaded,
        Path(out) if out is not None else Path(f"dataset-{loaded.name}"),
        workspace=Path(workspace or default_workspace()),
        data=Path(data),
        tasks=wanted,
        workers=workers,
        executor=executor,
        ray_address=ray_address,
        retry_failed=retry_failed,
        report=progress,
    )


def load(dataset: AnyPath, task: str, split: str = "train") -> datasets.Dataset:
    """Load the samples of a task and split.

    Args:
        dataset: A dataset folder, or user/name on the Hugging Face Hub.
        task: A task's name or short name, or "all".
        split: `train`, `validation`, `test` or `test_ood`.

    Returns:
        The samples, images decoded where they are read: what `datasets.load_dataset` returns.

    Raises:
        RecipeError: There is no such task.
        DatasetError: There is no such dataset, or it has no such split of the task.

    Examples:
        >>> import mmecinstruct as mm
        >>> rows = mm.load("dataset-sample", "sa", split="test")
        >>> rows[0]["options"]
        ['A: very positive', 'B: positive', 'C: neutral', 'D: negative', 'E: very negative']
    """
    import datasets

    name = task if task == "all" else task_names([task])[0]
    if not Path(dataset).exists() and str(dataset).count("/") != 1:
        raise DatasetError(f"no dataset '{dataset}': give a dataset folder, or user/name on the Hub")
    try:
        with reading_from_hub(dataset):
            return datasets.load_dataset(str(dataset), name, split=split)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise DatasetError(f"{dataset}: cannot load {split} of {name}: {error}") from error


def validate(folder: AnyPath, *, decode: bool = True, progress: Report | None = None) -> Validation:
    """Check a dataset folder: files, card, schema, every sample, and what splits must not share.

    Args:
        folder: A dataset folder.
        decode: Whether to decode every image.
        progress: Called with a file, checked rows, and all rows.

    Returns:
        The problems, none where the folder is sound. It never raises for what the folder holds.

    Examples:
        >>> import mmecinstruct as mm
        >>> checked = mm.validate("dataset-sample")
        >>> checked.valid, len(checked.table)
        (True, 0)
    """
    from mmecinstruct.dataset.validate import Validation, validate_folder

    return Validation(Path(folder), tuple(validate_folder(Path(folder), decode, progress)))


def audit(
    folder: AnyPath,
    recipe: AnyPath | Recipe | None = None,
    *,
    examples: int | None = None,
    shortcuts: bool | None = None,
    workers: int | None = None,
    progress: Report | None = None,
) -> AuditReport:
    """Report what the splits of a dataset folder share, and what guessers score that know no question.

    Args:
        folder: A folder of `<task>/<split>-*.parquet`; a manifest is not needed.
        recipe: Its part `audit` has the tolerances. Default: the folder's own recipe, else the defaults.
        examples: Examples per finding, at most 100. Default: the recipe's.
        shortcuts: Whether to look for shortcuts. Default: the recipe's.
        workers: Processes. Default: one per core. The report is the same for any number.
        progress: Called with a step, its finished work and all of its work.

    Returns:
        The report: `table` has the overlaps as a DataFrame, `exceeded` those above their tolerance; `guesses` has what
        guessers scored as a DataFrame, `shortcuts` the findings among them.

    Raises:
        DatasetError: There is no such folder, a file is damaged, or its recipe is not valid.
        RecipeError: The recipe is not valid.

    Examples:
        >>> import mmecinstruct as mm
        >>> report = mm.audit("dataset-sample", workers=1)
        >>> len(report.exceeded), len(report.shortcuts)
        (0, 0)
    """
    from mmecinstruct.auditing import audit_folder, settings_of_folder
    from mmecinstruct.recipe import Recipe

    if problem := path_problem(Path(folder)):
        raise DatasetError(f"{folder}: {problem}")
    given = recipe if recipe is None or isinstance(recipe, Recipe) else load_recipe(recipe)
    settings = settings_of_folder(Path(folder)) if given is None else given.audit
    changed = {"examples": examples, "shortcuts": shortcuts}
    settings = settings.model_copy(update={name: one for name, one in changed.items() if one is not None})
    return audit_folder(Path(folder), settings, workers=workers or cores(), report=progress)


def push_to_hub(
    folder: AnyPath,
    repo: str,
    *,
    private: bool = False,
    dry_run: bool = False,
    token: str | None = None,
    revision: str | None = None,
    message: str | None = None,
) -> PushResult:
    """Publish a dataset folder on the Hugging Face Hub as it is, in one commit.

    Args:
        folder: A dataset folder; a damaged one raises DatasetError.
        repo: The dataset repository, as user/name. It is created if need be.
        private: Whether to create it as a private one.
        dry_run: Whether to list what would be uploaded, and connect to nothing.
        token: An access token. Default: `HF_TOKEN`, or that of `hf auth login`.
        revision: Branch to push to, created if need be. Default: main.
        message: Message of the commit.

    Returns:
        The uploaded files, or those that would be.

    Raises:
        DatasetError: The folder is damaged.
        HubError: The name is wrong, the repository is public although private was asked for, or the Hub rejected the
            upload.

    Examples:
        >>> import mmecinstruct as mm
        >>> planned = mm.push_to_hub("dataset-sample", "user/my-shop", dry_run=True)
        >>> planned.repo, "README.md" in dict(planned.files)
        ('user/my-shop', True)
    """
    from mmecinstruct.publish.push import push_folder

    return push_folder(
        Path(folder), repo, private=private, dry_run=dry_run, token=token, revision=revision, message=message
    )


@overload
def pull(
    recipe: AnyPath | Recipe,
    data: AnyPath = "raw",
    *,
    only: Sequence[str] = (),
    mirror: str | None = None,
    dry_run: Literal[False] = False,
    progress: Listener | None = None,
) -> PullReport: ...


@overload
def pull(
    recipe: AnyPath | Recipe,
    data: AnyPath = "raw",
    *,
    only: Sequence[str] = (),
    mirror: str | None = None,
    dry_run: Literal[True],
    progress: Listener | None = None,
) -> PullPlan: ...


def pull(
    recipe: AnyPath | Recipe,
    data: AnyPath = "raw",
    *,
    only: Sequence[str] = (),
    mirror: str | None = None,
    dry_run: bool = False,
    progress: Listener | None = None,
) -> PullReport | PullPlan:
    """Download the publishers' files that a recipe needs, or check those that are there.

    An interrupted pull continues where it stopped. Sources that the recipe's licences leave out are not downloaded.

    Args:
        recipe: A built-in name, a YAML file, or what `load_recipe` returned.
        data: The raw folder to write; `build` takes it as `data`.
        only: Patterns of paths, or names of publishers, to restrict the files to.
        mirror: An address that has all files by their paths below the raw folder, to use instead.
        dry_run: Whether to return the plan, with sizes, and write nothing.
        progress: Called for every file.

    Returns:
        The outcome of each file; with `dry_run` the plan.

    Raises:
        PullError: The recipe needs no publisher's files, another pull works in the folder, or the disk has no room.
        OutputError: Another command made the folder, or it cannot be one.
        RecipeError: The recipe is not valid.

    Examples:
        >>> import mmecinstruct as mm
        >>> plan = mm.pull("paper", "raw", only=["esci"], dry_run=True)
        >>> plan.files[0].file.origin, plan.files[0].state
        ('esci/shopping_queries_dataset_examples.parquet', 'fetch')
    """
    from mmecinstruct.recipe import Recipe
    from mmecinstruct.recipe.licences import apply_licences
    from mmecinstruct.web.raw_files.plan import choose
    from mmecinstruct.web.raw_files.run import plan_pull
    from mmecinstruct.web.raw_files.run import pull as pull_files

    loaded = apply_licences(recipe if isinstance(recipe, Recipe) else load_recipe(recipe)).recipe
    folder = Path(data)
    wanted = choose(_remote_files(loaded, folder), only)
    if dry_run:
        return plan_pull(wanted, folder, loaded.pull, fetch=loaded.fetch, mirror=mirror)
    return pull_files(wanted, folder, loaded.pull, progress, fetch=loaded.fetch, mirror=mirror)


def check_images(
    source: AnyPath,
    out: AnyPath = "checked-images",
    *,
    recipe: AnyPath | None = None,
    overrides: Overrides = (),
    column: str = "image_url",
    product_column: str | None = None,
    data: AnyPath | None = None,
    contact_sheet: bool = False,
    near: bool = False,
    retry_failed: bool = False,
    workspace: AnyPath | None = None,
    workers: int | None = None,
    progress: Report | None = None,
) -> ImagesReport:
    """Check, normalise and measure images alone, without building a dataset.

    Writes `images.parquet`, `pixels/*.parquet` of the images kept, `rejections.parquet`, and what is asked for.

    Args:
        source: A folder of image files; or a table (CSV, TSV, JSON lines, Parquet) with a column of URLs or paths.
        out: The folder to write.
        recipe: Whose parts `images`, `fetch` and `duplicates` are used. Default: their defaults.
        overrides: Fields of these parts to set, such as `images.min_side=100`, or a mapping of them.
        column: The table's column of URLs or paths, several in a cell separated by `|`.
        product_column: The table's column of products. With it, placeholders that many products share are found.
        data: Root of the table's relative paths. Default: the table's folder.
        contact_sheet: Whether to render a sheet of the rejected images by reason.
        near: Whether to list the pairs of images that are the same, near, mirrored, cropped, bordered or covered.
        retry_failed: Whether to ask again for images that failed for a reason that passes.
        workspace: Where finished stages are kept. Default: `MMEC_WORKSPACE`, else `.mmec`.
        workers: Processes. Default: one per core.
        progress: Called with a stage's name, its finished work items, and all of them.

    Returns:
        How many images there are, how many were kept, how many each reason rejected, and the near pairs by kind.

    Raises:
        SourceError: The source cannot be read.
        DatasetError: `out` holds something else.
        RecipeError: Settings are wrong.
        WorkspaceError: Another build has the workspace, or its disk is full.

    Examples:
        >>> import mmecinstruct as mm
        >>> report = mm.check_images("photos", "checked", overrides={"images.min_side": 32}, workers=1)
        >>> report.images, report.kept
        (2, 1)
    """
    from mmecinstruct.pipeline.check_images import check_images
    from mmecinstruct.recipe import load_image_check_settings, override_texts

    settings = load_image_check_settings(None if recipe is None else str(recipe), override_texts(overrides))
    return check_images(
        Path(source),
        Path(out),
        settings,
        workspace=Path(workspace or default_workspace()),
        column=column,
        product_column=product_column,
        data=None if data is None else Path(data),
        workers=workers or cores(),
        sheet=contact_sheet,
        near=near,
        retry_failed=retry_failed,
        report=progress,
    )


def task_names(tasks: str | Sequence[str]) -> tuple[str, ...]:
    """Return tasks by their full names, each once.

    Args:
        tasks: "all", or names or short names, in a sequence or separated by commas.

    Raises:
        RecipeError: There is no such task, or none is named.
    """
    from mmecinstruct.tasks import TASKS

    names = comma_list(tasks) if isinstance(tasks, str) else tasks
    if tuple(names) == ("all",):
        return tuple(TASKS)
    full_names = {task.short_name: name for name, task in TASKS.items()} | {name: name for name in TASKS}
    if unknown := [name for name in names if name not in full_names]:
        known = ", ".join(f"{task.name} ({task.short_name})" for task in TASKS.values())
        raise RecipeError(f"no task '{unknown[0]}'; there are all, {known}")
    if not names:
        raise RecipeError("tasks: name at least one task, or all")
    return tuple(dict.fromkeys(full_names[name] for name in names))


def _remote_files(recipe: Recipe, folder: Path) -> list[RemoteFile]:
    from mmecinstruct.sources.publishers import remote_files

    files = [] if recipe.sample else [file for one in recipe.sources for file in remote_files(one, folder)]
    if not files:
        raise PullError(f"recipe '{recipe.name}' needs no publisher's files: there is nothing to pull")
    return files
