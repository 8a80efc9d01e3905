"""Run a function over payloads as Ray tasks: on a cluster that is there, or on one started for the build.

A task gets paths and settings and returns nothing but the function's result; files are on a file system that all nodes
share. A node without it, or with other versions, is an error. The tasks of a node that is lost run again elsewhere.
An exception of a task's function is raised here, as it would be without Ray.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, TypeVar

from mmecinstruct.core.errors import ExecutorError, WorkspaceError
from mmecinstruct.engine.executors import node_check
from mmecinstruct.engine.executors.local import cores
from mmecinstruct.engine.executors.node_check import Requirements, problems_here, versions_here

Payload = TypeVar("Payload")
Result = TypeVar("Result")

# Retries of a task whose process or node was lost; a task that raises an error is not run again.
RETRIES = 3
# Seconds between checks of the nodes while no task finishes.
CHECK_SECONDS = 10.0
# Seconds to wait for a cluster without any node that could run a task.
PATIENCE_SECONDS = 120.0
CONNECT_SECONDS = 5.0
# Seconds for the check of a node. A node under load may take long to start a process.
PROBE_SECONDS = 120.0
_OBJECT_STORE_BYTES = 100 * 2**20  # nothing large travels
_LOCAL = "local"
_TOKEN_FILE = ".node-check-"


class RayExecutor:
    """Tasks on a Ray cluster, which is reached when first needed.

    workers: at most so many tasks at once; None: two per CPU of the cluster, so that none waits for the driver.
    address: `host:port` of a cluster, `auto` for the one that this machine is part of, None for $RAY_ADDRESS and,
    without it, a cluster on this machine that ends with the context. workspace: gets a file by which a node is known to
    share it. folders: what tasks read beside it. libraries: those whose versions must be the same on each node.

    Raises ExecutorError where ray is not installed or the address is not one.
    """

    def __init__(
        self,
        workers: int | None,
        address: str | None,
        *,
        workspace: Path,
        folders: Sequence[Path] = (),
        libraries: Sequence[str] = (),
    ) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers must be at least 1, not {workers}")
        if importlib.util.find_spec("ray") is None:
            raise ExecutorError("executor=ray needs Ray: pip install 'mmecinstruct[ray]'")
        self.workers = workers
        self.address = address or os.environ.get("RAY_ADDRESS") or _LOCAL
        if "://" in self.address:
            raise ExecutorError(
                f"ray_address={self.address}: give host:port, and run mmec on a machine that shares the cluster's "
                "file system; Ray's client protocol is not used"
            )
        self._workspace = workspace.absolute()
        self._folders = tuple(str(folder) for folder in folders)
        self._libraries = tuple(libraries)
        self._ray: ModuleType | None = None
        self._task: Any = None
        self._owns_connection = False
        self._requirements: Requirements | None = None

    def __enter__(self) -> RayExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._requirements is not None:
            Path(self._requirements.token_file).unlink(missing_ok=True)
        if self._ray is not None and self._owns_connection:
            # A cluster of our own ends; in another one our tasks end.
            self._ray.shutdown()
        self._ray = self._task = self._requirements = None

    def run(self, function: Callable[[Payload], Result], payloads: Sequence[Payload]) -> Iterator[Result]:
        """Yield `function(payload)` of every payload, in the order in which they finish.

        A single payload runs in this process: there is nothing to do beside it, and stages of one work item (DuckDB
        over whole tables) want this machine's memory limit, not a share of a node.

        Raises whatever the function raises; WorkspaceError when workers were lost again and again; ExecutorError where
        the cluster cannot be reached, has a node that does not fit, or lost all of its nodes.
        """
        if len(payloads) <= 1:
            for payload in payloads:
                yield function(payload)
            return
        if self._ray is None:
            self._connect()
        ray = self._ray
        assert ray is not None
        waiting = iter(payloads)
        in_flight: list[Any] = []
        last_alive = time.monotonic()
        try:
            while True:
                for payload in itertools.islice(waiting, max(0, self._limit() - len(in_flight))):
                    in_flight.append(self._task.remote(self._requirements, function, payload))
                if not in_flight:
                    return
                finished, in_flight = ray.wait(in_flight, num_returns=1, timeout=CHECK_SECONDS)
                if finished or _cpus(ray):
                    last_alive = time.monotonic()
                elif time.monotonic() - last_alive > PATIENCE_SECONDS:
                    raise ExecutorError(
                        "no node of the cluster can run a task any more; start one and run the same command again: "
                        "finished work items are kept"
                    )
                for reference in finished:
                    yield self._result(reference)
        finally:
            for reference in in_flight:
                ray.cancel(
                    reference,
                    force=True,
                    # Nobody waits for it; its incomplete work item is never used.
                )

    def _limit(self) -> int:
        if self.workers is not None:
            return self.workers if self.address != _LOCAL else 2 * self.workers
        return 2 * max(1, _cpus(self._ray))  # a cluster may grow

    def _result(self, reference: Any) -> Any:
        from ray.exceptions import RayError, RayTaskError

        assert self._ray is not None
        try:
            return self._ray.get(reference)
        except RayTaskError as error:
            if isinstance(error.cause, Exception):
                raise error.cause from None  # as the function raised it
            raise ExecutorError(f"a task failed on the cluster: {error}") from error
        except RayError as error:
            raise WorkspaceError(
                f"a task was lost {RETRIES + 1} times with its worker process or node (out of memory?); run the same "
                f"command again, if need be with fewer --workers: finished work items are kept ({_first_line(error)})"
            ) from error

    def _connect(self) -> None:
        """Reach or start the cluster and check its nodes."""
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # no report of a build is sent
        if ":" in self.address:
            _check_port(self.address)
        import ray

        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        if self.address == _LOCAL:
            options |= {
                "num_cpus": self.workers or cores(),
                "include_dashboard": False,
                "object_store_memory": _OBJECT_STORE_BYTES,
                "_node_ip_address": "127.0.0.1",
            }
        if not ray.is_initialized():
            try:
                ray.init(self.address, **options)
            except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
                if self.address == _LOCAL:
                    raise ExecutorError(
                        f"no Ray cluster could be started here: {_first_line(error)}"
                    ) from error
                raise ExecutorError(
                    f"the Ray cluster '{self.address}' cannot be used: {_first_line(error)}; is it running, of this "
                    "version of Ray and Python, and do you have its token (RAY_AUTH_MODE, RAY_AUTH_TOKEN)?"
                ) from error
            self._owns_connection = True
        self._ray = ray
        ray.cloudpickle.register_pickle_by_value(node_check)
        self._task = ray.remote(num_cpus=1, max_retries=RETRIES, retry_exceptions=False)(_run_on_node)
        for leftover in self._workspace.glob(f"{_TOKEN_FILE}*"):  # of a killed build
            leftover.unlink(missing_ok=True)
        token_file = self._workspace / f"{_TOKEN_FILE}{secrets.token_hex(8)}"
        self._requirements = Requirements(
            str(token_file), secrets.token_hex(16), self._folders, versions_here(self._libraries)
        )
        token_file.write_text(self._requirements.token, encoding="utf-8")
        self._check_nodes(ray)

    def _check_nodes(self, ray: ModuleType) -> None:
        """Raise ExecutorError where a node that can run tasks does not fit, naming it and the remedy.

        A cluster lists a lost node as alive until it notices: one that is gone afterwards is no node to name.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        probe = ray.remote(num_cpus=0, max_retries=1)(problems_here)
        nodes = {}
        for node in ray.nodes():
            if node["Alive"] and node["Resources"].get("CPU"):
                strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                reference = probe.options(scheduling_strategy=strategy).remote(self._requirements)
                nodes[reference] = node
        answered, silent = ray.wait(list(nodes), num_returns=len(nodes), timeout=PROBE_SECONDS)
        problems = {reference: ["does not answer: mend it or take it out"] for reference in silent}
        for reference in answered:
            try:
                problems[reference] = ray.get(reference)
            except ray.exceptions.RayError as error:
                problems[reference] = [_first_line(error)]
        there = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        wrong = [
            f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']}): {problem}"
            for reference, node in nodes.items()
            if node["NodeID"] in there
            for problem in problems[reference]
        ]
        if wrong:
            raise ExecutorError("the Ray cluster does not fit the build:\n" + "\n".join(sorted(wrong)))


_checked: set[str] = set()  # tokens of the builds that this process fits


def _run_on_node(
    requirements: Requirements, function: Callable[[Payload], Result], payload: Payload
) -> Result:
    """Run a task on a node, which may have joined after the driver looked at the nodes."""
    if requirements.token not in _checked:
        problems = problems_here(requirements)
        if problems:
            raise ExecutorError(f"node {socket.gethostname()} does not fit the build: {'; '.join(problems)}")
        _checked.add(requirements.token)
    return function(payload)


def _cpus(ray: Any) -> int:
    return int(ray.cluster_resources().get("CPU", 0))


def _check_port(address: str) -> None:
    """Raise ExecutorError where nobody listens: Ray itself would try for long and end the process."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise ExecutorError(
            f"ray_address={address}: no Ray cluster can be reached there ({error}); give the host:port that `ray "
            "start --head` printed"
        ) from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
