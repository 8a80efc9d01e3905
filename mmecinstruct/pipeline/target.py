"""The place of a dataset folder: locked during a build, and replaced in one step when the new folder is complete.

    NAME/                   the dataset folder (--out)
    .NAME.build-lock        locked by the build that will replace NAME; who has it stands in it
    .NAME.build-<random>/   one build's work
        mark                its mark, locked as long as the build lives
        new/                the folder that will replace NAME
        old/                the replaced folder, for a moment

Beside NAME only folders with that mark are removed.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mmecinstruct.core.disk_errors import NOT_WRITABLE, path_problem, remedy
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.files import exchange, sync_folder
from mmecinstruct.core.locks import LockHeld, hold_lock
from mmecinstruct.dataset.manifest import read_manifest

_MARK = "mark"
_NAME_BYTES = 220
# Errors of file systems that cannot lock.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def resolve_target(out: Path) -> Path:
    """Return where the dataset folder is, links followed, after checking that a build may replace what is there.

    Raises:
        DatasetError: There is a file, or a folder that holds something else than a dataset; or the path cannot be
            used.
    """
    if problem := path_problem(out):
        raise DatasetError(f"out={out}: {problem}")
    target = out.resolve()
    check_target(target)
    return target


def check_target(out: Path) -> None:
    """Check that a target is a dataset folder, an empty folder or none.

    Raises:
        DatasetError: It is something else, or cannot be read.
    """
    if len(os.fsencode(out.name)) > _NAME_BYTES:
        raise DatasetError(f"out={out}: the name has more than {_NAME_BYTES} bytes; choose a shorter one")
    if out.exists() and not out.is_dir():
        raise DatasetError(f"out={out}: there is a file of that name")
    if out.is_dir() and (os.path.ismount(out) or out == Path.cwd()):
        what = "a mount point" if os.path.ismount(out) else "the current folder"
        raise DatasetError(f"out={out}: is {what}, which cannot be replaced; name a folder in it")
    try:
        if not out.is_dir() or not any(out.iterdir()):
            return
    except OSError as error:
        raise DatasetError(f"out={out}: cannot be read: {error.strerror}; {remedy(error)}") from error
    try:
        read_manifest(out)
    except DatasetError as error:
        raise DatasetError(
            f"out={out}: the folder holds other files than a dataset ({error}); name a new or an empty one"
        ) from error


@contextmanager
def lock_target(out: Path) -> Iterator[OSError | None]:
    """Keep other builds away from a target while the context lasts, and clear what killed builds left beside it.

    A folder that a build was killed in the middle of replacing is brought back.

    Args:
        out: The dataset folder, links followed.

    Yields:
        None, or why nothing can be written there.

    Raises:
        DatasetError: Another build has the target, or its folder cannot be made.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"out={out}: cannot be made: {error.strerror}; {remedy(error)}") from error
    blocked = None
    with ExitStack() as stack:
        try:
            stack.enter_context(hold_lock(out.with_name(f".{out.name}.build-lock"), remove=True))
            _clear_leftovers(out)
        except LockHeld as error:
            raise DatasetError(
                f"out={out}: another build ({error}) writes this folder; wait for it or name another"
            ) from None
        except OSError as error:
            if error.errno in NOT_WRITABLE:
                blocked = error
            # Without locks two builds do not mix either: a new folder takes its place in one step.
            elif error.errno not in _NO_LOCKS:
                raise DatasetError(
                    f"out={out}: cannot be locked: {error.strerror}; {remedy(error)}"
                ) from error
        yield blocked


@contextmanager
def replacing(out: Path, carry_over: Callable[[Path, Path], None]) -> Iterator[Path]:
    """Give a new folder beside `out`, which replaces it when it is filled and is removed when that fails.

    Args:
        out: The dataset folder, links followed.
        carry_over: Called with the old and the new folder, before and after the new one takes its place, to take over
            what no build wrote.

    Raises:
        OSError: The disk is full or cannot be written.
    """
    work = out.with_name(f".{out.name}.build-{secrets.token_hex(4)}")
    work.mkdir(parents=True)
    try:
        with hold_lock(work / _MARK):
            new = work / "new"
            new.mkdir()
            yield new
            check_target(out)
            if out.is_dir():
                carry_over(out, new)
                carry_over(_swap(out, new, work / "old"), out)
            else:
                new.rename(out)
            sync_folder(out.parent)
    finally:
        # A full disk must not keep an incomplete folder.
        _remove(work, out)


def _swap(out: Path, new: Path, aside: Path) -> Path:
    """Put the new folder in the place of the old one; return where the old one is."""
    if exchange(out, new):
        return new
    out.rename(aside)
    try:
        new.rename(out)
    except OSError:
        aside.rename(out)
        raise
    return aside


def _clear_leftovers(out: Path) -> None:
    """Remove what killed builds left, and bring back a folder that one of them had moved aside."""
    for work in sorted(out.parent.iterdir()):
        if not work.name.startswith(f".{out.name}.build-") or work.is_symlink():
            continue
        mark = work / _MARK
        if not mark.is_file() or mark.is_symlink():
            continue
        with suppress(LockHeld, OSError), hold_lock(mark):
            _remove(work, out)


def _remove(work: Path, out: Path) -> None:
    old = work / "old"
    if old.is_dir() and not out.exists():
        old.rename(out)
    for part in (work / "new", work / "old"):
        for folder, _, _ in os.walk(part):
            # Also of folders that a person has made read-only.
            with suppress(OSError):
                os.chmod(folder, 0o700)
        shutil.rmtree(part, ignore_errors=True)
    # The mark goes last, so that the next build finishes a removal that was killed or did not succeed.
    if not any(os.path.lexists(work / part) for part in ("new", "old")):
        shutil.rmtree(work, ignore_errors=True)
