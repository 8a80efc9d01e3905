from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import pytest
from markupsafe import Markup
from PIL import Image

from mmecinstruct.core.errors import RenderError
from mmecinstruct.reporting.charts import Interval, interval_chart
from mmecinstruct.reporting.images import ImageBudget
from mmecinstruct.reporting.page import Section, fragment, page, paragraphs, table_html
from mmecinstruct.reporting.tables import Column, Row, Table, table_markdown, table_text

HOSTILE = "<script>alert(1)</script><img src=x onerror=y> \"'&{{ 7 * 7 }} [bold]x[/bold] \u202e"


class Elements(HTMLParser):
    """Collects elements, and checks that they are nested properly."""

    VOID = ("meta", "img", "line")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def names(self) -> set[str]:
        return {name for name, _ in self.found}


def hostile_table() -> Table:
    columns = [Column("name", is_text=True), Column("score"), Column(HOSTILE, is_detail=True)]
    return Table(
        HOSTILE, columns, [Row([HOSTILE, "0.5", "1"], is_marked=True), Row(["b", "−1", ""])], HOSTILE
    )


def hostile_page() -> str:
    chart = interval_chart(HOSTILE, [Interval(HOSTILE, 0.1, -0.1, 0.3, HOSTILE)], symmetric=True)
    body = table_html(hostile_table()) + chart + paragraphs(HOSTILE)
    return page(HOSTILE, paragraphs(HOSTILE), [Section("one", "One & all", body)], HOSTILE)


def test_text_from_outside_is_no_mark_up() -> None:
    elements = Elements(hostile_page())
    assert not elements.names() & {"script", "img", "bold", "link", "iframe"}
    assert elements.words.count("<script>alert(1)</script>") >= 8
    assert "\u202e" not in hostile_page()
    assert "{{ 7 * 7 }}" in elements.words


def test_a_page_asks_for_nothing_and_its_policy_forbids_it() -> None:
    text = page("t", paragraphs("x"), [], "end")
    elements = Elements(text)
    policies = [
        each["content"] or ""
        for name, each in elements.found
        if name == "meta" and each.get("http-equiv") == "Content-Security-Policy"
    ]
    style = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert len(policies) == len(style) == 1
    assert policies[0].startswith("default-src 'none'; img-src data:;")
    assert f"'sha256-{digest}'" in policies[0]
    assert "unsafe" not in policies[0]
    assert "url(" not in style[0]
    assert "@import" not in style[0]
    assert not re.search(r"(?:src|href)=\"(?!#|data:)", text)
    assert " style=" not in text
    assert not re.search(r"\son\w+=", text)


def test_links_lead_to_sections_of_the_page() -> None:
    text = page("t", Markup(""), [Section("one", "One", paragraphs("x"))], "end")
    names = {attributes["id"] for _, attributes in Elements(text).found if "id" in attributes}
    assert set(re.findall(r'href="#([^"]+)"', text)) <= names


def test_the_same_content_gives_the_same_page() -> None:
    assert hostile_page() == hostile_page()


def test_a_missing_variable_of_a_template_is_a_known_error() -> None:
    with pytest.raises(RenderError, match=r"templates/pages/table\.html\.j2"):
        fragment("table.html.j2")
    with pytest.raises(RenderError, match=r"nothing\.j2"):
        fragment("nothing.j2")


def test_a_chart_places_values_on_its_axis() -> None:
    intervals = [Interval("a", 0.02, -0.02, 0.04, "+0.02"), Interval("b", 0, 0, 0, "0", is_marked=True)]
    found = Elements(interval_chart("c", intervals, symmetric=True)).found
    lines = [attributes for name, attributes in found if name == "line"]
    assert [line["x1"] for line in lines if line["class"] == "zero"] == ["500.0", "500.0"]
    first = next(line for line in lines if line["class"] == "range")
    assert (first["x1"], first["x2"]) == ("300.0", "900.0")
    assert ("li", {"class": "marked"}) in found


@pytest.mark.parametrize("intervals", [[], [Interval("a", 0, 0, 0, "0")], [Interval("a", 3, 1, 70, "3")]])
def test_a_chart_of_any_values_has_an_axis(intervals: list[Interval]) -> None:
    for symmetric in (True, False):
        places = re.findall(r'x[12]="([^"]+)"', interval_chart("c", intervals, symmetric=symmetric))
        assert all(0 <= float(place) <= 1000 for place in places)


def test_a_narrower_terminal_gets_narrow_gaps() -> None:
    table = Table("T", [Column("a"), Column("b"), Column("c")], [Row(("1.000", "2.000", "3.000"))])
    wide = table_text(table)
    narrow = table_text(table, max(map(len, wide.splitlines())) - 1)
    assert "1.000  2.000  3.000" in wide
    assert "1.000 2.000 3.000" in narrow


def test_a_narrow_terminal_loses_details_only() -> None:
    wide, narrow = table_text(hostile_table(), 10_000), table_text(hostile_table(), 20)
    assert "[bold]x[/bold]" in wide
    assert "\\u202e" in wide
    assert "score" in narrow
    assert HOSTILE[:20] in narrow
    assert len(narrow.splitlines()[2]) < len(wide.splitlines()[2])


def test_markdown_escapes_text_from_outside() -> None:
    lines = table_markdown(hostile_table()).splitlines()
    assert lines[0].startswith("## &lt;script&gt;")
    assert "<" not in "\n".join(lines)
    assert lines[4].startswith("| **&lt;script&gt;")
    assert "\u202e" not in "".join(lines)


def test_images_are_reduced_and_bounded() -> None:
    budget = ImageBudget(side=40, images=2, bytes=100_000)
    made = budget.add(Image.effect_noise((400, 100), 90).convert("RGB"))
    assert made is not None
    assert (made.width, made.height) == (40, 10)
    content = base64.b64decode(made.uri.removeprefix("data:image/jpeg;base64,"))
    assert Image.open(io.BytesIO(content)).size == (40, 10)
    small = budget.add(Image.new("RGB", (1, 1)))
    assert small is not None
    assert small.width == 1
    assert budget.add(Image.new("RGB", (9, 9))) is None
    assert budget.left_out == 1
    assert ImageBudget(bytes=100).add(Image.new("RGB", (9, 9))) is None
