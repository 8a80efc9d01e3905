"""Files with quotes anywhere: no row is lost without a rejection, counted against the lines of the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmecinstruct.sources.readers.batches import RowError
from mmecinstruct.sources.readers.tabular import read_csv

WANTED = {"recipe field products.id": "id", "recipe field products.title": "title"}
# Whether a cell is quoted, and its text: quotes at either end and within, doubled and not.
texts = st.text(st.sampled_from('ab1"" .é'), max_size=8).map(str.strip)
quoted = texts.map(lambda text: '"' + text.replace('"', '""') + ', so"')


@pytest.mark.parametrize("ending", ["csv", "tsv"])
@given(
    rows=st.lists(st.tuples(texts, texts | quoted, texts), min_size=1, max_size=12),
    end=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
)
def test_each_line_is_kept_or_rejected(
    tmp_path: Path, ending: str, rows: list[tuple[str, str, str]], end: str, last: bool
) -> None:
    cut = "," if ending == "csv" else "\t"
    lines = [cut.join((f"P{number:03}", *row)) for number, row in enumerate(rows)]
    content = end.join([cut.join(("id", "title", "text", "category")), *lines]) + (end if last else "")
    path = tmp_path / f"p.{ending}"
    path.write_text(content, encoding="utf-8", newline="")
    found = list(read_csv(path, WANTED))
    # Each line is one row: what is found begins at each of them, once.
    assert [number for number, _ in found] == list(range(2, 2 + len(path.read_bytes().splitlines()) - 1))
    for number, row in found:
        if not isinstance(row, RowError):
            assert row["id"] == f"P{number - 2:03}"
        else:
            assert ending == "csv"


@pytest.mark.parametrize("ending", ["csv", "tsv"])
@given(
    rows=st.lists(
        st.tuples(texts, st.lists(texts.filter(bool), min_size=1, max_size=3)), min_size=1, max_size=12
    )
)
def test_cells_of_several_lines_are_read_as_they_were_written(
    tmp_path: Path, ending: str, rows: list[tuple[str, list[str]]]
) -> None:
    cut = "," if ending == "csv" else "\t"
    written = [(f"P{number:03}", title, "\n".join(lines)) for number, (title, lines) in enumerate(rows)]
    quoted_rows = [['"' + cell.replace('"', '""') + '"' for cell in row] for row in written]
    body = "".join(cut.join(row) + "\n" for row in quoted_rows)
    (tmp_path / f"p.{ending}").write_text(f"id{cut}title{cut}text\n{body}", encoding="utf-8", newline="")
    found = [row for _, row in read_csv(tmp_path / f"p.{ending}", WANTED)]
    assert [tuple(row.values()) if isinstance(row, dict) else row for row in found] == written
