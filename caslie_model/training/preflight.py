"""Checks before a training: trackers, compiler and memory. Every error has a remedy."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from caslie_model.config.training import TRACKERS, TrainingConfig
from caslie_model.errors import ConfigError, RunError
from caslie_model.runtime.device import Device

# How torch words it when a CPU has no memory left; on a GPU the error has a type of its own.
_CPU_WORDS = ("can't allocate memory", "not enough memory", "bad_alloc")


def check_trackers(names: Sequence[str]) -> None:
    """Check that trackers are installed.

    Args:
        names: Names of trackers.

    Raises:
        ConfigError: If one is missing; the message has the command that installs it.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        packages = " ".join(TRACKERS[name] for name in missing)
        raise ConfigError(
            f"report_to: {', '.join(missing)} not installed; `pip install {packages}`, or leave it out"
        )


def check_compiler(device: Device) -> None:
    """Compile a function of one line.

    Args:
        device: Where the training runs.

    Raises:
        ConfigError: If torch.compile does not work here.
    """
    import torch

    try:
        torch.compile(lambda numbers: numbers.sin() + 1, dynamic=False)(torch.ones(8, device=device.name))
    except (RuntimeError, ImportError, OSError) as error:
        needed = "a C++ compiler (g++ or clang++)" if device.is_cpu else "triton and a C compiler"
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"compile: torch.compile does not work here ({reason}); on a {device.name} it needs {needed}: install "
            "that, or give compile=false"
        ) from error


@contextmanager
def explained_memory_errors(config: TrainingConfig) -> Iterator[None]:
    """Turn errors of exhausted memory into one that says what to change.

    Args:
        config: The settings of the run.

    Yields:
        Nothing.

    Raises:
        RunError: If memory runs out.
    """
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise RunError(_advice(config)) from error
    except RuntimeError as error:
        if any(words in str(error) for words in _CPU_WORDS):
            raise RunError(_advice(config)) from error
        raise


def _advice(config: TrainingConfig) -> str:
    changes = []
    if config.batch_size > 1:
        smaller = max(n for n in range(1, config.batch_size) if config.batch_size % n == 0)
        passes = config.gradient_accumulation * config.batch_size // smaller
        changes.append(
            f"batch_size={smaller} with gradient_accumulation={passes} (a step stays the same samples)"
        )
    if not config.gradient_checkpointing:
        changes.append("gradient_checkpointing=true")
    changes.append(f"a max_length below {config.max_length}")
    return (
        f"training ran out of memory; give {', or '.join(changes)}, and start again with --overwrite; "
        "`--dry-run` measures what a setting needs"
    )
