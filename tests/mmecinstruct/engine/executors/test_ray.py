"""Ray as the executor: the same bytes, lost nodes, nodes that do not fit, errors as they are without it."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pyarrow.parquet as pq
import pytest

from mmecinstruct.core.errors import ExecutorError
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.engine.executors import RayExecutor, node_check
from mmecinstruct.engine.executors.node_check import Requirements, problems_here, versions_here
from tests.mmecinstruct.engine.executors import ray_nodes

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
STAGES = str(HERE / "ray_stages.py")
ADDRESS = "127.0.0.1:6399"

NO_RAY = """
import sys
from importlib.machinery import PathFinder


class WithoutRay(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name == "ray" else super().find_spec(name, path, target)


sys.meta_path = [WithoutRay if finder is PathFinder else finder for finder in sys.meta_path]
"""


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- without a cluster ---------------------------------------------------------------------------------


def double(number: int) -> tuple[int, int]:
    return 2 * number, os.getpid()


def test_a_single_payload_needs_no_cluster(tmp_path: Path) -> None:
    with RayExecutor(2, "127.0.0.1:1", workspace=tmp_path) as executor:
        assert list(executor.run(double, [4])) == [(8, os.getpid())]
        assert list(executor.run(double, [])) == []


def test_an_address_without_a_server_is_an_error_at_once(tmp_path: Path) -> None:
    with (
        RayExecutor(2, "127.0.0.1:1", workspace=tmp_path) as executor,
        pytest.raises(ExecutorError, match=r"127\.0\.0\.1:1: no Ray cluster can be reached there .*refused"),
    ):
        list(executor.run(double, [1, 2]))
    assert list(tmp_path.iterdir()) == []


def test_the_address_in_the_environment_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:2")
    with (
        RayExecutor(2, None, workspace=tmp_path) as executor,
        pytest.raises(ExecutorError, match=r"127\.0\.0\.1:2"),
    ):
        list(executor.run(double, [1, 2]))


def test_the_client_protocol_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ExecutorError, match="shares the cluster's file system"):
        RayExecutor(2, "ray://127.0.0.1:10001", workspace=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--executor", "ray"), "pip install 'mmecinstruct[ray]'"),
        (("--ray-address", "auto"), "--ray-address goes with --executor ray"),
    ],
)
def test_impossible_settings_are_an_error_before_any_work(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_RAY)
    result = subprocess.run(
        [sys.executable, "-m", "mmecinstruct", "build", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / ".mmec").exists()


def test_ray_is_imported_only_when_it_is_needed(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mmecinstruct.engine.executors import RayExecutor\n"
        "import mmecinstruct.pipeline.build\n"
        "RayExecutor(1, None, workspace=Path('.'))\n"
        "print('ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.fixture
def requirements(tmp_path: Path) -> Requirements:
    (tmp_path / "token").write_text("abc")
    return Requirements(str(tmp_path / "token"), "abc", (str(tmp_path),), versions_here(["pillow", "numpy"]))


def test_a_machine_like_the_driver_fits(requirements: Requirements) -> None:
    assert problems_here(requirements) == []


def test_a_machine_with_another_folder_at_the_path_does_not_fit(
    requirements: Requirements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_check, "TOKEN_SECONDS", 0.0)
    Path(requirements.token_file).write_text("of another build")
    assert "does not have the workspace" in problems_here(requirements)[0]
    Path(requirements.token_file).unlink()
    assert "all nodes share under the same path" in problems_here(requirements)[0]


def test_a_machine_without_the_data_does_not_fit(requirements: Requirements, tmp_path: Path) -> None:
    lacking = Requirements(**{**requirements.__dict__, "folders": (str(tmp_path / "shop"),)})
    assert f"does not have {tmp_path / 'shop'}" in problems_here(lacking)[0]


@pytest.mark.parametrize("name", ["pillow", "python", node_check.CODE])
def test_a_machine_with_another_version_does_not_fit(requirements: Requirements, name: str) -> None:
    other = Requirements(**{**requirements.__dict__, "versions": {**requirements.versions, name: "0.1"}})
    (problem,) = problems_here(other)
    assert f"{name} {requirements.versions[name]} instead of 0.1" in problem
    assert "install the same versions" in problem


# --- on clusters in a namespace of their own -----------------------------------------------------------

MISSING = "ray is not installed" if importlib.util.find_spec("ray") is None else ray_nodes.why_no_namespace()
isolated = pytest.mark.skipif(bool(MISSING), reason=f"no network namespace for Ray: {MISSING}")


@pytest.fixture
def namespace() -> Iterator[ModuleType]:
    opened = ray_nodes.Namespace()
    yield opened
    opened.close()


@pytest.fixture
def head(namespace) -> subprocess.Popen[str]:
    return namespace.start_node("node a", head=True)


def run_stage(namespace, function: str, folder: Path) -> dict[str, object]:
    done = namespace.run(
        sys.executable, STAGES, function, str(folder / "workspace"), str(folder / "log"), ADDRESS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def attempts(folder: Path) -> list[int]:
    return sorted(int(path.name.partition("-")[0]) for path in (folder / "log").iterdir())


@isolated
def test_nodes_are_started_only_on_a_private_network() -> None:
    opened = ray_nodes.Namespace()
    try:
        ray_nodes.require_isolation(opened.holder.pid)
        for command in (
            "ip link add outside type veth peer name inside",
            "ip addr add 192.0.2.1/24 dev outside",
        ):
            subprocess.run(["nsenter", "-t", str(opened.holder.pid), "-n", *command.split()], check=True)
        with pytest.raises(ray_nodes.NotIsolated, match="here are lo, outside"):
            opened.start_node("node a", head=True)
        assert opened.sessions == []
    finally:
        opened.close()


@pytest.mark.slow
@isolated
@pytest.mark.usefixtures("head")
@pytest.mark.parametrize(
    ("function", "error", "said"),
    [
        ("fail_on_two", "SourceError", "two.csv:2: not a number; mend the line"),
        ("fill_the_disk", "WorkspaceError", "stage stage: No space left on device (x.parquet); free space"),
        ("break_code", "KeyError", "a fault of the program"),
    ],
)
def test_an_error_of_a_task_is_the_same_as_without_ray(
    namespace, tmp_path: Path, function: str, error: str, said: str
) -> None:
    end = run_stage(namespace, function, tmp_path)
    assert end["error"] == error
    assert said in str(end["said"])
    if function == "fail_on_two":
        assert attempts(tmp_path).count(2) == 1  # it would fail again


@pytest.mark.slow
@isolated
@pytest.mark.usefixtures("head")
def test_a_task_whose_process_dies_is_retried(namespace, tmp_path: Path) -> None:
    end = run_stage(namespace, "die_on_two", tmp_path)
    assert end["error"] == "WorkspaceError"
    assert "lost 4 times" in str(end["said"])
    assert "run the same command again" in str(end["said"])
    assert attempts(tmp_path).count(2) == 4


@pytest.mark.slow
@isolated
@pytest.mark.usefixtures("head")
def test_the_tasks_of_a_killed_node_run_elsewhere(namespace, tmp_path: Path) -> None:
    node = namespace.start_node("node b")
    log = tmp_path / "log"
    driver = namespace.start(
        sys.executable, STAGES, "write_number", str(tmp_path / "workspace"), str(log), ADDRESS
    )
    while not (log.is_dir() and any(path.read_text() == "node b" for path in log.iterdir())):
        assert driver.poll() is None, driver.stdout.read()
    halves = {path.read_text() for path in (tmp_path / "workspace").rglob(".tmp-*/number.txt")}
    namespace.kill(node)
    said = driver.communicate(timeout=90)[0]
    assert json.loads(said.splitlines()[-1]) == {"numbers": list("012345")}, said
    assert "half" in halves
    tried = attempts(tmp_path)
    assert set(tried) == set(range(6))
    assert len(tried) > 6
    (stage,) = (tmp_path / "workspace" / "stages" / "stage").iterdir()
    assert sorted(path.name for path in stage.iterdir()) == [f"{n:03d}" for n in range(6)] + ["manifest.json"]


@pytest.mark.slow
@isolated
@pytest.mark.usefixtures("head")
def test_a_node_that_was_lost_just_before_a_build_does_not_stop_it(namespace, tmp_path: Path) -> None:
    # The cluster takes seconds to notice, and lists the node as alive until then.
    namespace.kill(namespace.start_node("node b"))
    end = run_stage(namespace, "write_number", tmp_path)
    assert end == {"numbers": list("012345")}


@pytest.fixture(scope="module")
def small_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset folder that processes on this machine build."""
    folder = tmp_path_factory.mktemp("local")
    command = [sys.executable, STAGES, "build", str(folder / "out"), str(folder / "workspace"), "local"]
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)])},
    )
    return folder / "out"


