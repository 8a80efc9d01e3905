"""Run a command as a user would, disturb it, and look at what it left: for `attack.py`.

Nothing here trusts what a command says of itself: files are compared by SHA-256, memory is sampled from outside,
processes that outlive their command are found in /proc.
"""

from __future__ import annotations

import hashlib
import os
import pty
import random
import resource
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from process_memory import proportional_bytes

PACKAGES = {"mmec": "mmecinstruct", "caslie_model": "caslie_model"}
# Bytes of all processes of one command. The recipes of the attacks allow 1 GB; libraries and file pages come on top.
MEMORY_LIMIT = 2_000_000_000
SAMPLED_EVERY = 0.2  # seconds
TIME_LIMIT = 150.0  # seconds of one command
GRACE = 180.0  # seconds after the deadline in which tries that began may begin another command
Digest = dict[str, str]
Made = TypeVar("Made")


class Fault(Exception):
    """What an attack found. kind: `lost` (data or a way to go on), `mixed` (of two builds), `wrong` (anything else)."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class NotTried(Exception):
    """An attack cannot be made on this machine, or not in the time."""


def lost(reason: str) -> Fault:
    return Fault("lost", reason)


def wrong(reason: str) -> Fault:
    return Fault("wrong", reason)


@dataclass
class Ran:
    """A command that has ended. code: negative where a signal ended it. peak: bytes of memory."""

    command: Sequence[str]
    code: int
    out: str
    err: str
    seconds: float
    peak: int = 0

    @property
    def said(self) -> str:
        return self.out + self.err


@dataclass
class Bench:
    """What all attacks share.

    scratch: a folder for everything that they write. seed: of all moments. deadline: time.monotonic() at which no
    further try begins.
    """

    scratch: Path
    seed: int
    deadline: float
    servers: list[AbstractContextManager[object]] = field(default_factory=list)
    running: set[Running] = field(default_factory=set)
    _made: dict[str, object] = field(default_factory=dict)
    _locks: dict[str, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def stop(self) -> None:
        """Begin no further try, and end the commands that run."""
        self.deadline = 0.0
        for command in list(self.running):
            command.signal(signal.SIGKILL)

    def once(self, name: str, make: Callable[[], Made]) -> Made:
        """Return what `make` gives, made once however many attacks ask for it at the same time."""
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            if name not in self._made:
                self._made[name] = make()
            return self._made[name]  # type: ignore[return-value]

    def moments(self, purpose: str) -> random.Random:
        """Return the random numbers of a purpose; they follow from the seed alone."""
        return random.Random(f"{self.seed} {purpose}")

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a command: nobody's tokens or caches, no network, one thread."""
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
        home, temporary = self.scratch / "home", self.scratch / "tmp"
        for folder in (home, temporary):
            folder.mkdir(parents=True, exist_ok=True)
        return {
            **kept,
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "CASLIE_MODEL_CACHE": str(home / "models"),
            "HF_HOME": str(home / "hub"),
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_XET": "1",
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
            "TOKENIZERS_PARALLELISM": "false",
            **more,
        }

    def start(self, command: Sequence[str], folder: Path, **options: object) -> Running:
        """Start a command (its first word is `mmec` or `caslie_model`) in a folder; it is ended with the context."""
        if time.monotonic() > self.deadline + GRACE:
            raise NotTried("the time was over")
        return Running(self, command, folder, **options)  # type: ignore[arg-type]

    def run(self, command: Sequence[str], folder: Path, **options: object) -> Ran:
        """Run a command to its end."""
        with self.start(command, folder, **options) as running:
            return running.ended()

    def done(self, command: Sequence[str], folder: Path, **options: object) -> Ran:
        """Run a command that has to succeed: raises a fault of the kind `lost` where it does not."""
        ran = self.run(command, folder, **options)
        if ran.code != 0:
            raise lost(f"{short(command)}: exit {ran.code}: {last_line(ran.said)}")
        return ran


