"""Peak memory of a process."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from caslie_model.runtime.device import Device


def begin_peak(device: Device) -> None:
    """Start to measure peak memory. On a CPU without Linux it counts from the start of the process.

    Args:
        device: Where the work runs.
    """
    if not device.is_cpu:
        import torch

        torch.cuda.reset_peak_memory_stats()
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes(device: Device) -> int:
    """Return the peak memory in bytes since `begin_peak`.

    Args:
        device: Where the work runs.

    Returns:
        Resident memory of the process on a CPU, memory that torch allocated on a GPU.
    """
    if not device.is_cpu:
        import torch

        return int(torch.cuda.max_memory_allocated())
    # Not getrusage where there is a choice: its figure starts from that of the parent process.
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
