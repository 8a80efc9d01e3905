"""Output folders: which command made one, and whether another may write to a path.

A command writes a small mark first into the folder that it makes. Folders of earlier versions and downloaded ones have
no mark and are known by their files. The folders of `mmec build`, `mmec pull` and `mmec miniature`, and the workspace,
carry files of their own that say the same. Marks are published nowhere: uploads choose their files by name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmecinstruct.core.disk_errors import check_can_write, existing, path_problem, shown, writing_to
from mmecinstruct.core.errors import OutputError
from mmecinstruct.core.files import remove_leftovers, write_atomically
from mmecinstruct.version import __version__

MARK = ".made-by.json"
_LONGEST_MARK = 10_000  # bytes


@dataclass(frozen=True)
class Kind:
    """What a command makes.

    Attributes:
        made: In words, for messages.
        commands: The commands that make it.
        signs: Its files where it has no mark; all of one of these groups.
        encloses: Whether what another command writes inside could be lost, or would damage it.
    """

    made: str
    commands: tuple[str, ...]
    signs: tuple[tuple[str, ...], ...] = ()
    encloses: bool = True


BUILD, CHECK_IMAGES, PULL, MINIATURE = "mmec build", "mmec images", "mmec pull", "mmec miniature"
FINETUNE, ALIGN = "caslie_model finetune", "caslie_model align"
PREDICT, EVALUATE = "caslie_model predict", "caslie_model evaluate"
MERGE = "caslie_model merge"
CAPTION, CAPTION_QUALITY = "caslie_model caption", "caslie_model caption-quality"
WORKSPACE, CACHE = "mmec build --workspace", "caslie_model features"

KINDS = (
    Kind(
        "a dataset",
        (BUILD,),
        (
            ("recipe.yaml", "manifest.json"),
            ("recipe.yaml", "statistics.json"),
        ),
    ),
    Kind("checked images", (CHECK_IMAGES,), (("images.parquet", "rejections.parquet"),)),
    Kind("a workspace", (WORKSPACE,), (("lock", "stages"), ("takedowns.csv", "lock"))),
    # Both fill one raw folder, each leaves the other's files alone.
    Kind(
        "raw files",
        (PULL, MINIATURE),
        ((".mmec-pull.json",), (".mmec-pull.lock",), ("miniature.json",)),
        encloses=False,
    ),
    Kind(
        "an adapter",
        (FINETUNE,),
        (
            ("adapter_config.json",),
            ("caslie_config.json",),
            ("config.yaml", "training.json"),
            ("config.yaml", "checkpoints"),
        ),
        encloses=False,
    ),
    Kind("an alignment", (ALIGN,), encloses=False),
    Kind(
        "an evaluation",
        (EVALUATE, PREDICT),
        (("predictions.jsonl",), ("predictions.header.json",), ("metrics.json", "metrics.md")),
        encloses=False,
    ),
    Kind(
        "a model",
        (MERGE,),
        (("config.json", "model.safetensors"), ("config.json", "model.safetensors.index.json")),
        encloses=False,
    ),
    Kind("captions", (CAPTION,), encloses=False),
    Kind("a measurement of captions", (CAPTION_QUALITY,), encloses=False),
    Kind("cached features", (CACHE,), (("encoder.json",), ("features/*/encoder.json",))),
)
_ADAPTER, _ALIGNMENT = (
    next(kind for kind in KINDS if command in kind.commands) for command in (FINETUNE, ALIGN)
)


@dataclass(frozen=True)
class Made:
    """What a folder holds.

    Attributes:
        kind: What it is.
        command: The command that made it.
        is_marked: Whether its mark says so, not only its files.
    """

    kind: Kind
    command: str
    is_marked: bool

    def __str__(self) -> str:
        return f"{self.kind.made} of `{self.command}`" if self.is_marked else self.kind.made

    def is_of(self, command: str) -> bool:
        """Return whether a command may go on in the folder, by its own rules."""
        return command in self.kind.commands


def made_by(folder: Path, *, cheaply: bool = False) -> list[Made]:
    """Return what a folder holds, the marked kind first; nothing where no command of ours made it.

    Args:
        folder: The folder.
        cheaply: Look for files of fixed names only, as above a folder that may have thousands beside it.
    """
    found: dict[str, Made] = {}
    marked = _marked_command(folder)
    for kind in KINDS:
        if marked in kind.commands:
            found[kind.made] = Made(kind, marked, is_marked=True)
    for kind in KINDS:
        if any(all(_has(folder, name, cheaply) for name in names) for names in kind.signs):
            if kind is _ADAPTER and _names_a_catalogue(folder / "config.yaml"):
                kind = _ALIGNMENT
            found.setdefault(kind.made, Made(kind, kind.commands[0], is_marked=False))
    return list(found.values())


def check_output(
    folder: Path,
    command: str,
    inputs: Iterable[Path | str] = (),
    *,
    setting: str = "out",
    writes: Sequence[str] = (),
) -> None:
    """Check, before any work, that a command may write to a folder. Nothing is written.

    Args:
        folder: The folder; it need not exist.
        command: The command that will write there.
        inputs: Folders that it reads, names on the Hub among them.
        setting: The setting that names the folder.
        writes: Files that it writes; where no command of ours made the folder, none of them may be there.

    Raises:
        OutputError: If another command made the folder, it lies inside what is read or what would be lost with what is
            around it, or has no name that a folder can have. The message names the folder and the remedy.
    """
    check_path(folder, setting)
    name = f"{setting}={shown(folder)}"
    if os.path.lexists(folder) and not folder.is_dir():
        what = "a file" if folder.exists() else "a symbolic link to nothing"
        raise OutputError(f"{name} is {what}; give a folder")
    # Before anything else: what an input holds says best why it is no output.
    there = made_by(folder)
    for made in there:
        if not made.is_of(command):
            raise OutputError(f"{name} holds {made}, which `{command}` would write over; give another folder")
    resolved = folder.resolve()
    for each in inputs:
        read = Path(each)
        check_name(each, shown(each))
        if not read.is_dir():
            continue
        if resolved == read.resolve():
            raise OutputError(f"{name} is a folder that `{command}` reads; give another folder")
        if resolved.is_relative_to(read.resolve()):
            raise OutputError(
                f"{name} lies inside {shown(read)}, which `{command}` reads; give another folder"
            )
        if read.resolve().is_relative_to(resolved):
            raise OutputError(f"{name} has {shown(read)} in it, which `{command}` reads; give another folder")
    _check_not_inside(resolved, name, command)
    if not there and (others := [each for each in writes if os.path.lexists(folder / each)]):
        raise OutputError(
            f"{name} has a file {others[0]} that `{command}` did not write and would replace; give another folder"
        )


def is_marked(folder: Path, command: str) -> bool:
    """Return whether a folder has the mark of a command."""
    return _marked_command(folder) == command


def claim_output(folder: Path, command: str, setting: str = "out") -> None:
    """Create a folder and mark it as a command's own; `check_output` has found that it may be.

    Args:
        folder: The folder.
        command: The command that writes there.
        setting: The setting that names the folder.

    Raises:
        OutputError: If it cannot be written.
    """
    with writing_to(folder, setting):
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        if not is_marked(folder, command):
            write_mark(folder, command)


def write_mark(folder: Path, command: str) -> None:
    """Mark a folder as a command's own."""
    content = {"command": command, "version": __version__}
    write_atomically(folder / MARK, (json.dumps(content) + "\n").encode())


