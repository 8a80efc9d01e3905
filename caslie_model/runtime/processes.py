"""Training in several processes, as `torchrun` and `accelerate launch` start them: one writes, the others wait.

Each process takes its part of every batch, so a step has the same samples whatever the number of processes. One
process computes the features of images; the lock of their cache lets the others wait.

`PartialState` of accelerate joins and leaves the group. Number and count of processes come from the variables that both
launchers set: they are needed before the group is joined, and by commands that never import torch.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

from caslie_model.errors import ConfigError
from caslie_model.runtime.fsdp import wants_fsdp
from mmecinstruct.core.errors import MmecError

Result = TypeVar("Result")

# The first process may compute the features of a large dataset while the others wait.
_PATIENCE = timedelta(hours=24)


def process_count() -> int:
    """Return how many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def process_number() -> int:
    """Return the number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_first_process() -> bool:
    """Return whether this is the process that writes and prints; a single process is."""
    return process_number() == 0


def part_of_batch(batch_size: int) -> int:
    """Return how many samples of a batch this process takes.

    Args:
        batch_size: Samples of all processes together.

    Returns:
        Samples of one process.

    Raises:
        ConfigError: If the batch has no equal parts.
    """
    count = process_count()
    if batch_size % count:
        raise ConfigError(
            f"batch_size={batch_size} does not divide into {count} equal parts; give a multiple of {count}, or start "
            "another number of processes"
        )
    return batch_size // count


def join_processes(device: str) -> None:
    """Join the group of processes, where there are several; on a GPU select the one of this process.

    Args:
        device: auto, cpu or cuda.

    Raises:
        ConfigError: If there are more processes than GPUs, or FSDP is to divide a model on a CPU.
    """
    if process_count() == 1:
        return
    import torch
    from accelerate import PartialState

    on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if wants_fsdp() and not on_gpu:  # accelerate would quietly train without
        raise ConfigError(
            "FSDP divides models among GPUs, not on a CPU: start with torchrun, or give device=cuda"
        )
    if on_gpu:
        count = torch.cuda.device_count()
        if int(os.environ.get("LOCAL_RANK", "0")) >= count:
            raise ConfigError(
                f"there are more processes than GPUs ({count}): start one for each, or give device=cpu"
            )
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    state = PartialState(cpu=not on_gpu, backend=backend, timeout=_PATIENCE)
    # Threads of a group that still runs when the interpreter ends could abort it.
    atexit.register(state.destroy_process_group)


def end_process(status: int) -> NoReturn:
    """End this process with an exit status; in a group, without the interpreter's own shutdown.

    DDP's references to the group outlive `destroy_process_group`, and so do gloo's threads. A thread that releases a
    Python object while the interpreter shuts down aborts the process ("terminate called without an active exception"),
    and torchrun would report the finished run of all as a failure.

    Args:
        status: The exit status.
    """
    distributed = sys.modules.get("torch.distributed")  # not loaded, there is no group
    if distributed is None or not distributed.is_initialized():
        sys.exit(status)
    # Leave the group, close logs, and let trackers send their data.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def wait_for_all() -> None:
    """Return when all processes have reached this call."""
    if process_count() > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()


def first_decides(function: Callable[[], Result]) -> Result:
    """Call a function in the first process only, and share its outcome.

    Args:
        function: Takes nothing; its result must be picklable where there are several processes.

    Returns:
        The function's result, in every process.

    Raises:
        MmecError: If the function raised it, in every process.
    """
    if process_count() == 1:
        return function()
    from torch import distributed

    outcome: list[Any] = [None, None]  # a result, and an error
    if is_first_process():
        try:
            outcome[0] = function()
        except MmecError as error:
            outcome[1] = error
    distributed.broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    result: Result = outcome[0]
    return result
