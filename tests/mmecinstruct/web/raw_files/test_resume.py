"""An interrupted download is resumed unless the file has changed; only a complete file is accepted."""

from __future__ import annotations

import json
from typing import Any

import pytest

URL = "/a/meta_Mugs.json.gz"


def test_a_file_arrives_whole_with_its_hash(
    puller: Any, server: Any, served: Any, mugs: bytes, hash_of: Any
) -> None:
    server.routes[URL] = served(mugs)
    done = puller.one(server.url(URL))
    assert (done.status, done.size, done.sha256) == ("fetched", len(mugs), hash_of(mugs))
    assert (done.received, done.attempts, done.notes) == (len(mugs), 1, ())
    assert puller.content() == mugs
    assert puller.left() == ["amazon2018/meta_Mugs.json.gz"]


def test_a_second_pull_makes_no_request(
    puller: Any, server: Any, served: Any, mugs: bytes, hash_of: Any
) -> None:
    server.routes[URL] = served(mugs)
    puller.one(server.url(URL))
    asked = len(server.log)
    done = puller.one(server.url(URL), sha256=hash_of(mugs))
    assert (done.status, done.sha256, done.received) == ("present", hash_of(mugs), 0)
    assert len(server.log) == asked


def test_a_dropped_connection_continues_with_a_range(
    puller: Any, server: Any, served: Any, mugs: bytes
) -> None:
    server.routes[URL] = [served(mugs, cut=100_000), served(mugs, cut=200_000), served(mugs)]
    done = puller.one(server.url(URL))
    assert done.status == "fetched"
    assert puller.content() == mugs
    assert server.ranges() == [None, "bytes=100000-", "bytes=200000-"]
    assert done.received == len(mugs)  # no byte came twice
    assert {r.headers.get("If-Range") for r in server.gets()[1:]} == {served(mugs).tag}


def test_a_later_pull_continues_an_earlier_one(
    puller: Any, server: Any, served: Any, failing: Any, mugs: bytes
) -> None:
    server.routes[URL] = [served(mugs, cut=100_000), failing(500)]
    first = puller.one(server.url(URL), retries=1)
    assert first.status == "failed"
    assert "after the 100.0 kB that have arrived" in first.detail
    assert puller.arrived() == 100_000
    server.routes[URL] = served(mugs)
    second = puller.one(server.url(URL))
    assert (second.status, second.continued_at, second.received) == ("fetched", 100_000, len(mugs) - 100_000)
    assert puller.content() == mugs


def test_progress_resets_the_count_of_failures(puller: Any, server: Any, served: Any) -> None:
    large = b"\x1f\x8b" + bytes(range(256)) * 24_000  # 6 MB
    cuts = [served(large, cut=1_100_000 * n) for n in range(1, 6)]
    server.routes[URL] = [*cuts, served(large)]
    assert puller.one(server.url(URL), retries=1).status == "fetched"
    assert puller.content() == large


def test_a_server_that_brings_single_bytes_is_given_up(
    puller: Any, server: Any, served: Any, mugs: bytes
) -> None:
    server.routes[URL] = [served(mugs, cut=n) for n in range(1, 50)]
    done = puller.one(server.url(URL), retries=3)
    assert (done.status, done.reason, done.attempts) == ("failed", "truncated", 4)
    assert puller.arrived() == 4


@pytest.mark.parametrize("etag", ["", None, 'W/"weak"'])
def test_with_a_weak_or_no_etag_the_time_of_change_is_the_condition(
    puller: Any, server: Any, served: Any, mugs: bytes, etag: str | None
) -> None:
    server.routes[URL] = [served(mugs, cut=100_000, etag=etag), served(mugs, etag=etag)]
    assert puller.one(server.url(URL)).status == "fetched"
    strong = served(mugs).tag if etag == "" else served().modified
    assert server.gets()[1].headers["If-Range"] == strong
    assert puller.content() == mugs


