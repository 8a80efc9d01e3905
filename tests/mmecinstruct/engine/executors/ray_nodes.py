"""Ray nodes for tests, in a network namespace of their own with only loopback up.

A Ray node listens on the machine's address and tells others of it; so nodes are started nowhere else.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[4]
RAY = Path(sys.executable).with_name("ray")
PORT = 6399
START_SECONDS = 90


class NotIsolated(Exception):
    """Nodes were to be started where others could reach them."""


def why_no_namespace() -> str:
    """Return why no network namespace can be had here; nothing where it can."""
    for tool in ("unshare", "nsenter", "ip"):
        if shutil.which(tool) is None:
            return f"there is no `{tool}`"
    tried = subprocess.run(
        ["unshare", "-n", "ip", "link", "set", "lo", "up"], capture_output=True, text=True, check=False
    )
    return f"`unshare -n`: {tried.stderr.strip()}" if tried.returncode else ""


def require_isolation(pid: int) -> None:
    """Raise NotIsolated where the network namespace of a process has an address beside the loopback's."""
    shown = subprocess.run(
        ["nsenter", "-t", str(pid), "-n", "ip", "-o", "addr", "show"],
        capture_output=True,
        text=True,
        check=True,
    )
    devices = {line.split()[1] for line in shown.stdout.splitlines()}
    if devices != {"lo"}:
        raise NotIsolated(
            f"Ray starts only where loopback is the one address; here are {', '.join(sorted(devices))}"
        )


class Namespace:
    """A network namespace that lasts as long as the process that holds it, and the nodes in it."""

    def __init__(self) -> None:
        held = "ip link set lo up && echo up && exec cat"
        self.holder = subprocess.Popen(
            ["unshare", "-n", "sh", "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == "up\n"
        self.home = Path(tempfile.mkdtemp(prefix="mmec-ray-"))  # short: it holds the paths of sockets
        self.sessions: list[subprocess.Popen[str]] = []
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "HOME": str(self.home),
            "RAY_TMPDIR": str(self.home),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)]),
            "OMP_NUM_THREADS": "1",
        }

    def enter(self, *command: str) -> list[str]:
        """Return the command line that runs a command in here.

        Raises NotIsolated.
        """
        require_isolation(self.holder.pid)
        return ["nsenter", "-t", str(self.holder.pid), "-n", *command]

    def start(
        self, *command: str, environment: dict[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.Popen[str]:
        """Start a command in here, as the first of a session that `kill` ends as a whole."""
        process = subprocess.Popen(
            self.enter(*command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**self.environment, **(environment or {})},
            cwd=cwd or self.home,
            start_new_session=True,
        )
        self.sessions.append(process)
        return process

    def run(
        self, *command: str, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.enter(*command),
            capture_output=True,
            text=True,
            env={**self.environment, **(environment or {})},
            cwd=self.home,
            check=False,
            timeout=120,
        )

    def start_node(
        self, name: str, *, head: bool = False, pythonpath: str | None = None, hidden: Path | None = None
    ) -> subprocess.Popen[str]:
        """Start a node of one CPU and wait until it runs. Its workers have the node's name in MMEC_TEST_NODE.

        hidden: a folder that is empty on the node.
        """
        where = [f"--address=127.0.0.1:{PORT}"]
        if head:
            where = ["--head", f"--port={PORT}", "--include-dashboard=false"]
        command = [str(RAY), "start", *where, "--block", "--node-ip-address=127.0.0.1", "--num-cpus=1"]
        command.append(f"--object-store-memory={80 * 2**20}")
        if hidden is not None:
            script = 'mount -t tmpfs none "$0" && exec "$@"'
            command = ["unshare", "-m", "sh", "-c", script, str(hidden), *command]
        environment = {"MMEC_TEST_NODE": name}
        if pythonpath is not None:
            environment["PYTHONPATH"] = pythonpath
        node = self.start(*command, environment=environment)
        assert node.stdout is not None
        said = []
        deadline = time.monotonic() + START_SECONDS
        for line in node.stdout:
            said.append(line)
            if "Ray runtime started" in line:
                return node
            assert time.monotonic() < deadline, "".join(said)
        raise AssertionError("".join(said))

    def kill(self, session: subprocess.Popen[str]) -> None:
        """Kill a node or another started command with every process of its session, at once and without a word."""
        for pid in processes_of(session.pid):
            os.kill(pid, signal.SIGKILL)
        session.wait()
        assert session.stdout is not None
        session.stdout.close()
        self.sessions.remove(session)

    def close(self) -> None:
        for session in list(self.sessions):
            self.kill(session)
        self.holder.kill()
        self.holder.communicate()
        shutil.rmtree(self.home, ignore_errors=True)


def processes_of(session: int) -> list[int]:
    """Return the living processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found
