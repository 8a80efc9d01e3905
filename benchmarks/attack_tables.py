"""Hostile tables and recipes: `mmec build` ends with a message or counts the row, within its memory."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from attack_runs import Attack, Bench, Fault, Finding, Ran, last_line, wrong
from attack_shop import Row, products, recipe, write_csv, write_recipe

GROUP = "hostile tables and recipes"
CHECKED = (
    "exit status 0 or 1, no traceback, memory below 2 GB for a recipe of 1 GB, the message names the file, record or "
    "setting, the folder is valid, the good rows are there, no planted code is run"
)
GOOD = 20  # rows beside the hostile ones
Write = Callable[[Path], None]


def text_recipe(**changes: Any) -> Row:
    """Return a recipe of the product table alone, without images."""
    content = recipe(only=())
    content["images"] = {"publish": "reference", "read": False}
    content["tasks"] = {"category_classification": {"require_images": "none"}}
    source = content["sources"][0]
    del source["products"]["images"]
    source["products"] |= changes
    return content


def build(bench: Bench, folder: Path, *more: str, **options: Any) -> Ran:
    """Build the recipe in a folder."""
    command = [
        "mmec",
        "build",
        "--recipe",
        "recipe.yaml",
        "--data",
        ".",
        "--out",
        "out",
        "--workspace",
        "workspace",
    ]
    return bench.run([*command, "--workers", "1", *more], folder, **options)


def check_built(bench: Bench, folder: Path, ran: Ran, named: str, least: int = 1) -> None:
    """Raise a fault unless a build was refused with a message that names the culprit, or its result is sound."""
    if ran.code != 0:
        if named not in ran.said and "no products" not in ran.said:
            raise wrong(f"the message does not name {named}: {last_line(ran.said)}")
        return
    valid = bench.run(["mmec", "validate", "out"], folder)
    if valid.code:
        raise wrong(f"the build succeeded, and `validate`: {last_line(valid.said)}")
    statistics = json.loads((folder / "out" / "statistics.json").read_text())
    if statistics["products"] < least:
        raise wrong(
            f"{statistics['products']} products are left of {least} good ones, and the build succeeded"
        )


# Tables.


def csv_rows(goods: Sequence[Row]) -> bytes:
    lines = ["id,title,category,description,price"]
    lines += [
        f"{r['id']},{r['title']},{r['category']},{r['description'].replace(',', '')},{r['price']}"
        for r in goods
    ]
    return "\n".join(lines).encode() + b"\n"


def json_rows(goods: Sequence[Row]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in goods)


def parquet_table(goods: Sequence[Row], **columns: Any) -> pa.Table:
    table = pa.Table.from_pylist(
        [{key: row[key] for key in ("id", "title", "category", "description", "price")} for row in goods]
    )
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, values)
    return table


def parquet_wide(goods: Sequence[Row]) -> pa.Table:
    table = parquet_table(goods)
    for number in range(5_000):
        table = table.append_column(f"c{number}", pa.array([number] * len(goods)))
    return table


def write_parquet(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path, compression="zstd")


def expanding_dictionary(path: Path, goods: Sequence[Row]) -> None:
    """A title of 5 MB that 200,000 rows share: 1.4 MB on the disk."""
    count = 200_000
    titles = pa.DictionaryArray.from_arrays(pa.array(np_zeros(count)), pa.array(["wide " * 1_000_000]))
    ids = pa.array([f"P{number}" for number in range(count)])
    same = {name: pa.array(["Kitchen"] * count) for name in ("category", "description", "price")}
    write_parquet(path, pa.table({"id": ids, "title": titles, **same}))


def np_zeros(count: int) -> Any:
    import numpy as np

    return np.zeros(count, dtype=np.int32)


def flipped(content: bytes, numbers: random.Random, start: int, stop: int, times: int = 1) -> bytes:
    """Return bytes of which some, between two positions, are others."""
    changed = bytearray(content)
    for _ in range(times):
        changed[numbers.randrange(start, stop)] ^= 1 << numbers.randrange(8)
    return bytes(changed)


def table_cases(bench: Bench) -> dict[str, tuple[str, Callable[[Path, list[Row]], None], int]]:
    """Return file name, what writes it, and how many products are left at least, by the case's name."""
    numbers = bench.moments("tables")

    def raw(content: Callable[[list[Row]], bytes]) -> Callable[[Path, list[Row]], None]:
        return lambda path, goods: path.write_bytes(content(goods)) and None

    def parquet(change: Callable[[list[Row]], pa.Table]) -> Callable[[Path, list[Row]], None]:
        return lambda path, goods: write_parquet(path, change(goods))

    def damaged(where: str) -> Callable[[Path, list[Row]], None]:
        def write(path: Path, goods: list[Row]) -> None:
            write_parquet(path, parquet_table(goods))
            content = path.read_bytes()
            size = len(content)
            spans = {"page": (8, size // 3), "footer": (size - 300, size - 8), "length": (size - 8, size - 4)}
            if where == "cut":
                path.write_bytes(content[: size // 2])
            else:
                path.write_bytes(flipped(content, numbers, *spans[where], times=4))

        return write

    line = b'{"id": "bad", "title": %b, "category": "Kitchen > Mug"}\n'
    huge = b'"' + b"x" * 20_000_000 + b'"'
    long_title = "long " * 40_000_000
    return {
        "CSV: a quote never closed": (
            "products.csv",
            raw(lambda g: csv_rows(g) + b'bad,"open,Kitchen,,\n' * 50),
            0,
        ),
        "CSV: NUL bytes": (
            "products.csv",
            raw(lambda g: csv_rows(g) + b"b\0d,nul\0title,Kitchen > Mug,,\n"),
            GOOD,
        ),
        "CSV: a cell of 20 MB": (
            "products.csv",
            raw(lambda g: csv_rows(g) + b"bad," + huge + b",Kitchen,,\n"),
            GOOD,
        ),
        "CSV: 100,000 cells in a row": (
            "products.csv",
            raw(lambda g: csv_rows(g) + b"bad" + b",x" * 100_000 + b"\n"),
            GOOD,
        ),
        "CSV: 50,000 columns": (
            "products.csv",
            raw(
                lambda g: csv_rows(g).replace(
                    b"price\n", b",".join(b"c%d" % n for n in range(50_000)) + b",price\n"
                )
            ),
            0,
        ),
        "CSV: not UTF-8": (
            "products.csv",
            raw(lambda g: csv_rows(g) + b"bad,\xff\xfe\x80 title,Kitchen > Mug,,\n"),
            0,
        ),
        "CSV: empty": ("products.csv", raw(lambda g: b""), 0),
        "CSV: header only": ("products.csv", raw(lambda g: csv_rows(g[:0])), 0),
        "CSV: a column twice": (
            "products.csv",
            raw(lambda g: b"id,id,title,category,description,price\na,b,c,d,e,1\n"),
            0,
        ),
        "CSV: lone carriage returns": ("products.csv", raw(lambda g: csv_rows(g).replace(b"\n", b"\r")), 0),
        "CSV: random bytes": ("products.csv", raw(lambda g: numbers.randbytes(100_000)), 0),
        "CSV: one line of 200 MB": ("products.csv", raw(lambda g: b"id" * 100_000_000), 0),
        "TSV: quotes and tabs": (
            "products.tsv",
            raw(lambda g: csv_rows(g).replace(b",", b"\t") + b'bad\t"5" x 7" \t\t"\t\n'),
            0,
        ),
        "JSON lines: 100,000 open brackets": (
            "products.jsonl",
            raw(lambda g: json_rows(g) + line % (b"[" * 100_000)),
            GOOD,
        ),
        "JSON lines: NaN and Infinity": (
            "products.jsonl",
            raw(lambda g: json_rows(g) + line % b"NaN" + line % b"-Infinity"),
            GOOD,
        ),
        "JSON lines: a number of 50,000 digits": (
            "products.jsonl",
            raw(lambda g: json_rows(g) + line % (b"9" * 50_000)),
            GOOD,
        ),
        "JSON lines: a text of 20 MB": ("products.jsonl", raw(lambda g: json_rows(g) + line % huge), GOOD),
        "JSON lines: half a surrogate": (
            "products.jsonl",
            raw(lambda g: json_rows(g) + line % b'"a \\ud800 mug"'),
            GOOD,
        ),
        "JSON lines: not UTF-8": (
            "products.jsonl",
            raw(lambda g: json_rows(g) + line % b'"a \xff\xc0\x80 mug"'),
            GOOD,
        ),
        "JSON lines: an object as title": (
            "products.jsonl",
            raw(lambda g: json_rows(g) + line % b'{"a": [1]}'),
            GOOD,
        ),
        "JSON lines: a list of files": ("products.jsonl", raw(lambda g: json.dumps(g).encode()), 0),
        "JSON lines: NUL in a text": (
            "products.jsonl",
            raw(lambda g: json_rows(g) + line % b'"a \\u0000 mug"'),
            GOOD,
        ),
        "gzip: cut short": ("products.jsonl.gz", raw(lambda g: gzip.compress(json_rows(g))[:-40]), 0),
        "gzip: a line that grows to 1 GB": (
            "products.jsonl.gz",
            raw(lambda g: gzip_bomb(json_rows(g))),
            GOOD,
        ),
        "gzip: not gzip": ("products.jsonl.gz", raw(lambda g: json_rows(g)), 0),
        "Parquet: a dictionary that grows to 1 TB": ("products.parquet", expanding_dictionary, 0),
        "Parquet: 8 kB with a title of 200 MB": (
            "products.parquet",
            parquet(lambda g: parquet_table([*g, {**g[0], "id": "bad", "title": long_title}])),
            GOOD,
        ),
        "Parquet: titles that are structs": (
            "products.parquet",
            parquet(lambda g: parquet_table(g, title=pa.array([{"a": {"b": 1}}] * len(g)))),
            0,
        ),
        "Parquet: ids that are floats": (
            "products.parquet",
            parquet(
                lambda g: parquet_table(
                    g, id=pa.array([float("nan"), float("inf"), *range(len(g) - 2)], pa.float64())
                )
            ),
            0,
        ),
        "Parquet: no rows": ("products.parquet", parquet(lambda g: parquet_table(g).slice(0, 0)), 0),
        "Parquet: 5,000 columns": (
            "products.parquet",
            parquet(lambda g: parquet_wide(g)),
            0,
        ),
        "Parquet: binary titles, not UTF-8": (
            "products.parquet",
            parquet(lambda g: parquet_table(g, title=pa.array([b"\xff\xfe mug"] * len(g), pa.binary()))),
            0,
        ),
        "Parquet: cut short": ("products.parquet", damaged("cut"), 0),
        "Parquet: bits of a page flipped": ("products.parquet", damaged("page"), 0),
        "Parquet: bits of the footer flipped": ("products.parquet", damaged("footer"), 0),
        "Parquet: another length of the footer": ("products.parquet", damaged("length"), 0),
        "Parquet: only its first bytes": ("products.parquet", raw(lambda g: b"PAR1"), 0),
    }


def gzip_bomb(before: bytes) -> bytes:
    """Return a compressed file whose last line is a gigabyte."""
    block = b"x" * 10_000_000
    return (
        gzip.compress(before)
        + gzip.compress(b'{"id": "bad", "title": "')
        + gzip.compress(block) * 100
        + gzip.compress(b'"}\n')
    )


def table_attack(name: str) -> Callable[[Bench, Path], None]:
    def attack(bench: Bench, folder: Path) -> None:
        file, write, least = table_cases(bench)[name]
        write(folder / file, products(bench.seed, GOOD))
        write_recipe(folder / "recipe.yaml", text_recipe(path=file))
        check_built(bench, folder, build(bench, folder), file, least)

    return attack


# Recipes.


def recipe_cases() -> dict[str, tuple[str, str]]:
    """Return a recipe's text, and what the message has to name, by the case's name. {…} is a sound recipe."""
    lists, maps = "[" * 4_000 + "]" * 4_000, "{a: " * 3_000 + "1" + "}" * 3_000
    bomb = "x0: &a0 [lol]\n" + "".join(
        f"x{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    return {
        "YAML: 4,000 nested lists": ("{…}\nx: " + lists, "recipe.yaml"),
        "YAML: 3,000 nested maps": ("{…}\nx: " + maps, "recipe.yaml"),
        "YAML: a key twice": ("{…}\nsizes: {train: 3, validation: 1, test: 1, test_ood: 0}\n", "sizes"),
        "YAML: a nested key twice": ("{…}\nscale: 1\naudit: {examples: 1, examples: 2}\n", "examples"),
        "YAML: aliases that grow": ("{…}\n" + bomb, "recipe.yaml"),
        "YAML: a list that holds itself": ("{…}\nx: &a [*a]\n", "recipe.yaml"),
        "YAML: a Python object": ("{…}\nx: !!python/object/apply:os.system ['touch PWNED']\n", "recipe.yaml"),
        "YAML: no mapping": ("- 1\n- 2\n", "recipe.yaml"),
        "YAML: not UTF-8": ("{…}\ndescription: \udcff\udcfe\n", "recipe.yaml"),
        "YAML: a tab": ("{…}\n\tx: 1\n", "recipe.yaml"),
        "YAML: a number of 10,000 digits": ("{…}\nscale: " + "9" * 10_000 + "\n", "recipe.yaml"),
        "YAML: NaN": ("{…}\nscale: .nan\n", "scale"),
        "YAML: a template in a text": (
            '{…}\ndescription: "{{ 7*7 }}{% for x in range(9**9) %}x{% endfor %}"\n',
            "",
        ),
    }


def recipe_attack(name: str) -> Callable[[Bench, Path], None]:
    def attack(bench: Bench, folder: Path) -> None:
        text, named = recipe_cases()[name]
        write_csv(folder / "products.csv", products(bench.seed, GOOD))
        write_recipe(folder / "recipe.yaml", text_recipe())
        sound = (folder / "recipe.yaml").read_text()
        (folder / "recipe.yaml").write_bytes(
            text.replace("{…}", sound.rstrip()).encode(errors="surrogateescape")
        )
        ran = build(bench, folder, limit=60)
        if (folder / "PWNED").exists():
            raise wrong("the recipe's code was run")
        if ran.code == 0 and named:
            raise wrong("the recipe was built without a word")
        check_built(bench, folder, ran, named)
        if len(ran.err) > 20_000:
            raise wrong(f"a message of {len(ran.err)} characters")

    return attack


def option_attack(bench: Bench, folder: Path) -> list[Finding]:
    """Overrides on the command line that are nested too deeply, or twice."""
    write_csv(folder / "products.csv", products(bench.seed, GOOD))
    write_recipe(folder / "recipe.yaml", text_recipe())
    values = {
        "--set: 4,000 nested lists": "split.ood_categories=" + "[" * 4_000 + "]" * 4_000,
        "--set: 3,000 nested maps": "tasks=" + "{a: " * 3_000 + "1" + "}" * 3_000,
        "--set: a path of 5,000 parts": ".".join(["a"] * 5_000) + "=1",
        "--set: not UTF-8": "description=\udcff",
    }
    return [found(name, lambda value=value: set_one(bench, folder, value)) for name, value in values.items()]


def set_one(bench: Bench, folder: Path, value: str) -> None:
    ran = build(bench, folder, "--set", value, limit=60)
    if ran.code == 0 and not value.startswith("description"):
        raise wrong("the override was taken")


def found(name: str, check: Callable[[], None]) -> Finding:
    """Return what a check finds."""
    try:
        check()
    except Fault as fault:
        return Finding(name, fault)
    return Finding(name)


def attacks(bench: Bench) -> list[Attack]:
    """Return the attacks of this group."""
    heavy = ("Parquet: a dictionary", "Parquet: 8 kB", "gzip: a line", "CSV: one line")
    quick = ("CSV: NUL bytes", "JSON lines: 100,000 open brackets", "Parquet: 8 kB with a title of 200 MB")
    return [
        *(
            Attack(GROUP, name, table_attack(name), quick=name in quick, alone=name.startswith(heavy))
            for name in table_cases(bench)
        ),
        *(Attack(GROUP, name, recipe_attack(name), quick="key twice" in name) for name in recipe_cases()),
        Attack(GROUP, "--set", option_attack),
    ]
