"""One run at a time writes to a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from caslie_model.errors import RunError
from caslie_model.runtime.processes import is_first_process
from mmecinstruct.core.locks import LockHeld, hold_lock


@contextmanager
def output_lock(out: Path) -> Iterator[None]:
    """Hold the lock of an output folder while the context lasts; it is a file beside the folder.

    Of several processes of one run the first holds it. Where no file can be made there is no lock.

    Args:
        out: The folder, there or not.

    Yields:
        Nothing.

    Raises:
        RunError: If another process holds it.
    """
    target = out.resolve()
    with ExitStack() as stack:
        if is_first_process():
            made = [parent for parent in target.parents if not parent.exists()]
            stack.callback(_remove_empty, made)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                lock = target.with_name(f".{target.name[:200]}.run-lock")
                stack.enter_context(hold_lock(lock, remove=True))
            except LockHeld as error:
                raise RunError(
                    f"out={out}: another run writes there ({error}); wait for it, or give another folder"
                ) from None
            except OSError:
                pass
        yield


def _remove_empty(folders: list[Path]) -> None:
    """Remove what was made for the lock alone, innermost first."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