class Running:
    """A command in a process group of its own.

    Args:
        bench: gives the environment.
        command: `mmec` or `caslie_model` and its arguments.
        folder: its working folder.
        environment: further variables.
        file_bytes: the largest file that it may write, in place of a full disk.
        open_files: the most open files.
        limit: seconds after which it is ended, and the attack has found a fault.
        memory: bytes, likewise.
        terminal: whether it writes to a pseudo-terminal instead of pipes.
    """

    def __init__(
        self,
        bench: Bench,
        command: Sequence[str],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        file_bytes: int | None = None,
        open_files: int | None = None,
        limit: float = TIME_LIMIT,
        memory: int = MEMORY_LIMIT,
        terminal: bool = False,
    ) -> None:
        self.command, self.limit, self.memory = command, limit, memory
        self.peak, self.refused = 0, ""
        self._logs = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115 - closed in __exit__
        self._over = threading.Event()
        self._began = time.monotonic()
        # Python sets SIGINT to its own handler only where it is not ignored, as it is below a shell's `&`.
        limits = {resource.RLIMIT_FSIZE: file_bytes, resource.RLIMIT_NOFILE: open_files}

        def prepare() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            for kind, amount in limits.items():
                if amount is not None:
                    resource.setrlimit(kind, (amount, amount))

        # Python itself leaves truncated files of bytecode behind under such a limit, which its next start cannot read.
        without_bytecode = {} if file_bytes is None else {"PYTHONDONTWRITEBYTECODE": "1"}
        whole = [sys.executable, "-m", PACKAGES[command[0]], *command[1:]]
        streams: list[int] = [log.fileno() for log in self._logs]
        self._terminal = None
        if terminal:
            self._terminal, inner = pty.openpty()
            streams = [inner, inner]
        self.process = subprocess.Popen(
            whole,
            cwd=folder,
            env=bench.environment(**(environment or {}), **without_bytecode),
            stdin=subprocess.DEVNULL,
            stdout=streams[0],
            stderr=streams[1],
            start_new_session=True,
            preexec_fn=prepare,
        )
        if terminal:
            os.close(inner)
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        self._running = bench.running
        self._running.add(self)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.signal(signal.SIGKILL)
        self._running.discard(self)
        self.process.wait()
        self._over.set()
        self._watcher.join()
        for log in self._logs:
            log.close()
        if self._terminal is not None:
            os.close(self._terminal)

    def signal(self, number: int) -> None:
        """Send a signal to the whole process group, where any of it is left."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def _watch(self) -> None:
        while not self._over.wait(SAMPLED_EVERY):
            self._read_terminal()
            amount = sum(map(proportional_bytes, session(self.process.pid)))
            self.peak = max(self.peak, amount)
            if amount > self.memory:
                self.refused = f"{amount / 1e9:.1f} GB of memory"
            elif time.monotonic() - self._began > self.limit:
                self.refused = f"not over after {self.limit:.0f} s"
            if self.refused:
                self.signal(signal.SIGKILL)
                return

    def _read_terminal(self) -> None:
        while self._terminal is not None and select.select([self._terminal], [], [], 0)[0]:
            try:
                piece = os.read(self._terminal, 1 << 16)
            except OSError:  # nobody writes any more
                return
            if not piece:
                return
            self._logs[0].write(piece)

    def wait_until(self, reached: Callable[[], bool], every: float = 0.005) -> bool:
        """Wait for a moment; return whether it came before the command's end."""
        while not reached():
            if self.process.poll() is not None:
                return False
            time.sleep(every)
        return self.process.poll() is None

    def sleep(self, seconds: float) -> bool:
        """Wait; return whether the command still runs."""
        try:
            self.process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return True
        return False

    def ended(self, *, orderly: bool = True) -> Ran:
        """Wait for the command's end.

        Args:
            orderly: raise a fault where it ended with a traceback, another exit code than 0 and 1, too late, with too
                much memory, or left processes behind. False: somebody killed it.
        """
        self.process.wait()
        seconds = time.monotonic() - self._began
        self._over.set()
        self._watcher.join()
        self._read_terminal()
        texts = []
        for log in self._logs:
            log.seek(0)
            texts.append(log.read().decode(errors="surrogateescape"))
        ran = Ran(self.command, self.process.returncode, *texts, seconds, self.peak)
        if self.refused:
            raise wrong(f"{short(self.command)}: {self.refused}")
        if orderly:
            check_orderly(ran)
        left = [pid for pid in session(self.process.pid) if pid != self.process.pid]
        deadline = time.monotonic() + 5
        while left and time.monotonic() < deadline:
            time.sleep(0.05)
            left = [pid for pid in session(self.process.pid) if pid != self.process.pid]
        if left and orderly:
            raise wrong(f"{short(self.command)}: {len(left)} processes run on after its end")
        return ran


