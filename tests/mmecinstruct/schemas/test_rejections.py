"""Rejections are published without secrets and paths of the machine."""

from __future__ import annotations

import pytest

from mmecinstruct.schemas.rejections import DETAIL_LENGTH, Rejection, public_rejections, rejections_table


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        ("cannot read /home/jane/pics/x.jpg: no such file", "cannot read …/x.jpg: no such file"),
        ("'file:///home/jane/x.jpg' is no address", "'…/x.jpg' is no address"),
        ("at C:\\Users\\jane\\x.jpg", "at …/x.jpg"),
        ("product: dead_path, ../jane/x.jpg", "product: dead_path, …/x.jpg"),
        ("~/pics/x.jpg, twice", "…/x.jpg, twice"),
        ("from https://h/x.jpg?token=ABC, again", "from https://h/x.jpg, again"),
        ("1/2 or 3/4, /a and and/or", "1/2 or 3/4, /a and and/or"),
        ("see https://h/home/jane/x.jpg", "see https://h/home/jane/x.jpg"),
        ("Garden/Tools", "Garden/Tools"),
    ],
)
def test_a_detail_is_published_without_paths_of_the_machine(detail: str, shown: str) -> None:
    public = public_rejections(rejections_table([Rejection("s", "r", detail, "")]))
    assert public["detail"].to_pylist() == [shown]
    assert public_rejections(public).equals(public)


@pytest.mark.parametrize(
    ("origin", "shown"),
    [
        ("/home/jane/x.jpg", "…/x.jpg"),
        ("file:///home/jane/x.jpg", "…/x.jpg"),
        ("../jane/x.jpg", "…/x.jpg"),
        ("pics/x.jpg", "pics/x.jpg"),
        ("reviews.csv:12", "reviews.csv:12"),
        ("https://user:pw@h/x.jpg", "https://h/x.jpg"),
    ],
)
def test_an_origin_is_published_without_folders_of_the_machine(origin: str, shown: str) -> None:
    public = public_rejections(rejections_table([Rejection("s", "r", "", origin)]))
    assert public["origin"].to_pylist() == [shown]
    assert public_rejections(public).equals(public)


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("a" * 300, "a" * 300),
        ("word " * 58 + "jane.doe@example.com", "word " * 57 + "word …"),
        ("x " * 140 + "https://user:secret@shop.example/0.jpg", "x " * 140 + "…"),
        ("x" * 301, "301 characters without a blank"),
    ],
)
def test_a_long_detail_is_cut_between_words(text: str, cut: str) -> None:
    (found,) = rejections_table([Rejection("parse", "bad_row", text, "f:1")])["detail"].to_pylist()
    assert found == cut
    assert len(found) <= DETAIL_LENGTH
