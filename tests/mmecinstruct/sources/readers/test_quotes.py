"""Quotes in CSV and TSV files: which cells they enclose, and what a stray one costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmecinstruct.core.errors import SourceError
from mmecinstruct.sources.readers.batches import RowError
from mmecinstruct.sources.readers.tabular import read_csv
from mmecinstruct.sources.settings import Quoting

WANTED = {"recipe field products.id": "id", "recipe field products.title": "title"}
TSV = "id\ttitle\tcategory\n"
CSV = "id,title,description,category\n"


def read(
    path: Path, content: str, quoting: Quoting = "auto"
) -> tuple[list[list[str]], list[tuple[int, str]]]:
    """Return the cells of the rows that are kept, and (line, reason) of the others."""
    path.write_text(content, encoding="utf-8", newline="")
    kept, rejected = [], []
    for number, row in read_csv(path, WANTED, quoting):
        if isinstance(row, RowError):
            rejected.append((number, row.reason))
        else:
            kept.append(list(row.values()))
    return kept, rejected


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quotes_of_a_tsv_file_that_nobody_doubled_are_characters(tmp_path: Path, end: str) -> None:
    titles = ["Oak chest, 2 drawers", '"Big" enamel pot', "Red chair", '"Big enamel pot', "Blue chair"]
    titles += ['Jar, 3" wide', 'TV stand 40"', '"Tall vase', 'Round "Luna" mirror', 'Shelf 24"', '"']
    content = TSV + "".join(f"A{number}\t{title}\tHome > It\n" for number, title in enumerate(titles))
    kept, rejected = read(tmp_path / "p.tsv", content.replace("\n", end))
    assert [row[1] for row in kept] == titles
    assert rejected == []


def test_cells_of_a_tsv_file_that_a_spreadsheet_quoted_are_unquoted(tmp_path: Path) -> None:
    content = (
        TSV + 'B1\t"Tray, ""large"""\tTrays\nB2\t"Lamp\nwith two lines"\tLamps\nB3\tBowl\t"Last\nof all"\n'
    )
    content += 'B4\t"with\ttab"\tIt\nB5\t"Tray, ""large"""\t"It\n'
    kept, rejected = read(tmp_path / "p.tsv", content)
    assert [row[1:] for row in kept] == [
        ['Tray, "large"', "Trays"],
        ["Lamp\nwith two lines", "Lamps"],
        ["Bowl", "Last\nof all"],
        ["with\ttab", "It"],
        ['Tray, "large"', '"It'],
    ]
    assert rejected == []


def shop(*changed: tuple[int, str]) -> str:
    rows = [f"P{number:03},Mug No. {number},It is red.,Kitchen > Mugs" for number in range(40)]
    for number, row in changed:
        rows[number] = row
    return CSV + "".join(f"{row}\n" for row in rows)


OPENED, CLOSED = 'P008,Shelf,"It is plum.,Home > Shelves', 'P018,Lamp,It has 24",Home > Lamps'


def test_a_quote_that_another_row_closes_costs_its_own_line(tmp_path: Path) -> None:
    kept, rejected = read(tmp_path / "p.csv", shop((8, OPENED), (18, CLOSED)))
    assert rejected == [(10, "bad_row")]
    assert [row[0] for row in kept] == [f"P{number:03}" for number in range(40) if number != 8]


def test_a_quote_that_is_never_closed_costs_its_own_line(tmp_path: Path) -> None:
    kept, rejected = read(tmp_path / "p.csv", shop((8, OPENED)))
    assert (len(kept), rejected) == (39, [(10, "bad_row")])


def test_a_quote_that_the_next_row_closes_joins_nothing(tmp_path: Path) -> None:
    kept, rejected = read(tmp_path / "p.csv", shop((8, OPENED), (9, CLOSED.replace("P018", "P009"))))
    assert (len(kept), rejected) == (39, [(10, "bad_row")])


def test_a_bad_row_names_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(shop((8, OPENED)))
    [error] = [row for _, row in read_csv(tmp_path / "p.csv", WANTED) if isinstance(row, RowError)]
    assert "opened in this line and not closed" in error.detail
    assert "quoting: none" in error.detail


@pytest.mark.parametrize(
    "text",
    [
        "First\nsecond",
        "First\n\nred, soft, and warm",
        "First, red\nIt is, really, so,\nlast",
        "A\nB,C,D",
        'x\n""y',
    ],
)
def test_a_quoted_text_of_several_lines_is_one_cell(tmp_path: Path, text: str) -> None:
    kept, rejected = read(
        tmp_path / "p.csv", shop((8, f'P008,Shelf,"{text}",Shelves'), (30, f'P030,"{text}",x,y'))
    )
    assert (len(kept), rejected) == (40, [])
    assert kept[8] == ["P008", "Shelf", text.replace('""', '"'), "Shelves"]
    assert kept[30][1] == text.replace('""', '"')


def test_a_text_in_the_first_column_may_have_several_lines(tmp_path: Path) -> None:
    content = (
        "title,id\n" + "".join(f"Mug,P{number}\n" for number in range(9)) + '"Shelf\nof oak",P9\nMug,P10\n'
    )
    kept, rejected = read(tmp_path / "p.csv", content)
    assert (len(kept), rejected) == (11, [])
    assert kept[9] == ["Shelf\nof oak", "P9"]


def test_quoting_none_takes_quotes_for_characters(tmp_path: Path) -> None:
    kept, rejected = read(tmp_path / "p.csv", shop((8, OPENED), (18, CLOSED)), "none")
    assert (len(kept), rejected) == (40, [])
    assert kept[8][2] == '"It is plum.'


def test_quoting_standard_joins_whatever_a_quote_encloses(tmp_path: Path) -> None:
    text = "First\nP1,Mug,It is,so"
    kept, rejected = read(tmp_path / "p.csv", shop((8, f'P008,Shelf,"{text}",Shelves')), "standard")
    assert (len(kept), rejected) == (40, [])
    assert kept[8][2] == text


def test_bytes_that_are_not_utf8_are_shown(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes(CSV.encode() + b"P1,caf\xe9,x,y\nP2,tea,x,y\n")
    rows = [row for _, row in read_csv(tmp_path / "p.csv", WANTED)]
    assert rows[0] == RowError("not_utf8", r"bytes that are not UTF-8: 'P1,caf\xe9,x,y'")
    assert not isinstance(rows[1], RowError)


def test_a_header_whose_quote_is_never_closed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"p\.csv:1: .*never closed"):
        read(tmp_path / "p.csv", 'id,"title\nA,B\n')


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_file_full_of_open_quotes_is_read_in_one_go(tmp_path: Path, ending: str) -> None:
    cut = "," if ending == "csv" else "\t"
    rows = "".join(f'P{number}{cut}"x\n' if number % 2 else "y\n" for number in range(60_000))
    kept, rejected = read(tmp_path / f"p.{ending}", f"id{cut}title\n{rows}")
    assert len(kept) + len(rejected) <= 60_000