@pytest.mark.slow
@isolated
@pytest.mark.usefixtures("head")
def test_a_build_that_loses_a_node_gives_the_same_files_as_one_without_ray(
    namespace, small_shop: Path, tmp_path: Path
) -> None:
    node = namespace.start_node("node c")
    driver = namespace.start(
        sys.executable, STAGES, "build", str(tmp_path / "out"), str(tmp_path / "workspace"), "ray", ADDRESS
    )
    killed, progress = False, {}
    for line in driver.stdout:
        stage, _, numbers = line.partition(" ")
        progress[stage] = numbers
        if stage == "images" and not numbers.startswith("0 ") and not killed:
            namespace.kill(node)
            killed = True
    assert driver.wait() == 0, progress
    assert killed
    assert int(progress["images"].split()[1]) > 4
    assert int(progress["render-category_classification"].split()[1]) > 2
    assert hashes(tmp_path / "out") == hashes(small_shop)
    assert not list((tmp_path / "workspace").glob(".node-check-*"))


@pytest.mark.slow
@isolated
@pytest.mark.usefixtures("head")
def test_nodes_that_do_not_fit_are_named_with_the_remedy(namespace, tmp_path: Path) -> None:
    workspace, other = tmp_path / "workspace", tmp_path / "other"
    workspace.mkdir()
    code = other / "mmecinstruct" / "version.py"
    code.parent.mkdir(parents=True)
    for entry in (ROOT / "mmecinstruct").iterdir():
        if entry.name not in ("version.py", "__pycache__"):
            (other / "mmecinstruct" / entry.name).symlink_to(entry)
    (other / "templates").symlink_to(ROOT / "templates")
    code.write_text('__version__ = "0.0.0"\n')
    nodes = [
        namespace.start_node("node d", hidden=workspace),
        namespace.start_node("node e", pythonpath=str(other)),
    ]
    try:
        done = namespace.run(
            sys.executable, STAGES, "fail_on_two", str(workspace), str(tmp_path / "log"), ADDRESS
        )
        end = json.loads(done.stdout.splitlines()[-1])
        assert end["error"] == "ExecutorError"
        said = end["said"].splitlines()
        assert len(said) == 3
        assert any(f"does not have the workspace {workspace}" in line for line in said)
        assert any("the code of mmecinstruct" in line and "same versions" in line for line in said)
        assert list((tmp_path / "log").iterdir()) == []
    finally:
        for node in nodes:
            namespace.kill(node)


