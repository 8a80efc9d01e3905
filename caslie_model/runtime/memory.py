"""Memory that a process takes."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path


def begin_peak(device: str) -> None:
    """Let `peak_bytes` count from now on; on a CPU without Linux it counts from the start of the process."""
    if device != "cpu":
        import torch

        torch.cuda.reset_peak_memory_stats()
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes(device: str) -> int:
    """Return the most memory at once: resident memory of the process, or on a GPU what torch had allocated."""
    if device != "cpu":
        import torch

        return int(torch.cuda.max_memory_allocated())
    # Not getrusage where there is a choice: its figure begins with that of the parent process.
    found = _status("VmHWM")
    if found is not None:
        return found
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _status(name: str) -> int | None:
    """Return an entry of Linux' account of this process, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)
