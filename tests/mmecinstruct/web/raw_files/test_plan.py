"""The pull plan: existing and missing files with their sizes, disk space, files that a person has to get."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mmecinstruct.core.errors import PullError
from mmecinstruct.core.quantities import human, lasting
from mmecinstruct.sources.remote_file import RemoteFile
from mmecinstruct.web.images.settings import FetchSettings
from mmecinstruct.web.raw_files import choose
from tests.servers import file_server

URL = "/a/meta_Mugs.json.gz"


class Usage(NamedTuple):
    total: int
    used: int
    free: int


class Recorder:
    """A listener that records the calls of a pull."""

    def __init__(self) -> None:
        self.plans: list[Any] = []
        self.notes: list[str] = []

    def planned(self, plan: Any) -> None:
        self.plans.append(plan)

    def progress(self, origin: str, done: int, total: int | None) -> None: ...

    def note(self, origin: str, text: str) -> None:
        self.notes.append(f"{origin}: {text}")

    def finished(self, file: Any) -> None: ...


class TestSizes:
    def test_a_stated_one_costs_no_request(self, puller: Any, server: Any) -> None:
        plan = puller.plan(puller.file(server.url(URL), size=12))
        assert plan.files[0].size == 12
        assert server.log == []

    def test_others_are_asked_for(
        self, puller: Any, server: Any, served: Any, failing: Any, mugs: bytes
    ) -> None:
        server.routes["/new"] = served(mugs)
        server.routes["/old"] = failing(301, (("Location", "/new"),))
        server.routes["/no"] = failing(405)
        server.routes["/chunked"] = served(mugs, chunked=True)
        names = ("new", "old", "no", "chunked")
        plan = puller.plan(*(puller.file(server.url(f"/{name}"), f"{name}.gz") for name in names))
        assert [planned.size for planned in plan.files] == [len(mugs), len(mugs), None, None]
        assert {request.method for request in server.log} == {"HEAD"}
        assert "to fetch (600.1 kB and 2 of unknown size)" in str(plan)

    def test_nothing_is_written(self, puller: Any, server: Any, served: Any, mugs: bytes) -> None:
        server.routes[URL] = served(mugs)
        puller.plan(puller.file(server.url(URL)))
        assert not puller.folder.exists()

    @pytest.mark.parametrize(
        ("size", "said"),
        [(999, "999 bytes"), (1000, "1.0 kB"), (999_960, "1.0 MB"), (2_500_000_000, "2.5 GB")],
    )
    def test_of_bytes_for_people(self, size: int, said: str) -> None:
        assert human(size) == said

    @pytest.mark.parametrize(("seconds", "said"), [(3, "3 s"), (600, "10 min"), (9000, "2.5 h")])
    def test_of_times_for_people(self, seconds: float, said: str) -> None:
        assert lasting(seconds) == said


def test_the_plan_is_shown_before_anything_is_fetched(
    puller: Any, server: Any, served: Any, mugs: bytes
) -> None:
    server.routes[URL] = served(mugs, cut=100_000)
    puller.one(server.url(URL), retries=0)
    recorder = Recorder()
    puller.path("b.gz").write_bytes(mugs)
    server.routes[URL] = served(mugs)
    hand = puller.file(None, "amazonqa/test-qar.jsonl", by_hand="Get it from the drive")
    report = puller(puller.file(server.url(URL)), puller.file("http://x", "b.gz"), hand, listener=recorder)
    text = str(recorder.plans[0])
    assert [planned.state for planned in recorder.plans[0].files] == ["fetch", "found", "by_hand"]
    assert "to fetch (100.0 kB of it there)" in text
    assert "3 files: 1 there, 1 to fetch (200.0 kB), 1 by hand" in text
    assert [file.status for file in report.files] == ["fetched", "found", "by_hand"]
    json.dumps(recorder.plans[0].to_json())


class TestRoom:
    @pytest.fixture
    def free(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Set the free space that the code reads."""

        def set_free(size: int) -> None:
            monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, size))

        return set_free

    def test_too_little_is_found_before_the_first_byte(
        self, puller: Any, server: Any, served: Any, mugs: bytes, free: Any
    ) -> None:
        server.routes[URL] = served(mugs)
        free(len(mugs) + 500)
        with pytest.raises(
            PullError, match=r"300\.0 kB are to be fetched .* 1\.0 kB have to stay free .*--only"
        ):
            puller(puller.file(server.url(URL)), space_margin=1000)
        assert server.gets() == []

    def test_a_file_that_is_too_large_to_be_taken_stops_no_other(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        server.routes["/lie"], server.routes["/b"] = served(mugs, lie=10**17), served(mugs)
        files = [puller.file(server.url("/lie"), "a.gz"), puller.file(server.url("/b"), "b.gz")]
        lying, other = puller(*files).files
        assert (lying.status, lying.reason, other.status) == ("failed", "too_large", "fetched")

    def test_arrived_bytes_count(self, puller: Any, server: Any, served: Any, mugs: bytes, free: Any) -> None:
        server.routes[URL] = served(mugs, cut=200_000)
        puller.one(server.url(URL), retries=0)
        server.routes[URL] = served(mugs)
        free(150_000)
        assert puller.one(server.url(URL), space_margin=1000).status == "fetched"

    def test_the_margin_is_kept_while_a_file_of_unknown_length_arrives(
        self, puller: Any, server: Any, served: Any, mugs: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Another program fills the disk meanwhile.
        monkeypatch.setattr(
            shutil, "disk_usage", lambda path: Usage(10**12, 0, 5000 if puller.arrived() < 100_000 else 900)
        )
        server.routes[URL] = served(mugs, chunked=True, pause=0.3, pause_after=150_000)
        done = puller.one(server.url(URL), space_margin=1000)
        assert (done.status, done.reason) == ("failed", "disk_full")
        assert "less than 1.0 kB are free (pull.space_margin); free space" in done.detail
        monkeypatch.undo()
        arrived = puller.arrived()
        assert arrived >= 100_000
        assert puller.one(server.url(URL)).continued_at == arrived
        assert puller.content() == mugs

    def test_a_file_of_unknown_size_is_measured_when_it_is_asked_for(
        self, puller: Any, server: Any, served: Any, failing: Any, mugs: bytes, free: Any
    ) -> None:
        server.routes[URL] = [failing(405), served(mugs)]  # the first is for HEAD
        server.routes["/small"] = served(mugs[:100])
        free(1000)
        report = puller(puller.file(server.url(URL)), puller.file(server.url("/small"), "b.gz"), retries=0)
        assert [file.status for file in report.files] == ["failed", "fetched"]
        again = puller.one(server.url(URL), retries=0)
        assert again.reason == "disk_full"
        assert puller.arrived() == 0


class TestFilesThatAreThere:
    def test_one_that_was_put_there_is_taken_without_a_request(
        self, puller: Any, mugs: bytes, hash_of: Any
    ) -> None:
        puller.path().parent.mkdir(parents=True)
        puller.path().write_bytes(mugs)
        first = puller.one("http://127.0.0.1:1/", sha256=hash_of(mugs), by_hand=None)
        assert (first.status, first.sha256) == ("found", hash_of(mugs))
        assert puller.one("http://127.0.0.1:1/", sha256=hash_of(mugs)).status == "present"

    def test_one_that_a_person_had_to_get_too(self, puller: Any, mugs: bytes) -> None:
        hand = {"by_hand": "Fill in the form at https://forms.example"}
        missing = puller.one(None, **hand)
        assert missing.status == "by_hand"
        assert missing.detail == f"Fill in the form at https://forms.example; put it at {puller.path()}"
        puller.path().parent.mkdir(parents=True)
        puller.path().write_bytes(mugs)
        assert puller.one(None, **hand).status == "found"

    @pytest.mark.parametrize("content", [b"<html><title>Google Drive - Virus scan warning</title>", b""])
    def test_a_wrong_one_is_left_alone_and_named(self, puller: Any, content: bytes) -> None:
        puller.path().parent.mkdir(parents=True)
        puller.path().write_bytes(content)
        done = puller.one(None, by_hand="Drive")
        assert done.status == "rejected"
        assert str(puller.path()) in done.detail
        assert puller.content() == content

    def test_one_with_another_hash_is_named(self, puller: Any, mugs: bytes, hash_of: Any) -> None:
        puller.path().parent.mkdir(parents=True)
        puller.path().write_bytes(mugs)
        done = puller.one("http://127.0.0.1:1/", sha256="0" * 64)
        assert done.status == "rejected"
        assert hash_of(mugs) in done.detail

    def test_one_of_another_size_than_its_hash_is_of_is_not_read(
        self, puller: Any, mugs: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        puller.path().parent.mkdir(parents=True)
        puller.path().write_bytes(mugs)
        monkeypatch.setattr(
            "mmecinstruct.web.raw_files.record.sha256_file", lambda path: pytest.fail("was read")
        )
        done = puller.one("http://127.0.0.1:1/", sha256="0" * 64, size=10)
        assert done.status == "rejected"
        assert f"has {len(mugs)} bytes, but its publisher states 10" in done.detail

    def test_one_above_the_cap_is_not_read(
        self, puller: Any, mugs: bytes, hash_of: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        puller.path().parent.mkdir(parents=True)
        puller.path().write_bytes(mugs)
        monkeypatch.setattr(
            "mmecinstruct.web.raw_files.record.sha256_file", lambda path: pytest.fail("was read")
        )
        done = puller.one("http://127.0.0.1:1/", sha256=hash_of(mugs), max_bytes=len(mugs) - 1)
        assert done.status == "rejected"
        assert "pull.max_bytes" in done.detail

    def test_one_that_was_put_there_ends_an_earlier_try_to_fetch_it(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        server.routes[URL] = served(mugs, cut=100_000)
        puller.one(server.url(URL), retries=0)
        assert puller.arrived() == 100_000
        puller.path().write_bytes(mugs)
        assert puller.one(server.url(URL)).status == "found"
        assert puller.left() == ["amazon2018/meta_Mugs.json.gz"]

    def test_a_found_file_of_another_size_is_kept_with_a_note(self, puller: Any, mugs: bytes) -> None:
        puller.path().parent.mkdir(parents=True)
        puller.path().write_bytes(mugs)
        done = puller.one("http://127.0.0.1:1/", size=10)
        assert done.status == "found"
        assert "publisher's file had 10" in done.notes[0]

    def test_one_that_was_replaced_is_checked_again(
        self, puller: Any, server: Any, served: Any, mugs: bytes, pots: bytes, hash_of: Any
    ) -> None:
        server.routes[URL] = served(mugs)
        puller.one(server.url(URL))
        puller.path().write_bytes(pots)
        assert puller.one(server.url(URL)).status == "found"
        puller.path().write_bytes(pots)
        assert puller.one(server.url(URL), sha256=hash_of(mugs)).status == "rejected"

    def test_one_that_was_replaced_by_as_many_bytes_is_checked_again_too(
        self, puller: Any, server: Any, served: Any, mugs: bytes, hash_of: Any
    ) -> None:
        server.routes[URL] = served(mugs)
        first = puller.one(server.url(URL), sha256=hash_of(mugs))
        puller.path().write_bytes(mugs[:-1] + b"x")
        os.utime(puller.path(), ns=(0, puller.path().stat().st_mtime_ns + 1_000_000))
        assert first.status == "fetched"
        assert puller.one(server.url(URL), sha256=hash_of(mugs)).status == "rejected"

    def test_one_that_was_removed_is_fetched_again(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        server.routes[URL] = served(mugs)
        puller.one(server.url(URL))
        puller.path().unlink()
        assert puller.one(server.url(URL)).status == "fetched"

    @pytest.mark.parametrize("record", ["", "[]", '{"format": 1, "files": {"a": 1}}', '{"format": 99}'])
    def test_without_a_sound_record_nothing_is_fetched_again(
        self, puller: Any, server: Any, served: Any, mugs: bytes, record: str
    ) -> None:
        server.routes[URL] = served(mugs)
        puller.one(server.url(URL))
        (puller.folder / ".mmec-pull.json").write_text(record)
        assert puller.one(server.url(URL)).status == "found"
        assert len(server.gets()) == 1

    def test_a_folder_with_the_path_of_a_file_is_an_error(self, puller: Any) -> None:
        puller.path().mkdir(parents=True)
        with pytest.raises(PullError, match="is no file"):
            puller.one("http://127.0.0.1:1/")


class TestMirror:
    def test_it_has_all_files_by_their_paths(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        server.routes["/my/raw/a/x%20y.gz"] = served(mugs)
        server.routes["/my/raw/b.gz"] = served(mugs)
        files = [
            puller.file("https://publisher.example/elsewhere.gz", "a/x y.gz", size=5),
            puller.file(None, "b.gz", by_hand="Fill in a form"),
        ]
        report = puller(*files, mirror=server.url("/my/raw/"))
        assert report.complete
        assert puller.content("a/x y.gz") == mugs
        assert report.files[0].notes == ()  # the publisher's size is not the mirror's

    def test_its_files_have_the_stated_hash(self, puller: Any, server: Any, served: Any, mugs: bytes) -> None:
        server.routes["/a.gz"] = served(mugs)
        file = puller.file("https://publisher.example/a.gz", "a.gz", sha256="0" * 64)
        [done] = puller(file, mirror=server.url("")).files
        assert done.status == "rejected"
        assert (
            "the mirror has another file; if you want that one (a miniature, an edited copy)" in done.detail
        )
        assert "--set pull.checksums=false" in done.detail
        assert "--mirror" not in done.detail
        assert puller(file, mirror=server.url(""), checksums=False).complete

    def test_a_miniature_on_a_mirror_is_detected_by_its_size(
        self, puller: Any, server: Any, served: Any
    ) -> None:
        server.routes["/a.gz"] = served(b"\x1f\x8b" + bytes(20_000_000))
        file = puller.file("https://publisher.example/a.gz", "a.gz", sha256="0" * 64, size=7_000_000_000)
        [done] = puller(file, mirror=server.url("")).files
        assert (done.status, done.reason) == ("rejected", "wrong_size")
        assert (
            "if you want that one (a miniature, an edited copy), `--set pull.checksums=false`" in done.detail
        )
        assert done.received < 5_000_000
        [planned] = puller.plan(file, mirror=server.url(""), checksums=False).files
        assert planned.size == 20_000_002  # the mirror's

    def test_files_of_a_former_mirror_are_shown_with_their_origin(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        """Synthetic files are not taken for the publisher's."""
        server.routes["/a.gz"] = served(mugs)
        file = puller.file("https://publisher.example/a.gz", "a.gz")
        puller(file, mirror=server.url(""))
        assert f"there, from {server.url('/a.gz')}" in str(puller.plan(file))
        assert puller.plan(file).to_json()["files"][0]["came_from"] == server.url("/a.gz")
        assert "there, from" not in str(puller.plan(file, mirror=server.url("")))

    def test_files_missing_from_the_mirror_are_named(self, puller: Any, server: Any) -> None:
        [done] = puller(puller.file("https://publisher.example/a.gz", "a.gz"), mirror=server.url("")).files
        assert done.reason == "http_404"
        assert f"put it on the mirror as {server.url('/a.gz')}" in done.detail
        assert "--mirror" not in done.detail

    def test_a_mirror_may_be_private_but_not_its_redirects(
        self, puller: Any, server: Any, served: Any, failing: Any, mugs: bytes
    ) -> None:
        file = puller.file("https://publisher.example/a.gz", "a.gz")
        server.routes["/a.gz"] = failing(302, (("Location", "/elsewhere/a.gz"),))
        server.routes["/elsewhere/a.gz"] = served(mugs)
        assert puller(file, mirror=server.url(""), fetch=FetchSettings()).complete
        with file_server.serving_files() as other:
            other.routes["/b.gz"] = served(mugs)
            server.routes["/b.gz"] = failing(302, (("Location", other.url("/b.gz")),))
            file = puller.file("https://publisher.example/b.gz", "b.gz")
            [done] = puller(file, mirror=server.url(""), fetch=FetchSettings()).files
            assert done.reason == "private_address"
            assert other.log == []
        [done] = puller(puller.file(server.url("/a.gz"), "c.gz"), fetch=FetchSettings()).files
        assert done.reason == "private_address"  # nobody typed it

    @pytest.mark.parametrize(
        "mirror",
        [
            *("ftp://x/y", "raw", "https://x/y?token=abc", "https:///y", "https://[x/y?token=abc"),
            *("https://me:abc@x/y", "ftp://me:abc@x/y", "https://me:abc@[x/y"),
        ],
    )
    def test_it_is_a_plain_address(self, puller: Any, mirror: str) -> None:
        with pytest.raises(PullError, match="--mirror") as error:
            puller(puller.file("https://x.example/a.gz"), mirror=mirror)
        assert "abc" not in str(error.value)


class TestPaths:
    @pytest.mark.parametrize(
        "origin",
        ["", "/etc/passwd", "../a.gz", "a/../../b.gz", "a\\b.gz", "a\nb.gz", "a/", ".mmec-pull.json"],
    )
    def test_they_stay_below_the_raw_folder(self, puller: Any, origin: str) -> None:
        with pytest.raises(PullError, match="below the raw folder"):
            puller.one("http://127.0.0.1:1/", origin)

    def test_one_file_that_two_sources_need_is_fetched_once(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        server.routes[URL] = served(mugs)
        file = puller.file(server.url(URL))
        assert len(puller(file, file).files) == 1
        assert len(server.gets()) == 1

    def test_two_files_for_one_path_are_an_error(self, puller: Any) -> None:
        with pytest.raises(PullError, match="two different files"):
            puller(puller.file("http://x/a"), puller.file("http://x/b"))

    def test_a_folder_that_is_a_link_is_followed(
        self, puller: Any, server: Any, served: Any, mugs: bytes, tmp_path: Path
    ) -> None:
        (tmp_path / "large disk").mkdir()
        puller.folder.mkdir()
        os.symlink(tmp_path / "large disk", puller.folder / "amazon2018")
        server.routes[URL] = served(mugs)
        assert puller.one(server.url(URL)).status == "fetched"
        assert (tmp_path / "large disk" / "meta_Mugs.json.gz").read_bytes() == mugs


class TestChoice:
    FILES = tuple(
        RemoteFile(f"{publisher}/{name}", publisher, url="https://x.example")
        for publisher, name in (("esci", "a.parquet"), ("esci", "b.csv"), ("sqid", "c.csv"))
    )

    @pytest.mark.parametrize(
        ("patterns", "chosen"),
        [
            ([], "abc"),
            (["esci"], "ab"),
            (["*.csv"], "bc"),
            (["sqid/c.csv", "esci/*.parquet"], "ac"),
        ],
    )
    def test_is_by_publisher_or_by_pattern(self, patterns: list[str], chosen: str) -> None:
        assert "".join(file.origin.split("/")[1][0] for file in choose(self.FILES, patterns)) == chosen

    def test_a_pattern_that_matches_nothing_is_an_error_with_the_paths(self) -> None:
        with pytest.raises(PullError, match=r"esci, sqid(.|\n)*esci/b\.csv"):
            choose(self.FILES, ["mave"])
