"""Full disks: a command ends with a message, and goes on where there is room again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from attack_runs import Attack, Bench, Fault, last_line, small_disk, wrong
from attack_targets import TARGETS

GROUP = "full disks"
CHECKED = (
    "exit status 1 with a message and no traceback; with room again the same command (a training with `--resume`) "
    "gives the undisturbed result. A small tmpfs, or a limit of a file's size"
)
# Megabytes that do not suffice.
DISKS: dict[str, tuple[float, ...]] = {
    "build": (0.3, 1.5, 3.0),
    "assemble": (0.3,),
    "replace a dataset": (0.4,),
    "images": (0.1, 0.5),
    "pull": (1.0, 3.0),
    "features": (0.05,),
    "finetune": (0.05, 0.5, 2.0),
    "align": (0.3,),
    "evaluate": (0.004, 0.02),
    "merge": (0.1, 0.6),
}
# Bytes of a file.
FILES: dict[str, tuple[int, ...]] = {
    "build": (2_000, 60_000),
    "images": (20_000,),
    "pull": (500_000,),
    "features": (2_000,),
    "finetune": (20_000, 200_000),
    "evaluate": (3_000,),
    "merge": (100_000,),
    "push": (1_000,),
}
SAYS = ("No space left", "File too large", "disk", "space", "cannot be written")


def full(name: str, megabytes: float) -> Callable[[Bench, Path], None]:
    """Return an attack by a disk that is full."""

    def attack(bench: Bench, folder: Path) -> None:
        for size in (megabytes, megabytes / 4, megabytes / 16):
            disk = folder / f"{size}"
            with small_disk(disk, 200) as resize, TARGETS[name](bench, disk) as prepared:
                prepared.release()
                resize(shutil.disk_usage(disk).used / 2**20 + size)
                full_up = refused(bench, disk, prepared.command, prepared.environment, None)
                resize(200)
                prepared.go_on(bench, disk)
                if full_up:
                    return
        raise wrong("the command never filled its disk")

    return attack


def limited(name: str, file_bytes: int) -> Callable[[Bench, Path], None]:
    """Return an attack by a limit on the size of files."""

    def attack(bench: Bench, folder: Path) -> None:
        with TARGETS[name](bench, folder) as prepared:
            prepared.release()
            refused(bench, folder, prepared.command, prepared.environment, file_bytes)
            prepared.go_on(bench, folder)

    return attack


def refused(
    bench: Bench, folder: Path, command: list[str], environment: dict[str, str], file_bytes: int | None
) -> bool:
    """Run a command that cannot write; raise a fault unless it says so. Return False where it could write after all."""
    ran = bench.run(command, folder, environment=environment, file_bytes=file_bytes)
    if ran.code == 0:
        return False
    if not any(word in ran.said for word in SAYS):
        raise wrong(f"the message does not speak of the disk: {last_line(ran.said)}")
    return True


def going_on(attack: Callable[[Bench, Path], None]) -> Callable[[Bench, Path], None]:
    """Return an attack that says which of its halves failed."""

    def named(bench: Bench, folder: Path) -> None:
        try:
            attack(bench, folder)
        except Fault as fault:
            raise Fault(fault.kind, str(fault).replace(str(folder), "…")) from fault

    return named


def attacks(bench: Bench) -> list[Attack]:
    """Return the attacks of this group."""
    return [
        *(
            Attack(
                GROUP,
                f"{name}, {size} MB free",
                going_on(full(name, size)),
                quick=name == "build" and size == 1.5,
            )
            for name, sizes in DISKS.items()
            for size in sizes
        ),
        *(
            Attack(
                GROUP,
                f"{name}, files below {size:,} bytes",
                going_on(limited(name, size)),
                quick=name == "merge",
            )
            for name, sizes in FILES.items()
            for size in sizes
        ),
    ]
