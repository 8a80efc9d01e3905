"""The contestant's side of `training.py`: it trains in its turns and reports what each took.

Shared by ours and the peers, each in a process and a virtual environment of its own. Imports nothing of the project.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

VERSIONS = ("torch", "transformers", "peft", "trl", "accelerate")

Batches = list[list[int]]


def order_of(job: dict[str, Any], name: str) -> Batches:
    """Return all batches of a contestant: one to warm up, those of every turn, and one that is only fetched.

    A loader fetches a batch ahead, so each turn fetches as many batches as it trains on.
    """
    turns: list[Batches] = job["orders"][name]
    return [turns[0][0], *(batch for turn in turns for batch in turn), turns[0][0]]


class Line:
    """The connection to the coordinator: it sends JSON on the original standard output and reads words from stdin."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        # Output of libraries goes to standard error.
        os.dup2(2, 1)

    def send(self, **message: Any) -> None:
        """Send a message."""
        self._out.write(json.dumps(message) + "\n")
        self._out.flush()

    def may_go_on(self) -> bool:
        """Wait for the next turn; return whether there is one."""
        return sys.stdin.readline().strip() == "go"


def peak_memory() -> float:
    """Return the peak memory of this process in MB. Linux only."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def versions() -> dict[str, str]:
    """Return the versions of the installed packages of VERSIONS."""
    found = {}
    for name in VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def train_in_turns(line: Line, trainer: Any, turns: Sequence[Batches], **about: Any) -> None:
    """Run a Trainer with the batches of `order_of`; after the first step it waits for each turn.

    After each turn seconds, processor seconds, the loss of each step and peak memory are sent.

    Args:
        line: The connection to the coordinator.
        trainer: A transformers Trainer.
        turns: The batches of each turn.
        **about: Sent once, with versions and the number of trained weights.
    """
    from transformers import TrainerCallback

    losses: list[float] = []
    training_step = trainer.training_step

    def recorded(*args: Any, **kwargs: Any) -> Any:
        loss = training_step(*args, **kwargs)
        losses.append(float(loss))
        return loss

    class Turns(TrainerCallback):
        turn = -1
        # Steps of this turn; the first step of all warms up.
        left = 1
        begin = (0.0, 0.0)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.left -= 1
            if self.left:
                return
            took = time.perf_counter() - self.begin[0], time.process_time() - self.begin[1]
            if self.turn < 0:
                weights = sum(each.numel() for each in trainer.model.parameters() if each.requires_grad)
                line.send(versions=versions(), trained_weights=weights, losses=losses[:], **about)
            else:
                line.send(seconds=took[0], cpu=took[1], losses=losses[:], memory=peak_memory())
            losses.clear()
            ctypes.CDLL(None).malloc_trim(0)  # the others need the memory
            self.turn += 1
            if self.turn == len(turns) or not line.may_go_on():
                control.should_training_stop = True
                return
            self.left = len(turns[self.turn])
            self.begin = time.perf_counter(), time.process_time()

    trainer.training_step = recorded
    trainer.add_callback(Turns())
    trainer.train()
