"""YAML that no settings need is an error that names file and line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from mmecinstruct.core.errors import YamlError
from mmecinstruct.core.package_data import pipelines_folder
from mmecinstruct.core.yaml_text import MAX_DEPTH, parse_yaml, read_yaml

ALIASES = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "\n".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 10)}]" for n in range(9)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", r"f\.yaml:3: .*the key 'a' is given twice, in line 1 too; delete one"),
        ("x:\n  y: 1\n  z: {q: 1,\n    q: 2}\n", r"f\.yaml:4: .*the key 'q' is given twice, in line 3 too"),
        ("- a: 1\n  'a': 2\n", r"f\.yaml:2: .*the key 'a' is given twice"),
        ("a: " + "[" * 4000, r"f\.yaml: .*nested too deeply \(more than 50 levels\)"),
        ("{a: " * 3000 + "1" + "}" * 3000, "nested too deeply"),
        ("\n".join(" " * depth + "a:" for depth in range(500)), r"f\.yaml:50: .*nested too deeply"),
        ("- " * 100_000 + "x", "nested too deeply"),
        (ALIASES, "more than 1,000,000 values, with what its aliases repeat"),
        ("a: &a [*a]", r"the alias \*a stands for what it is in"),
        ("a: &a {b: {c: *a}}", r"the alias \*a stands for what it is in"),
        ("a: *b", "undefined alias"),
        ("a: 1\nb: \0\n", r"f\.yaml:2: a control character"),
        ("a: 2020-13-45", "month must be in"),
        ("a: " + "9" * 5000, "digits"),
        ("a: !!python/object:os.system x", "tag"),
        ("? [1]\n: 2\n", "unhashable key"),
        ("--- a\n--- b\n", "another document"),
        ("a: [1\n", "not valid YAML"),
    ],
)
def test_what_no_settings_need_is_an_error(text: str, said: str) -> None:
    began = time.monotonic()
    with pytest.raises(YamlError, match=said) as caught:
        parse_yaml(text, "f.yaml")
    assert time.monotonic() - began < 1
    assert len(str(caught.value)) < 300


def test_a_key_may_replace_one_that_is_merged_in() -> None:
    assert parse_yaml("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n", "")["b"] == {"x": 3, "y": 2}
    assert parse_yaml("a: &a [1]\nb: [*a, *a]\n", "")["b"] == [[1], [1]]


def test_as_many_levels_as_allowed_are_read() -> None:
    content = parse_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH, "")
    for _ in range(MAX_DEPTH - 1):
        content = content[0]
    assert content == []


def test_files_of_ours_read_as_the_library_reads_them() -> None:
    for file in sorted(pipelines_folder().rglob("*.yaml")):
        assert read_yaml(file) == yaml.safe_load(file.read_text(encoding="utf-8"))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("a: 1\nname: Käse\n".encode("latin-1"))
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    (tmp_path / "long.yaml").write_text("a: b\n" * 100)
    (tmp_path / "utf16.yaml").write_bytes("a: 1\n".encode("utf-16"))
    assert read_yaml(tmp_path / "bom.yaml") == {"a": 1}
    for path, said in (
        (tmp_path / "latin.yaml", r"latin\.yaml:2: not UTF-8 text; save the file as UTF-8"),
        (tmp_path / "utf16.yaml", r"utf16\.yaml:1: not UTF-8 text"),
        (tmp_path, "is a folder; give a YAML file"),
        (tmp_path / "nowhere.yaml", r"nowhere\.yaml: No such file"),
        (Path("/dev/zero"), "is larger than 10 MB"),
    ):
        with pytest.raises(YamlError, match=said):
            read_yaml(path)
    with pytest.raises(YamlError, match=r"long\.yaml is larger than"):
        read_yaml(tmp_path / "long.yaml", 100)
