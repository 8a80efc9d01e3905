"""Measure masking on sentences of many countries. The figures stand in docs/concepts/text.md."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa

from mmecinstruct.text.hygiene import mask_columns
from mmecinstruct.text.pii import PERSONAL_DATA_KINDS, TOKENS, mask_personal_data

_MARKED = re.compile(r"\{(\w+)\|(.*?)\}")
# Of those to mask, what is not found: digits that nothing announces, signatures, digits in words, a British account,
# names and addresses in Chinese and Japanese.
MISSED = [
    "I am at {phone|555-0187}, call after six.",
    "Thanks, {name|Jane Doe}, Seattle",
    "Call {phone|five five five oh one four two}, ask for {name|Bob}.",
    "Sort code {iban|20-00-00}, account {iban|55779911}, they never paid.",
]
MISSED_OF_SECOND = [
    "reach out: {phone|2025550177}",
    "Sincerely, {name|Jane Doe}",
    "我叫{name|王小明}，质量很好",
    "住所は{address|東京都千代田区例町1-2-3}です",
]


def sentences(name: str) -> tuple[list[str], list[str]]:
    """Return the marked sentences of a list: those to mask, those to keep."""
    lines = (Path(__file__).parent / "data" / name).read_text(encoding="utf-8").splitlines()
    texts = [line.split(": ", 1)[1] for line in lines if line and not line.startswith("#")]
    return [text for text in texts if "{" in text], [text for text in texts if "{" not in text]


def wrong(marked: list[str]) -> list[str]:
    """Return the sentences that are not masked as marked, each piece as a whole."""
    return [
        text
        for text in marked
        if mask_personal_data(_MARKED.sub(r"\2", text))[0] != _MARKED.sub(lambda one: TOKENS[one[1]], text)  # type: ignore[index]
    ]


def test_precision_and_recall_on_the_list_are_those_of_the_docs() -> None:
    to_mask, to_keep = sentences("personal_data.txt")
    assert (len(to_mask), len(to_keep)) == (100, 100)
    assert wrong(to_mask) == MISSED
    assert wrong(to_keep) == []


def test_precision_and_recall_on_the_second_list_are_those_of_the_docs() -> None:
    to_mask, to_keep = sentences("personal_data_second.txt")
    assert (len(to_mask), len(to_keep)) == (40, 40)
    assert wrong(to_mask) == MISSED_OF_SECOND
    # It has the form of a public address.
    assert wrong(to_keep) == ["2.4.5.1 is the section of the manual."]


def test_what_is_not_found_is_not_masked_in_part() -> None:
    for text in (*MISSED, *MISSED_OF_SECOND):
        plain = _MARKED.sub(r"\2", text)
        assert mask_personal_data(plain) == (plain, {})


def test_masking_a_list_again_changes_nothing() -> None:
    for name in ("personal_data.txt", "personal_data_second.txt"):
        for marked in (*sentences(name)[0], *sentences(name)[1]):
            masked, _ = mask_personal_data(_MARKED.sub(r"\2", marked))
            assert mask_personal_data(masked) == (masked, {})


def test_titles_that_mislead_stay() -> None:
    lines = (Path(__file__).parent / "data" / "titles.txt").read_text(encoding="utf-8").splitlines()
    titles = [line for line in lines if not line.startswith("#")]
    table = pa.table({"title": titles})
    masked = mask_columns(table, ["title"], [kind for kind in PERSONAL_DATA_KINDS if kind != "name"]).table
    assert [title for title in masked["title"].to_pylist() if title not in titles] == [
        "Follow [HANDLE] Mission Patch",
        "Lot [ORDER] Pack",
    ]
