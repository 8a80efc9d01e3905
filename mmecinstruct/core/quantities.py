"""Format bytes and times for people."""

from __future__ import annotations

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def human(size: int) -> str:
    """Return a number of bytes as `1.2 GB`, with decimal units."""
    value = float(size)
    for unit in _UNITS[:-1]:
        if value < 999.95:
            return f"{value:.1f} {unit}" if unit != "bytes" else f"{size} bytes"
        value /= 1000
    return f"{value:.1f} {_UNITS[-1]}"


def lasting(seconds: float) -> str:
    """Return a time in seconds as `45 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
