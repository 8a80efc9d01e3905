"""A Hub that does not answer costs a moment, not half a minute a file."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

import mmecinstruct as mm
from mmecinstruct.core import hub
from mmecinstruct.core.errors import DatasetError


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Hub that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "0.5")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        hub._answers.cache_clear()
        yield
    hub._answers.cache_clear()


def test_a_silent_hub_is_asked_once_and_then_left_alone(
    silent: None, capsys: pytest.CaptureFixture[str]
) -> None:
    start = time.monotonic()
    for _ in range(3):
        with hub.reading_from_hub("user/name"):
            assert constants.HF_HUB_OFFLINE
        assert not constants.HF_HUB_OFFLINE
    assert time.monotonic() - start < 5
    assert capsys.readouterr().err.count("the Hugging Face Hub does not answer") == 1


def test_a_folder_asks_nothing(silent: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with hub.reading_from_hub(tmp_path):
        assert not constants.HF_HUB_OFFLINE
    assert not capsys.readouterr().err


def test_a_missing_dataset_fails_at_once(silent: None) -> None:
    start = time.monotonic()
    with pytest.raises(DatasetError, match="shop/misspelt"):
        mm.load("shop/misspelt", "sa")
    assert time.monotonic() - start < 10