class TestServerThatIgnoresRange:
    def test_arrived_bytes_are_compared_and_kept(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        server.routes[URL] = [
            served(mugs, cut=200_000, ranges=False),
            # Breaks off earlier than the first time: the 200,000 bytes stay.
            served(mugs, cut=50_000, ranges=False),
            served(mugs, ranges=False),
        ]
        done = puller.one(server.url(URL))
        assert done.status == "fetched"
        assert server.ranges() == [None, "bytes=200000-", "bytes=200000-"]
        assert puller.content() == mugs
        assert any("restarts at the first byte" in note for note in done.notes)

    def test_different_bytes_are_replaced(self, puller: Any, server: Any, served: Any, mugs: bytes) -> None:
        server.routes[URL] = [served(mugs, cut=200_000), served(mugs, ranges=False)]
        puller.one(server.url(URL), retries=0)
        partial = puller.path().with_name("meta_Mugs.json.gz.partial")
        damaged = bytearray(partial.read_bytes())
        damaged[150_000] ^= 1
        partial.write_bytes(damaged)
        assert puller.one(server.url(URL)).status == "fetched"
        assert puller.content() == mugs


class TestFileThatChangedBetweenTwoAttempts:
    @pytest.mark.parametrize("ranges", [True, False])
    @pytest.mark.parametrize("known", [{}, {"etag": None}, {"modified": None}])
    def test_it_begins_again_and_says_so(
        self, puller: Any, server: Any, served: Any, mugs: bytes, pots: bytes, ranges: bool, known: Any
    ) -> None:
        later = {"modified": "Wed, 07 Oct 2020 10:00:00 GMT", **known}
        server.routes[URL] = [served(mugs, cut=100_000, **known), served(pots, ranges=ranges, **later)]
        done = puller.one(server.url(URL))
        assert done.status == "fetched"
        assert puller.content() == pots
        assert any("changed since 100.0 kB" in note for note in done.notes)

    def test_a_server_without_if_range_is_detected_by_its_headers(
        self, puller: Any, server: Any, served: Any, mugs: bytes, pots: bytes
    ) -> None:
        # A weak ETag and no time: no condition can be sent, and the range is served from the new file.
        first = served(mugs, cut=100_000, etag='W/"1"', modified=None)
        server.routes[URL] = [first, served(pots, etag='W/"2"', modified=None)]
        done = puller.one(server.url(URL))
        assert "If-Range" not in server.gets()[1].headers
        assert any("another ETag" in note for note in done.notes)
        assert puller.content() == pots

    def test_another_length_alone_is_enough(
        self, puller: Any, server: Any, served: Any, mugs: bytes, pots: bytes
    ) -> None:
        same = {"etag": 'W/"same"', "modified": None}
        server.routes[URL] = [served(mugs, cut=100_000, **same), served(pots, **same)]
        done = puller.one(server.url(URL))
        assert any("another length" in note for note in done.notes)
        assert puller.content() == pots

    def test_between_two_pulls_too(
        self, puller: Any, server: Any, served: Any, mugs: bytes, pots: bytes
    ) -> None:
        server.routes[URL] = served(mugs, cut=100_000)
        puller.one(server.url(URL), retries=0)
        server.routes[URL] = served(pots)
        done = puller.one(server.url(URL))
        assert (done.status, done.received) == ("fetched", len(pots))
        assert puller.content() == pots

    def test_a_file_that_became_shorter(self, puller: Any, server: Any, served: Any, mugs: bytes) -> None:
        short = mugs[:80_000]
        same = {"etag": None}
        server.routes[URL] = [served(mugs, cut=100_000, **same), served(short, **same)]
        done = puller.one(server.url(URL))
        assert puller.content() == short
        assert any("restarted" in note for note in done.notes)


class TestServerThatNamesNoVersion:
    NAMELESS: dict[str, Any] = {"etag": None, "modified": None}  # noqa: RUF012

    def test_the_last_arrived_bytes_are_requested_again(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        server.routes[URL] = [served(mugs, cut=200_000, **self.NAMELESS), served(mugs, **self.NAMELESS)]
        assert puller.one(server.url(URL)).status == "fetched"
        assert server.ranges()[1] == f"bytes={200_000 - 65_536}-"
        assert puller.content() == mugs

    def test_another_file_of_the_same_length_is_detected_by_its_bytes(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        other = mugs[:10] + bytes(len(mugs) - 10)
        server.routes[URL] = [served(mugs, cut=200_000, **self.NAMELESS), served(other, **self.NAMELESS)]
        done = puller.one(server.url(URL))
        assert any("other bytes" in note for note in done.notes)
        assert puller.content() == other

    def test_one_that_became_shorter_ends_where_it_ends(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        nameless = {**self.NAMELESS, "chunked": True, "ranges": False}
        server.routes[URL] = [served(mugs, cut=200_000, **nameless), served(mugs[:150_000], **nameless)]
        done = puller.one(server.url(URL))
        assert done.status == "fetched"
        assert puller.content() == mugs[:150_000]

    def test_an_end_before_the_arrived_bytes_without_a_length_is_transient(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        nameless = {**self.NAMELESS, "no_length": True, "ranges": False}
        server.routes[URL] = [
            served(mugs, pause=3, pause_after=150_000, **nameless),
            served(mugs, cut=50_000, **nameless),
            served(mugs, **nameless),
        ]
        done = puller.one(server.url(URL), read_timeout=0.5)
        assert (done.status, done.attempts) == ("fetched", 3)
        assert puller.content() == mugs


class TestServerThatLiesAboutLength:
    def test_fewer_bytes_than_announced_are_never_the_whole(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        server.routes[URL] = served(mugs, lie=10)
        done = puller.one(server.url(URL))
        assert (done.status, done.reason) == ("failed", "truncated")
        assert not puller.path().exists()
        assert len(server.gets()) == 4  # it ends, too

    def test_more_bytes_than_announced_are_never_the_whole(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        server.routes[URL] = served(mugs, lie=-10)
        done = puller.one(server.url(URL))
        assert (done.status, done.reason) == ("failed", "wrong_length")
        assert puller.left() == []

    def test_a_server_that_learns_the_truth_is_believed(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        server.routes[URL] = [served(mugs, lie=-10), served(mugs, lie=10), served(mugs)]
        assert puller.one(server.url(URL)).status == "fetched"
        assert puller.content() == mugs

    def test_a_part_of_a_range_is_not_the_rest(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        server.routes[URL] = [served(mugs, cut=100_000), served(mugs, short_ranges=50_000), served(mugs)]
        assert puller.one(server.url(URL)).status == "fetched"
        assert server.ranges() == [None, "bytes=100000-", "bytes=150000-"]
        assert puller.content() == mugs

    def test_a_wrong_range_is_not_appended(self, puller: Any, server: Any, served: Any, mugs: bytes) -> None:
        server.routes[URL] = [served(mugs, cut=100_000), served(mugs, shift=7)]
        assert puller.one(server.url(URL)).status == "fetched"
        assert server.ranges() == [None, "bytes=100000-", None]
        assert puller.content() == mugs

    def test_a_chunked_body_that_breaks_off_is_not_whole(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        server.routes[URL] = [served(mugs, chunked=True, cut=100_000), served(mugs, chunked=True)]
        assert puller.one(server.url(URL)).status == "fetched"
        assert puller.content() == mugs

    def test_without_any_length_the_stated_size_decides(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        server.routes[URL] = [served(mugs, no_length=True, cut=100_000), served(mugs, no_length=True)]
        assert puller.one(server.url(URL), size=len(mugs)).status == "fetched"
        assert puller.content() == mugs


def test_a_complete_file_of_unknown_length_is_finished(
    puller: Any, server: Any, served: Any, mugs: bytes
) -> None:
    server.routes[URL] = served(mugs)
    puller.one(server.url(URL))
    puller.path().rename(puller.path().with_name("meta_Mugs.json.gz.partial"))
    state = {"url": server.url(URL), "etag": served(mugs).tag, "last_modified": None, "length": None}
    puller.path().with_name("meta_Mugs.json.gz.partial.state").write_text(json.dumps(state))
    done = puller.one(server.url(URL))
    assert (done.status, done.received) == ("fetched", 0)
    assert puller.content() == mugs


def test_a_damaged_state_begins_again(puller: Any, server: Any, served: Any, mugs: bytes) -> None:
    server.routes[URL] = served(mugs, cut=100_000)
    puller.one(server.url(URL), retries=0)
    puller.path().with_name("meta_Mugs.json.gz.partial.state").write_text('{"url": 3')
    server.routes[URL] = served(mugs)
    assert puller.one(server.url(URL)).received == len(mugs)
    assert puller.content() == mugs
