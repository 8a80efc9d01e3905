"""The parts of a dataset card (README.md): generated ones, which a build replaces, and the text of people.

    ---
    license: cc-by-4.0                         YAML: the keys that a build writes, and others that people add
    ---
    <!-- mmecinstruct: begin tasks -->
    ## Tasks                                   generated
    <!-- mmecinstruct: end tasks -->
    Text of people, kept behind the section that it follows.

The manifest has a hash of each generated part. HTML comments are invisible where Markdown is shown.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from mmecinstruct.core.hashing import canonical_json

# Keys of the YAML that a build writes and nobody else changes: the recipe's `publish` part sets them. `tags` is not
# among them, as people add tags.
GENERATED_KEYS = ("pretty_name", "license", "language", "task_categories", "size_categories", "configs")
TAGS = "tags"
# Section that a push adds: what it tells of is made after the build.
CAPTIONS_SECTION = "captions"
# Name of the YAML among the hashes of parts.
YAML = "yaml"

_YAML_BLOCK = re.compile(r"\s*---\n(.*?)\n---(?:\n|$)", flags=re.DOTALL)
_MARK = re.compile(r"^<!-- mmecinstruct: (begin|end) ([a-z0-9-]+) -->[ \t]*$", flags=re.MULTILINE)


@dataclass(frozen=True)
class CardParts:
    """A card in parts.

    Attributes:
        metadata: The content of the YAML.
        sections: Generated sections, in order: text by name.
        people: Text of people by the name of the section that it follows; "" for text above the first section.
    """

    metadata: Mapping[str, Any]
    sections: Mapping[str, str]
    people: Mapping[str, str] = field(default_factory=dict)


def split_page(page: str) -> dict[str, str]:
    """Return the sections of a generated page: one per heading of the second level, and what is above the first."""
    sections: dict[str, str] = {}
    for text in re.split(r"\n(?=## )", page):
        heading = re.match(r"## (.*)", text)
        name = re.sub(r"[^a-z0-9]+", "-", heading[1].lower()).strip("-") if heading else "summary"
        sections[name] = text.strip()
    return sections


def parse_card(text: str) -> CardParts:
    """Return the parts of a card; a card without marks has no sections, its text is that of people.

    Raises:
        ValueError: The YAML or the marks are not valid.
    """
    block = _YAML_BLOCK.match(text)
    try:
        metadata = yaml.safe_load(block[1]) if block else {}
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"its YAML is not valid: {error}") from error
    if not isinstance(metadata, dict):
        raise ValueError("its YAML holds no fields")
    sections: dict[str, str] = {}
    people: dict[str, str] = {}
    position, inside, last = block.end() if block else 0, "", ""
    for mark in _MARK.finditer(text, position):
        between = text[position : mark.start()].strip()
        position = mark.end()
        if mark[1] == "begin" and not inside and mark[2] not in sections:
            people[last] = between
            inside = last = mark[2]
        elif mark[1] == "end" and mark[2] == inside:
            sections[inside] = between
            inside = ""
        else:
            raise ValueError(f"the mark '{mark[0].strip()}' is out of place")
    if inside:
        raise ValueError(f"section {inside} has no end")
    people[last] = text[position:].strip()
    return CardParts(metadata, sections, {name: between for name, between in people.items() if between})


def part_hashes(card: CardParts) -> dict[str, str]:
    """Return the SHA-256 of each generated part: of the YAML's generated keys, and of each section."""
    generated = {key: card.metadata.get(key) for key in GENERATED_KEYS}
    try:
        content = canonical_json(generated)
    except (TypeError, ValueError):
        # A value that no build writes, such as a date.
        content = repr(generated)
    return {name: _sha256(text) for name, text in {YAML: content, **card.sections}.items()}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def with_edits(new: CardParts, old: CardParts) -> CardParts:
    """Return a new card with what people added to an old one: keys and tags of the YAML, and text between sections.

    The page of an old card without marks is of an earlier version, or all of it is people's: nothing of it is taken.
    """
    tags = list(new.metadata.get(TAGS) or ())
    more = old.metadata.get(TAGS)
    tags += [tag for tag in (more if isinstance(more, list) else ()) if tag not in tags]
    added = {key: value for key, value in old.metadata.items() if key not in {*new.metadata, *GENERATED_KEYS}}
    people: dict[str, str] = {}
    anchor = ""
    for name in ("", *old.sections) if old.sections else ():
        if name in new.sections:
            anchor = name
        if text := old.people.get(name):
            people[anchor] = "\n\n".join(filter(None, (people.get(anchor), text)))
    return CardParts({**new.metadata, TAGS: tags, **added}, new.sections, people)


def card_text(card: CardParts, metadata: str) -> str:
    """Return the card as text. metadata: its YAML as text."""
    blocks = [f"---\n{metadata.strip()}\n---", card.people.get("", "")]
    for name, text in card.sections.items():
        blocks += [_marked(name, text), card.people.get(name, "")]
    return "\n\n".join(filter(None, blocks)) + "\n"


def with_section(text: str, name: str, section: str | None, before: str) -> str:
    """Return the text of a card with one section replaced, or removed; all else stays as it is.

    Args:
        text: The card.
        name: Name of the section.
        section: Its text; None to remove it.
        before: Name of the section that it stands before; at the end where the card has none of this name.
    """
    begin, end = (f"<!-- mmecinstruct: {side} {name} -->" for side in ("begin", "end"))
    text = re.sub(rf"^{begin}$.*?^{end}$\n*", "", text, flags=re.DOTALL | re.MULTILINE)
    if section is None:
        return text
    marked = _marked(name, section)
    following = f"<!-- mmecinstruct: begin {before} -->"
    if following in text:
        return text.replace(following, f"{marked}\n\n{following}", 1)
    return f"{text.rstrip()}\n\n{marked}\n"


def _marked(name: str, text: str) -> str:
    return f"<!-- mmecinstruct: begin {name} -->\n{text}\n<!-- mmecinstruct: end {name} -->"
