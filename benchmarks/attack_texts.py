"""Hostile markup in the texts of a shop: `mmec build` publishes no tag, in no column."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from attack_runs import Attack, Bench, Finding, wrong
from attack_shop import recipe, tables, write_csv, write_recipe
from attack_tables import build, check_built

GROUP = "hostile texts"
CHECKED = (
    "no tag in any text of the published files, as they are and with entities resolved and invisible characters gone; "
    "the folder is valid"
)
TAG = re.compile(r"<\s*/?\s*(script|img|svg|iframe|a|object|style|form|input)\b", re.IGNORECASE)


def texts_of(out: Path) -> Iterator[tuple[str, str]]:
    """Yield where it is, and what it says, of each text that a dataset folder publishes."""

    def strings(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            for one in value.values():
                yield from strings(one)
        elif isinstance(value, list):
            for one in value:
                yield from strings(one)

    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.suffix == ".parquet":
            for row in pq.read_table(path).to_pylist():
                for text in strings({key: value for key, value in row.items() if key != "images"}):
                    yield name, text
        elif path.is_file():
            yield name, path.read_text(encoding="utf-8", errors="replace")


MARKUP = {
    "fullwidth brackets": "＜img src=x onerror=alert(1)＞",
    "zero-width space in a tag": "<scr\u200bipt>alert(1)</scr\u200bipt>",
    "soft hyphen in a tag": "<i\u00admg src=x onerror=alert(1)>",
    "entities": "&lt;script&gt;alert(1)&lt;/script&gt;",
    "entities within entities": "&amp;lt;img src=x onerror=alert(1)&amp;gt;",
    "five levels of entities": "&amp;amp;amp;amp;lt;script&amp;amp;amp;amp;gt;alert(1)",
    "numeric entities": "&#60;svg onload=alert(1)&#62;",
    "fullwidth entities": "＆lt;script＆gt;alert(1)",
    "a tag within a tag": "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "a tag that never closes": "<img src=x onerror=alert(1) ",
    "a comment": "<!--><img src=x onerror=alert(1)>-->",
    "a byte-order mark in a tag": "<\ufeffscript>alert(1)</script>",
    "a NUL in a tag": "<scr\0ipt>alert(1)</script>",
    "plain": "<iframe src=javascript:alert(1)></iframe><a href=javascript:alert(1)>here</a>",
}
# By name: the table and its column.
PLACES = {
    "titles": ("products", "title"),
    "categories": ("products", "category"),
    "descriptions": ("products", "description"),
    "reviews": ("reviews", "text"),
    "questions": ("questions", "question"),
    "snippets": ("questions", "document"),
    "queries": ("judgements", "query"),
}


def markup_attack(place: str) -> Callable[[Bench, Path], Sequence[Finding]]:
    """Return an attack that puts each form of markup into many cells of a column."""

    def attack(bench: Bench, folder: Path) -> Sequence[Finding]:
        table, column = PLACES[place]
        rows = tables(bench.seed)
        forms = list(MARKUP.items())
        for number, row in enumerate(rows[table]):
            name, payload = forms[number % len(forms)]
            if column == "category":
                row[column] = f"{row[column]} XSS{number % len(forms):02} {payload}"
            else:
                row[column] = f"{row[column]} XSS{number % len(forms):02} {payload} and it is the end."
        for name, content in rows.items():
            write_csv(folder / f"{name}.csv", content)
        content = recipe()
        content["images"] = {"publish": "reference", "read": False}
        content["tasks"] = {name: {"require_images": "none"} for name in TASKS}
        content["curate"] = {"languages": []}
        del content["sources"][0]["products"]["images"]
        write_recipe(folder / "recipe.yaml", content)
        check_built(bench, folder, build(bench, folder), "recipe")
        live: dict[str, str] = {}
        for file, text in texts_of(folder / "out"):
            for match in TAG.finditer(seen_by_a_reader(text)):
                near = seen_by_a_reader(text)[max(0, match.start() - 12) : match.end() + 12]
                marked = re.search(r"XSS(\d\d)", text[: match.end()][-60:] or text)
                which = forms[int(marked[1])][0] if marked else form_of(near)
                live.setdefault(which, f"{file}: …{near}…")
        return [
            Finding(
                f"{name} in {place}",
                wrong(f"a live tag is published in {live[name]}") if name in live else None,
            )
            for name in MARKUP
        ] + [Finding(f"markup in {place}", wrong(live[other])) for other in live if other not in MARKUP]

    return attack


TASKS = (
    "answerability_prediction",
    "category_classification",
    "product_relation_prediction",
    "product_substitute_identification",
    "multiclass_product_classification",
    "sentiment_analysis",
    "sequential_recommendation",
)


def form_of(text: str) -> str:
    """Return a name for markup whose form cannot be told any more."""
    return f"some form of {TAG.search(text)[1].lower() if TAG.search(text) else 'a tag'}"


def seen_by_a_reader(text: str) -> str:
    """Return a text as a page shows it whose author unescapes it: entities resolved, no invisible characters."""
    for _ in range(8):
        plain = html.unescape(text)
        if plain == text:
            break
        text = plain
    return "".join(one for one in text if unicodedata.category(one) not in ("Cf", "Cc") or one in "\n\t")


def attacks(bench: Bench) -> list[Attack]:
    """Return the attacks of this group."""
    return [
        Attack(GROUP, f"markup in {place}", markup_attack(place), quick=place == "reviews")
        for place in PLACES
    ]
