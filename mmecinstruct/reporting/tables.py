"""A table that is shown in a terminal, in Markdown and on a page. Cells may hold text from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmecinstruct.core.markdown import markdown_text
from mmecinstruct.core.shown import printable

_LONGEST_NOTE = 3000


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its heading; a line end in it matters in terminals only.
        is_text: Whether it holds words, which stand on the left; figures stand on the right.
        is_detail: Whether a terminal that is too narrow leaves it out.
    """

    name: str
    is_text: bool = False
    is_detail: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table.

    Attributes:
        cells: Texts, one for each column.
        is_marked: Whether it stands out.
        starts_section: Whether a line divides it from the row before.
    """

    cells: Sequence[str]
    is_marked: bool = False
    starts_section: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its title.

    Attributes:
        title: What it shows.
        columns: Its columns.
        rows: Its rows.
        note: How to read it; may be empty.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    note: str = ""


def table_markdown(table: Table) -> str:
    """Return a table as Markdown: a heading, the rows, the note. Foreign text is escaped.

    Args:
        table: The table.
    """
    lines = [
        f"## {_shown(table.title)}",
        "",
        "| " + " | ".join(_shown(column.name) for column in table.columns) + " |",
        "|" + "|".join("---" if column.is_text else "--:" for column in table.columns) + "|",
    ]
    for row in table.rows:
        cells = [_shown(cell) for cell in row.cells]
        if row.is_marked:
            cells = [f"**{cell}**" if cell else "" for cell in cells]
        lines.append("| " + " | ".join(cells) + " |")
    if table.note:
        lines += ["", _shown(table.note, _LONGEST_NOTE)]
    return "\n".join([*lines, ""])


def table_text(table: Table, width: int | None = None) -> str:
    """Return a table as lines of plain text.

    Args:
        table: The table.
        width: Characters of the terminal; a wider table is shown without its details, then with narrow gaps. None:
            all columns.
    """
    everything = range(len(table.columns))
    few = [index for index, column in enumerate(table.columns) if not column.is_detail]
    text = ""
    for shown, gap in ((everything, 1), (few, 1), (few, 0)):
        text = _text(table, shown, gap)
        if width is None or max(map(len, text.splitlines())) <= width:
            break
    return text


def _shown(text: str, limit: int = 300) -> str:
    return markdown_text(printable(text, keep="\n\t"), limit)


def _text(table: Table, shown: Sequence[int], gap: int) -> str:
    from io import StringIO

    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    def cell(content: str) -> Text:
        # No string: that could hold mark-up of rich.
        return Text(printable(content, keep="\n"))

    made = RichTable(title=cell(table.title), title_justify="left", box=SIMPLE_HEAD, padding=(0, gap, 0, 0))
    for index in shown:
        column = table.columns[index]
        made.add_column(cell(column.name), justify="left" if column.is_text else "right", no_wrap=True)
    for row in table.rows:
        if row.starts_section and made.rows:
            made.add_section()
        made.add_row(*(cell(" ".join(row.cells[index].split())) for index in shown))
    text = StringIO()
    Console(file=text, width=10_000, color_system=None).print(made)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"