@pytest.mark.slow
@isolated
def test_a_build_on_its_own_cluster_continues_after_ctrl_c(
    namespace, small_shop: Path, tmp_path: Path
) -> None:
    out, workspace = tmp_path / "out", tmp_path / "workspace"
    over_ray = [sys.executable, "-m", "mmecinstruct", "build", "--tasks", "cc,ap", "--workers", "2"]
    over_ray += ["--set", "sample.products=60", "--out", str(out), "--workspace", str(workspace)]
    over_ray += ["--executor", "ray"]
    build = namespace.start(*over_ray)
    said = []
    for line in build.stdout:
        said.append(line)
        if line.startswith("parse-01"):
            os.killpg(build.pid, signal.SIGINT)
    assert build.wait() == 130, "".join(said)
    assert said[-1] == "interrupted; run the same command again: it continues where it stopped\n"
    assert ray_nodes.processes_of(build.pid) == []
    finished = {path: path.stat().st_mtime_ns for path in workspace.glob("stages/synthetic_shop/*/tables/*")}
    again = namespace.run(*over_ray)
    assert again.returncode == 0, again.stderr
    assert again.stdout == f"{out}\n"
    assert finished
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    # The other was cut into smaller work items, which only the row groups of its rejections tell.
    folders = [hashes(folder) for folder in (out, small_shop)]
    for folder in folders:
        del folder["manifest.json"], folder["rejections/rejections.parquet"]
    assert folders[0] == folders[1]
    rejected = [pq.read_table(folder / "rejections" / "rejections.parquet") for folder in (out, small_shop)]
    assert rejected[0].equals(rejected[1])
