"""Names that lead nowhere: the error names the model and what to do."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import caslie_model
from caslie_model.backbones.language_model import load_base_model, locate
from caslie_model.data.samples import available_splits
from caslie_model.errors import ModelError
from caslie_model.hub.download import adapter_folder
from caslie_model.vision.encoder import load_vision_encoder
from mmecinstruct.core.errors import MmecError
from mmecinstruct.core.hub import _answers

SCRIPT = """
from caslie_model.backbones.language_model import load_base_model
from caslie_model.errors import ModelError
from caslie_model.vision.encoder import load_vision_encoder
for load, name in ((load_base_model, "shop/modle"), (load_vision_encoder, "shop/encodre")):
    try:
        load(name)
    except ModelError as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("load", "what"), [(load_base_model, "base model"), (load_vision_encoder, "vision encoder")]
)
def test_without_a_network(load: object, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError) as caught:
        load("shop/misspelt")  # type: ignore[operator]
    assert str(caught.value) == (
        f"{what} 'shop/misspelt' cannot be loaded: it is not in this machine's cache, and HF_HUB_OFFLINE is set: check "
        "how it is written, run once with a network, or name a folder that holds the model"
    )


@pytest.fixture
def hub(request: pytest.FixtureRequest) -> Iterator[str]:
    """A Hub that answers every question with one error code."""

    class Rejecting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response({"RepoNotFound": 404, "GatedRepo": 403}[request.param])
            self.send_header("X-Error-Code", request.param)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Rejecting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hub", "reason"),
    [
        ("RepoNotFound", "there is no such folder, and the Hub knows no model of this name: check"),
        ("GatedRepo", "its owner gives it on request: ask on its page on the Hub"),
    ],
    indirect=["hub"],
)
def test_the_hubs_answer(hub: str, reason: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={
            **environment,
            "PYTHONPATH": str(Path(caslie_model.__file__).parents[1]),
            "HF_ENDPOINT": hub,
            "HF_HOME": str(tmp_path),
            "NO_PROXY": "127.0.0.1",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    said = done.stdout.splitlines()
    assert len(said) == 2, done.stdout
    assert said[0].startswith(f"base model 'shop/modle' cannot be loaded: {reason}")
    assert said[1].startswith(f"vision encoder 'shop/encodre' cannot be loaded: {reason}")


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Hub that nothing listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    _answers.cache_clear()
    yield
    _answers.cache_clear()


@pytest.mark.parametrize(
    ("load", "what"),
    [
        (load_base_model, "base model"),
        (load_vision_encoder, "vision encoder"),
        (adapter_folder, "adapter"),
        (lambda name: available_splits(name, "sentiment_analysis"), "dataset"),
    ],
)
def test_a_name_that_is_not_there_fails_within_seconds(
    load: Callable[[str], object], what: str, silent: None, capsys: pytest.CaptureFixture[str]
) -> None:
    start = time.monotonic()
    with pytest.raises(MmecError, match=f"{what} 'shop/misspelt'"):
        load("shop/misspelt")
    assert time.monotonic() - start < 5
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.usefixtures("silent")
def test_what_is_in_the_cache_is_read_without_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    commit = "0" * 40
    kept = tmp_path / "models--shop--model"
    shutil.copytree(locate("random:tiny"), kept / "snapshots" / commit)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(commit)
    assert load_base_model("shop/model").name == "shop/model"