def check_output_file(path: Path, command: str, setting: str = "out") -> None:
    """Check, before any work, that a command may write a file: not into a folder that another command made.

    Args:
        path: The file; one that is there will be replaced.
        command: The command that will write it.
        setting: The setting that names the file.

    Raises:
        OutputError: If it may not, or cannot.
    """
    check_path(path, setting)
    name = f"{setting}={shown(path)}"
    if path.is_dir():
        raise OutputError(f"{name} is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise OutputError(f"{name}: there is no folder {shown(path.parent)}; create it, or give another path")
    for made in made_by(path.parent):
        if made.command not in (PULL, MINIATURE):
            raise OutputError(f"{name}: {shown(path.parent)} holds {made}; give a path outside of it")
    _check_not_inside(path.parent.resolve(), name, command)
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputError(f"{name} is read-only; give another path")
    check_can_write(path.parent, setting=setting)


def check_path(path: Path, setting: str = "out") -> None:
    """Check that something could be written at a path: its name, and the folder that it would be in.

    Args:
        path: A folder or a file, there or not.
        setting: The setting that names it.

    Raises:
        OutputError: If it could not.
    """
    name = f"{setting}={shown(path)}"
    if problem := path_problem(path):
        raise OutputError(f"{name}: {problem}")
    there = existing(path)
    if there != path.absolute() and not there.is_dir():
        raise OutputError(f"{name}: {shown(there)} is no folder; give another path")


def check_name(path: Path | str, name: str) -> None:
    """Check that a path is text, as every file that names it will be.

    Args:
        path: The path.
        name: Its name in the message.

    Raises:
        OutputError: If it is not.
    """
    if "\0" in os.fspath(path) or os.fspath(path) != shown(path):
        raise OutputError(f"{name}: the name is not UTF-8 text; give another, or rename it")


def _check_not_inside(resolved: Path, name: str, command: str) -> None:
    for above in resolved.parents:
        for made in made_by(above, cheaply=True):
            if made.kind.encloses:
                raise OutputError(
                    f"{name} lies inside {shown(above)}, which holds {made}; `{command}` writes nothing into it: give "
                    "a path outside"
                )


def _marked_command(folder: Path) -> str | None:
    """Return the command that the folder's mark names; None without a mark, or with one that cannot be read."""
    try:
        with (folder / MARK).open("rb") as stream:
            command = json.loads(stream.read(_LONGEST_MARK))["command"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return command if isinstance(command, str) else None


def _names_a_catalogue(config: Path) -> bool:
    """Return whether the settings of a training are those of an alignment, whose files are those of any adapter."""
    try:
        with config.open("rb") as stream:
            return any(line.startswith(b"catalogue:") for line in stream.read(_LONGEST_MARK).splitlines())
    except OSError:
        return False


def _has(folder: Path, name: str, cheaply: bool) -> bool:
    if "*" not in name:
        return os.path.lexists(folder / name)
    return not cheaply and next(iter(folder.glob(name)), None) is not None
