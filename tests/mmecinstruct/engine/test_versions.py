"""A stage whose code changed must raise its version, or old output in a workspace would be taken for new.

After a change run `python tests/mmecinstruct/engine/test_versions.py`: it records the new hashes, and refuses to where
a version was not raised (say --same-result where the change alters no result).
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from pathlib import Path

import pytest

import mmecinstruct
from mmecinstruct.engine.versions import STAGE_SOURCES, STAGE_VERSIONS

RECORD = Path(__file__).with_name("stage_versions.json")
PACKAGE = Path(mmecinstruct.__file__).parent


def code_hash(stage: str) -> str:
    """Return a hash of the stage's code that comments, docstrings and formatting leave alone."""
    digest = hashlib.sha256()
    for source in STAGE_SOURCES[stage]:
        pattern, _, parts = source.partition(":")
        paths = sorted(PACKAGE.glob(pattern))
        assert paths, f"{stage}: no source {pattern}"
        for path in paths:
            if path.suffix == ".yaml":
                digest.update(path.name.encode() + path.read_bytes())
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            if parts:
                tree.body = [part for name in parts.split(",") for part in _definitions(tree, name, source)]
            for node in ast.walk(tree):
                body = getattr(node, "body", None)
                if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
                    value = body[0].value
                    if isinstance(value, ast.Constant) and isinstance(value.value, str):
                        body.pop(0)
            digest.update(path.name.encode() + ast.dump(tree).encode())
    return digest.hexdigest()


def _definitions(tree: ast.Module, name: str, source: str) -> list[ast.stmt]:
    """Return the module's statements that define a function or a constant."""
    found = [
        part
        for part in tree.body
        if getattr(part, "name", None) == name
        or (isinstance(part, ast.Assign) and any(ast.unparse(target) == name for target in part.targets))
    ]
    assert found, f"{source}: no {name}"
    return found


def recorded() -> dict[str, dict[str, object]]:
    return json.loads(RECORD.read_text(encoding="utf-8"))


def test_every_stage_names_its_sources() -> None:
    assert set(STAGE_SOURCES) == set(STAGE_VERSIONS) == set(recorded())


@pytest.mark.parametrize("stage", sorted(STAGE_VERSIONS))
def test_changed_code_has_a_new_version(stage: str) -> None:
    entry = recorded()[stage]
    assert (STAGE_VERSIONS[stage], code_hash(stage)) == (entry["version"], entry["code"]), (
        f"the code of stage '{stage}' changed: raise its number in mmecinstruct/engine/versions.py if its result "
        "changes, then run: python tests/mmecinstruct/engine/test_versions.py"
    )


def test_the_hash_sees_code_but_not_docstrings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(STAGE_SOURCES, "probe", ("probe.py",))
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    hashes = []
    for text in ('"""One."""\nx = 1', '"""Two."""\nx = 1  # said otherwise', "x = 2"):
        (tmp_path / "probe.py").write_text(text)
        hashes.append(code_hash("probe"))
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_part_of_a_module_is_hashed_by_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(STAGE_SOURCES, "probe", ("probe.py:work,SIZE",))
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    hashes = []
    for size, body, other in ((1, "1", "a"), (1, "1", "b"), (2, "1", "a"), (1, "2", "a")):
        (tmp_path / "probe.py").write_text(f"SIZE = {size}\ndef work(): return {body}\nother = '{other}'")
        hashes.append(code_hash("probe"))
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
    monkeypatch.setitem(STAGE_SOURCES, "probe", ("probe.py:gone",))
    with pytest.raises(AssertionError, match="no gone"):
        code_hash("probe")


def record(same_result: bool) -> None:
    old = recorded() if RECORD.exists() else {}
    new = {
        stage: {"version": STAGE_VERSIONS[stage], "code": code_hash(stage)}
        for stage in sorted(STAGE_VERSIONS)
    }
    for stage, entry in new.items():
        before = old.get(stage)
        if (
            before
            and before["code"] != entry["code"]
            and before["version"] == entry["version"]
            and not same_result
        ):
            sys.exit(f"{stage}: the code changed; raise its version, or say --same-result")
    RECORD.write_text(json.dumps(new, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record("--same-result" in sys.argv[1:])