def check_orderly(ran: Ran) -> None:
    """Raise a fault unless a command ended in one of the ways that it promises."""
    if "Traceback (most recent call last)" in ran.said or "╭───────────────────── Traceback" in ran.said:
        raise wrong(f"{short(ran.command)}: traceback: {last_line(ran.said)}")
    if ran.code not in (0, 1):
        raise wrong(f"{short(ran.command)}: exit {ran.code}: {last_line(ran.said)}")


def session(leader: int) -> list[int]:
    """Return the running processes of a session, the leader among them."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            # After the name in parentheses: state, parent, group, session.
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(name))
    return found


def short(command: Sequence[str]) -> str:
    """Return the name of a command, without its arguments."""
    return " ".join(command[:2])


def last_line(text: str) -> str:
    """Return the last line that says something, cut, and fit to show."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    chosen = next(
        (line for line in reversed(lines) if "error" in line.lower()), lines[-1] if lines else "nothing said"
    )
    return "".join(one if one.isprintable() else "?" for one in chosen)[:200]


def digest(folder: Path, pattern: str = "**/*") -> Digest:
    """Return the SHA-256 of each file below a folder; of a symbolic link, where it leads."""
    found = {}
    for path in sorted(folder.glob(pattern)):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"link to {os.readlink(path)}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def difference(found: Digest, right: Digest) -> str:
    """Return in a few words how two digests differ; nothing where they do not."""
    parts = (
        ("missing", sorted(right.keys() - found.keys())),
        ("too many", sorted(found.keys() - right.keys())),
        ("other bytes", sorted(name for name in found.keys() & right.keys() if found[name] != right[name])),
    )
    return "; ".join(
        f"{what}: {', '.join(names[:3])}" + (" …" if len(names) > 3 else "") for what, names in parts if names
    )


def beside(folder: Path, *expected: str) -> list[str]:
    """Return what lies in a folder besides what is expected; locks may."""
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.name not in expected and not path.name.endswith(".lock")
    )


@contextmanager
def small_disk(folder: Path, megabytes: float) -> Iterator[Callable[[float], None]]:
    """Mount an empty disk of so many megabytes in memory; yield a function that gives it another size.

    Raises NotTried where nothing may be mounted.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def mount(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "attack", str(folder)]
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            raise NotTried(f"no disk could be mounted: {made.stderr.strip()}")

    try:
        mount(f"size={int(megabytes * 1024)}k")
    except FileNotFoundError as error:
        raise NotTried("no disk could be mounted: there is no `mount`") from error
    try:
        yield lambda size: mount(f"remount,size={int(size * 1024)}k")
    finally:
        # Lazily: a process that was just killed may hold a file for a moment.
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


@dataclass(frozen=True)
class Finding:
    """The outcome of one try. fault: None where it was survived."""

    name: str
    fault: Fault | None = None


@dataclass(frozen=True)
class Attack:
    """One try, or some that share their runs.

    name: for the record. run: makes the attack in an empty folder; raises a `Fault` or returns findings (None: one try,
    survived). quick: whether it is among those of `--quick`. alone: whether nothing may run beside it.
    """

    group: str
    name: str
    run: Callable[[Bench, Path], Sequence[Finding] | None]
    quick: bool = False
    alone: bool = False
