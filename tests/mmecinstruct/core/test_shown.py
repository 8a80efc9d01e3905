"""URLs, messages and data from outside are fit to show: no secret, nothing that controls a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmecinstruct.core.console import message_text
from mmecinstruct.core.shown import (
    is_private_path,
    printable,
    published_url,
    shown_text,
    shown_url,
    unsigned_url,
)

SIGNED = (
    "https://img.example.com/0.jpg?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=SECRET%2F20260101"
    "&X-Amz-Expires=900&X-Amz-Signature=SECRET"
)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (SIGNED, "https://img.example.com/0.jpg"),
        ("https://h/1.jpg?sv=2024-01-01&se=2026-01-01&sig=SECRET%3D", "https://h/1.jpg"),
        ("https://h/2.jpg?Expires=1700000000&Signature=SECRET&Key-Pair-Id=SECRET", "https://h/2.jpg"),
        ("https://h/3.jpg?X-Goog-Signature=SECRET&X-Goog-Expires=900", "https://h/3.jpg"),
        ("https://h/4.jpg?token=SECRET&width=800", "https://h/4.jpg?width=800"),
        (
            "https://h/4.jpg?width=800&access_token=SECRET;height=2#t=3",
            "https://h/4.jpg?width=800;height=2#t=3",
        ),
        ("https://h/5.jpg#access_token=SECRET", "https://h/5.jpg"),
        ("https://h/6;jsessionid=SECRET?v=1", "https://h/6?v=1"),
        ("https://h/7?w=400&s=SECRET41402abc4b2a76b9719d911017c", "https://h/7?w=400"),
        ("https://h/8?x=eyJSECRET.eyJSECRET.SECRET", "https://h/8"),
        ("https://h/9?x=SECRET" + "a1" * 40, "https://h/9"),
        ("http://user:SECRET@h/x", "http://h/x"),
        ("http://SECRET@h/x?v=1", "http://h/x?v=1"),
        ("http://user:SECRET/SECRET@h/x", "http://h/x"),
        ("http://us?er:SECRET@h:80/x", "http://us"),
        ("http:\\\\user:SECRET@h\\x", "http:\\\\h\\x"),
        ("//user:SECRET@h/x", "//h/x"),
        ("user:SECRET@h/x", "h/x"),
        ("https:user:SECRET@h/x", "https:h/x"),
        ("https:/user:SECRET@h/x", "https:/h/x"),
        ("https://user:SECRET%40h/x", "https://h/x"),
        ("https://user:SECRET\uff20h/x", "https://h/x"),
        ("https://user:SEC RET@h/x", "https://h/x"),
        ("https://h/token=SECRET/a.jpg", "https://h/token=***/a.jpg"),
        ("https://h/t/eyJSECRET.eyJSECRET.SECRET/a", "https://h/t/***/a"),
        ("https://h/a?%2574oken=SECRET", "https://h/a"),
        ("https://h/a?x=1%26token=SECRET", "https://h/a"),
        ("https://h/a?x=1|token=SECRET", "https://h/a"),
        ("https://h/a?next=%2Fcb%3Ftoken%3DSECRET", "https://h/a"),
        ("javascript:token=SECRET", "javascript:token=***"),
        ("token=SECRET", "token=***"),
        ("https://h/?url=https%3A%2F%2Fuser%3ASECRET%40h%2Fy&w=1", "https://h/?w=1"),
        ("https://h/\x1b[31m\u202e.jpg", "https://h/%1B[31m%E2%80%AE.jpg"),
    ],
)
def test_a_url_is_shown_without_secrets(url: str, shown: str) -> None:
    assert shown_url(url) == shown
    assert shown_url(shown) == shown
    if not url.startswith("user:"):
        assert "SECRET" not in shown_text(f"cannot be reached ({url}): retried")
        assert "SECRET" not in shown_text(f"url='{url}', and more")


@pytest.mark.parametrize(
    "url",
    [
        "https://img.example.com/5.jpg?v=1700000000&width=800",
        "https://h:8080/a/b@2x.png?file=a%20b.jpg#top",
        "https://h/?url=https%3A%2F%2Fh%2Fy&w=1",
        "https://h/x?v=5d41402abc4b2a76b9719d911017c592",
        "http://[::1]:80/@",
        "images/a@2x.png",
        "mailto:shop@example.com",
        "data/a:b@c.png",
        "https://müller.example/größe.jpg?author=7",
        "",
        "no URL",
    ],
)
def test_a_url_without_secrets_stays(url: str) -> None:
    assert shown_url(url) == url
    assert shown_text(f"see {url}, there") == f"see {url}, there"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "api.key",
            "app_key",
            "subscription-key",
            "apiKey",
            "pw",
            "otp",
            "sessid",
            "PHPSESSID",
            "%74oken",
            "token[]",
        ),
        *("access_token", "auth[token]", "client_secret", "awsaccesskeyid", "wsSecret", "Signature", "hdnts"),
    ],
)
def test_what_is_clearly_secret_is_not_published(name: str) -> None:
    assert published_url(f"https://h/a.jpg?{name}=SECRET&v=1") == "https://h/a.jpg?v=1"
    assert shown_url(f"https://h/a.jpg?{name}=SECRET&v=1") == "https://h/a.jpg?v=1"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (SIGNED, "https://img.example.com/0.jpg"),
        ("https://h/1.jpg?sv=2024&se=2026&sr=b&sp=r&sig=SECRET%3D&width=3", "https://h/1.jpg?width=3"),
        ("https://h/2.jpg?Expires=17&Signature=SECRET&Key-Pair-Id=K&Policy=P", "https://h/2.jpg"),
        ("https://h/3.jpg?X-Goog-Signature=SECRET&X-Goog-Expires=900", "https://h/3.jpg"),
        ("https://h/p;jsessionid=SECRET/a.jpg", "https://h/p/a.jpg"),
        ("https://user:SECRET%40h/a.jpg", "https://h/a.jpg"),
        ("https://h/a.jpg?g=ghp_SECRETSECRETSECRETSECRET", "https://h/a.jpg"),
    ],
)
def test_a_signature_is_not_published(url: str, shown: str) -> None:
    assert published_url(url) == shown


@pytest.mark.parametrize(
    "query",
    [
        *(
            "key=p7",
            "k=abc",
            "hash=abcdef0123456789",
            "user=12",
            "sid=12",
            "policy=a",
            "sign=left",
            "login=1",
            "exp=3",
        ),
        *(
            "s=0123456789abcdef0123456789abcdef",
            "author_id=4",
            "session=summer2020",
            "expires=3",
            "sv=1",
            "username=a",
        ),
        *(
            "image=" + "A1" * 40,
            "compass=w",
            "keyword=desk",
            "product=tokens",
            "e=mail@h.com",
            "url=https%3A%2F%2Fh%2Fy",
        ),
    ],
)
def test_a_parameter_that_may_name_an_image_is_published(query: str) -> None:
    url = f"https://h/photo.php?{query}"
    assert published_url(url) == unsigned_url(url) == url


def test_only_signatures_are_ignored_in_comparisons() -> None:
    assert unsigned_url(SIGNED) == "https://img.example.com/0.jpg"
    url = "https://u:p@h/a.jpg?token=1&key=2&x=a%26token%3D3"
    assert unsigned_url(url) == url


def test_a_long_url_is_cut() -> None:
    assert len(shown_url("https://h/" + "a" * 5000)) == 300
    assert shown_url("https://h/x?v=1", query=False) == "https://h/x"


def test_tokens_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "a-secret-of-no-form")
    for text in (
        "url: /x.jpg?X-Amz-Signature=SECRET (Caused by …)",
        "Authorization: Bearer SECRETSECRET",
        "the token hf_SECRETSECRET",
        "text/html; token=SECRET",
        "X-Api-Key: SECRET",
        '{"token": "SECRET"}',
        "password: SECRET",
        "authorization: token SECRET1",
        "key AKIASECRETSECRETSE12",
        "not reached: https:/user:SECRET@h/x",
        "not reached: https:user:SECRET@h/x",
        "not reached: user:SECRET@h/x",
        "not reached: https://user:SEC SECRET@h/x",
        "not reached: https://user:SECRET\uff20h/x",
        "javascript:token=SECRET",
    ):
        assert "SECRET" not in shown_text(text)
    assert shown_text("not a-secret-of-no-form!") == "not ***!"
    for text in (
        "the Hub does not accept the token: log in",
        "see mailto:shop@example.com and https://h:80 or me@h.com",
        "at 12:30 by jane@h.com",
        "key=front, user=all",
    ):
        assert shown_text(text) == text
    assert shown_text("--set resources.memory=8GB, see a=b?") == "--set resources.memory=8GB, see a=b?"


HOSTILE = "a\x1b]0;owned\x07\x9b31m\u202eb\u2066c\rd\u200be\U000e0041é\u00a0漢👩\u200d👧"


def test_no_character_controls_a_terminal() -> None:
    shown = printable(HOSTILE)
    assert shown.endswith("é\u00a0漢👩\u200d👧")
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\u2066", "\r", "\u200b", "\U000e0041"} & set(shown)
    assert json.loads(printable(json.dumps(HOSTILE, ensure_ascii=False))) == HOSTILE


def test_lines_of_data_pretend_to_be_no_message() -> None:
    assert message_text("error: a\nerror: b\n  c\r\nd\x85e") == "error: a\n  error: b\n  c\n  d\\u0085e"


@given(text=st.text(max_size=50))
def test_any_text_can_be_shown(text: str) -> None:
    for shown in (shown_url(text), message_text(text), printable(text)):
        shown.encode("utf-8", "surrogatepass")
        assert not {"\x1b", "\x9b", "\u202e", "\x07"} & set(shown)
    assert shown_url(shown_url(text)) == shown_url(text)


def test_addresses_that_are_tried_again_are_told_without_passwords() -> None:
    """In a process of its own: loggers stay as they are here."""
    code = (
        "import logging; from mmecinstruct.core.console import quiet_libraries; quiet_libraries()\n"
        "from huggingface_hub.utils import _http; _http.logger.warning('GET http://user:SECRET@127.0.0.1:9/api')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "GET http://127.0.0.1:9/api" in done.stderr
    assert "SECRET" not in done.stderr


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/home/jane/x.jpg", "…/x.jpg"),
        ("file:///home/jane/x.jpg", "…/x.jpg"),
        ("FILE:/home/jane/x.jpg", "…/x.jpg"),
        ("C:\\Users\\jane\\x.jpg", "…/x.jpg"),
        ("c:/Users/jane/x.jpg", "…/x.jpg"),
        ("\\\\server\\jane\\x.jpg", "…/x.jpg"),
        ("~/x.jpg", "…/x.jpg"),
        ("~jane/x.jpg", "…/x.jpg"),
        ("../../jane/x.jpg", "…/x.jpg"),
        ("pics/../../jane/x.jpg", "…/x.jpg"),
        ("/home/jane/", "…/jane"),
        ("~", "…"),
    ],
)
def test_of_a_path_of_this_machine_only_the_name_is_published(path: str, shown: str) -> None:
    assert is_private_path(path)
    assert published_url(path) == shown
    assert not is_private_path(shown)


@pytest.mark.parametrize(
    "path",
    [
        "pics/a.jpg",
        "a..b.jpg",
        "…/x.jpg",
        "//h/x.jpg",
        "https://h/a/../b.jpg",
        "https://h/x?p=../y",
        "a:b/c.png",
        "",
    ],
)
def test_a_path_below_the_data_root_is_published(path: str) -> None:
    assert not is_private_path(path)
    assert published_url(path) == path


@pytest.mark.parametrize("text", ["a:b@" + "a.-" * 40_000, "//" + " a.-" + "a.-" * 40_000])
def test_a_message_of_many_dots_is_searched_in_linear_time(text: str) -> None:
    started = time.process_time()
    shown_text(text)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("blank", [" ", "\u00a0", "\n"])
def test_a_name_of_many_blanks_is_looked_at_in_linear_time(blank: str) -> None:
    started = time.process_time()
    assert not is_private_path(blank * 20_000)
    assert time.process_time() - started < 1
    assert is_private_path(blank * 20_000 + "/home/jane/a.jpg")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/a.jpg?ex=66&is=67&hm=" + "ab" * 32 + "&w=3", "https://h/a.jpg?w=3"),
        ("https://h/a.jpg?_nc=1&oh=00_AfBkSECRETSECRETSECRET&oe=65A", "https://h/a.jpg?_nc=1"),
        ("https://h/a.jpg?tr=w-300&ik-s=SECRET&ik-t=99", "https://h/a.jpg?tr=w-300"),
        ("https://h/a.jpg?verify=1700000000-SECRET%3D", "https://h/a.jpg"),
    ],
)
def test_signatures_of_short_names_are_known_by_their_form(url: str, shown: str) -> None:
    assert published_url(url) == unsigned_url(url) == shown
    for harmless in ("hm=12", "oh=left", "oe=3", "ex=1", "verify=1"):
        assert published_url(f"https://h/a.jpg?{harmless}") == f"https://h/a.jpg?{harmless}"
