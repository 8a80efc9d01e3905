"""A card's generated parts and the text of people between them."""

from __future__ import annotations

import pytest

from mmecinstruct.dataset.card_parts import (
    CardParts,
    card_text,
    parse_card,
    part_hashes,
    split_page,
    with_edits,
)

PAGE = "# Title\n\nAbout.\n\n## Tasks\n\nMany.\n\n### Inner\n\n## Own Words\n\nx"
CARD = CardParts({"license": "mit", "tags": ["a"]}, split_page(PAGE))
TEXT = card_text(CARD, "license: mit\ntags:\n- a")


def test_a_page_has_a_section_per_heading():
    assert dict(split_page(PAGE)) == {
        "summary": "# Title\n\nAbout.",
        "tasks": "## Tasks\n\nMany.\n\n### Inner",
        "own-words": "## Own Words\n\nx",
    }


def test_a_card_is_read_as_it_was_written():
    assert parse_card(TEXT) == CARD
    assert card_text(parse_card(TEXT), "license: mit\ntags:\n- a") == TEXT


def test_added_keys_tags_and_text_change_no_hash():
    edited = TEXT.replace("- a", "- a\n- b\ndoi: 2024-01-02").replace(
        "<!-- mmecinstruct: begin tasks -->", "Mine\n\n<!-- mmecinstruct: begin tasks -->   "
    )
    card = parse_card(edited.replace("\n", "\r\n").replace("\r\n", "\n"))
    assert part_hashes(card) == part_hashes(CARD)
    assert card.people == {"summary": "Mine"}


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("license: mit", "license: gpl", "yaml"),
        ("Many.", "Few.", "tasks"),
        ("license: mit", "license: 2024-01-02", "yaml"),
    ],
)
def test_each_part_has_a_hash(old, new, part):
    found, sound = part_hashes(parse_card(TEXT.replace(old, new))), part_hashes(CARD)
    assert [name for name in sound if found[name] != sound[name]] == [part]


def test_text_behind_a_section_that_is_gone_follows_the_one_before():
    old = parse_card(TEXT + "\nThe end.\n")
    new = CardParts({"license": "gpl", "tags": ["a"]}, {"summary": "New", "tasks": "## Tasks"})
    edited = with_edits(
        new, CardParts({**old.metadata, "doi": 1, "tags": "no list"}, old.sections, old.people)
    )
    assert edited.people == {"tasks": "The end."}
    assert edited.metadata == {"license": "gpl", "tags": ["a"], "doi": 1}


@pytest.mark.parametrize(
    "text",
    [
        "---\n- a list\n---\n",
        "---\n" + "[" * 5000 + "\n---\n",
        TEXT.replace("end tasks", "end summary"),
        TEXT.replace("<!-- mmecinstruct: end own-words -->", ""),
        TEXT + TEXT.partition("\n---\n")[2],
    ],
)
def test_a_card_that_is_not_valid_is_an_error(text):
    with pytest.raises(ValueError, match=r"YAML|mark|section"):
        parse_card(text)
