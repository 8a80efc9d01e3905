"""Files of the Hugging Face Hub: located by huggingface_hub, resumed and checked like all others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mmecinstruct.sources.remote_file import HubFile, RemoteFile
from tests.servers import hub_server

TOKEN = "hf_secret_token"
REPO = "publisher/products"
ORIGIN = "sqid/products.csv"


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    with hub_server.running_hub({TOKEN: "publisher", "hf_other": "somebody"}) as server:
        yield server


@pytest.fixture
def hub(
    running: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
    mugs: bytes,
) -> Any:
    """A Hub with one public repository: a large file (`data/mugs.gz`) and a small one (`products.csv`)."""
    running.reset()
    monkeypatch.setenv("HF_ENDPOINT", running.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("NO_PROXY", "*")
    make_repository(running, mugs)
    return running


def make_repository(hub: Any, large: bytes, private: bool = False) -> None:
    made = hub_server.Repository(REPO, private)
    files = {
        "data/mugs.gz": hub_server.File(large, True),
        "products.csv": hub_server.File(b"product_id,image_url\n", False),
    }
    made.commit("main", files, "first")
    hub.repositories[REPO] = made
    for file in files.values():
        if file.large:
            hub.large_files[file.sha256] = file.content


def remote(filename: str = "data/mugs.gz", origin: str = "a/mugs.gz", **known: Any) -> RemoteFile:
    return RemoteFile(origin, "sqid", hub=HubFile(REPO, filename), **known)


def test_large_and_small_files_arrive(puller: Any, hub: Any, mugs: bytes) -> None:
    report = puller(remote(), remote("products.csv", ORIGIN))
    assert [file.status for file in report.files] == ["fetched", "fetched"]
    assert puller.content("a/mugs.gz") == mugs
    assert puller.content(ORIGIN) == b"product_id,image_url\n"
    assert report.files[0].url == f"{hub.url}/datasets/{REPO}/resolve/main/data/mugs.gz"


def test_the_plan_knows_their_sizes(puller: Any, hub: Any, mugs: bytes) -> None:
    plan = puller.plan(remote(), remote("products.csv", ORIGIN), remote("gone.csv", "gone.csv"))
    assert [planned.size for planned in plan.files] == [len(mugs), 21, None]
    assert {request.method for request in hub.requests} == {"HEAD"}


def test_a_second_pull_makes_no_request(puller: Any, hub: Any) -> None:
    puller(remote())
    asked = len(hub.requests)
    assert puller(remote()).files[0].status == "present"
    assert len(hub.requests) == asked


def test_a_download_that_broke_off_continues_in_a_later_pull(puller: Any, hub: Any, mugs: bytes) -> None:
    hub.cut_downloads_after = 100_000
    assert puller(remote(), retries=0).files[0].status == "failed"
    hub.cut_downloads_after = None
    [done] = puller(remote()).files
    assert (done.status, done.continued_at) == ("fetched", 100_000)
    assert hub.sent("GET", "storage")[-1].range == "bytes=100000-"
    assert puller.content("a/mugs.gz") == mugs


def test_a_new_commit_between_two_pulls_begins_again(puller: Any, hub: Any, pots: bytes) -> None:
    hub.cut_downloads_after = 100_000
    puller(remote(), retries=0)
    hub.cut_downloads_after = None
    make_repository(hub, pots)
    [done] = puller(remote()).files
    assert (done.status, done.continued_at) == ("fetched", 0)
    assert any("another ETag" in note for note in done.notes)
    assert puller.content("a/mugs.gz") == pots


@pytest.mark.parametrize("filename", ["data/mugs.gz", "products.csv"])
def test_bytes_with_another_hash_than_the_hubs_are_rejected(
    puller: Any, hub: Any, filename: str, mugs: bytes
) -> None:
    file = next(iter(hub.repositories[REPO].commits.values()))[filename]
    true = file.content
    file_etag = file.etag

    class Wrong(type(file)):  # type: ignore[misc]
        """Announces the hash of the true content and sends other bytes."""

        etag = file_etag
        sha256 = file_etag

    damaged = true[:-1] + bytes([true[-1] ^ 1])
    hub.large_files[file.sha256] = damaged
    next(iter(hub.repositories[REPO].commits.values()))[filename] = Wrong(damaged, file.large)
    [done] = (
        puller(remote(filename)).files if filename.endswith("gz") else puller(remote(filename, ORIGIN)).files
    )
    assert (done.status, done.reason) == ("rejected", "wrong_checksum")


class TestToken:
    def test_goes_only_to_the_hub(self, puller: Any, hub: Any) -> None:
        puller(remote(), remote("products.csv", ORIGIN))
        asked = [request for request in hub.requests if "/resolve/" in request.path]
        stored = hub.sent("GET", "storage")
        assert [request.method for request in asked].count("GET") == 1  # the small file's bytes
        assert all(request.authorised for request in asked)
        assert [request.authorised for request in stored] == [False]

    def test_opens_a_private_repository(self, puller: Any, hub: Any, mugs: bytes) -> None:
        make_repository(hub, mugs, private=True)
        assert puller(remote(), remote("products.csv", ORIGIN)).complete

    @pytest.mark.parametrize(("token", "said"), [("", "401"), ("hf_other", "404"), ("hf_unknown", "401")])
    def test_without_the_right_token_the_failure_names_the_remedy(
        self,
        puller: Any,
        hub: Any,
        mugs: bytes,
        monkeypatch: pytest.MonkeyPatch,
        token: str,
        said: str,
    ) -> None:
        make_repository(hub, mugs, private=True)
        monkeypatch.setenv("HF_TOKEN", token)
        [done] = puller(remote()).files
        assert (done.status, done.reason, done.attempts) == ("failed", f"http_{said}", 1)
        assert ("HF_TOKEN" if said == "401" else "or hides it") in done.detail
        assert token not in done.detail or not token

    def test_is_in_no_message_and_no_file(
        self, puller: Any, hub: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        hub.cut_downloads_after = 1000
        report = puller(remote(), remote("products.csv", ORIGIN), remote("gone", "gone"), retries=1)
        kept = [path.read_bytes() for path in puller.folder.rglob("*") if path.is_file()]
        assert TOKEN not in repr(report) + str(capsys.readouterr()) + repr(kept)

    def test_that_cannot_be_sent_fails_and_is_not_shown(
        self, puller: Any, hub: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_TOKEN", "hf_secret token")
        [done] = puller(remote()).files
        assert done.reason == "bad_token"
        assert "secret" not in done.detail


def test_a_file_that_is_not_there_is_final(puller: Any, hub: Any) -> None:
    [done] = puller(remote("gone.csv", "gone.csv")).files
    assert (done.status, done.reason, done.attempts) == ("failed", "http_404", 1)
    assert f"no gone.csv in datasets/{REPO} at revision main" in done.detail


def test_a_hub_that_cannot_be_reached_is_tried_again(
    puller: Any, hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    [done] = puller(remote(size=5), retries=1).files
    assert (done.status, done.attempts) == ("failed", 2)
    assert "http://127.0.0.1:1 cannot be reached" in done.detail


def test_an_endpoint_that_is_no_address_is_a_message(
    puller: Any, hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://[hub")
    [done] = puller(remote(), retries=0).files
    assert done.status == "failed"
    assert "http://[hub" in done.detail


def test_a_mirror_replaces_the_hub(puller: Any, hub: Any, server: Any, served: Any, mugs: bytes) -> None:
    server.routes["/a/mugs.gz"] = served(mugs)
    assert puller(remote(), mirror=server.url("")).complete
    assert hub.requests == []
