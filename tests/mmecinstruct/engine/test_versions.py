"""A stage whose code changed must raise its version, or old output in a workspace would be taken for new.

The code of a stage is all that its class reaches: the definitions that it names, those that these name, and so on, over
all modules of the package. After a change run `python tests/mmecinstruct/engine/test_versions.py`. It records the new
hashes, and fails where a version was not raised (give --same-result where the change alters no result).
"""

from __future__ import annotations

import ast
import copy
import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

import mmecinstruct
from mmecinstruct.pipeline.assemble import FOLDER_VERSION, assemble_folder
from mmecinstruct.stages import stage_classes

RECORD = Path(__file__).with_name("stage_versions.json")
# The code that writes the dataset folder is no stage, but has a version too.
FOLDER = "folder"
# Code that decides no byte, or is in the fingerprint itself: modules, and after a colon a definition of one.
LEFT_OUT = (
    "mmecinstruct.core.console",
    "mmecinstruct.core.errors",
    "mmecinstruct.core.progress",
    "mmecinstruct.engine",
    "mmecinstruct.version",
    "mmecinstruct.sources:_can_be_pulled",  # the text of an error
)
DATA_ENDINGS = (".txt", ".yaml")

Definition = tuple[str, str]  # module, name


class Module:
    """The definitions of a module by name, each the statements that make it, and the targets of its imports."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self.definitions: dict[str, list[ast.stmt]] = defaultdict(list)
        self.imports: dict[str, tuple[str, str]] = {}
        for statement in _flat(ast.parse(path.read_text(encoding="utf-8")).body):
            self.imports |= _imported(statement)
            for defined in _defined(statement):
                self.definitions[defined].append(statement)


class Code:
    """The modules of a package."""

    def __init__(self, folder: Path, left_out: Iterable[str] = ()) -> None:
        self.folder, self.left_out = folder, tuple(left_out)
        self._modules: dict[str, Module | None] = {}

    def module(self, name: str) -> Module | None:
        """Return a module of the package; None for others, and for those that are left out."""
        if name not in self._modules:
            file = self.folder.parent.joinpath(*name.split("."))
            paths = [file.with_suffix(".py"), file / "__init__.py"]
            found = next((path for path in paths if path.is_file()), None)
            left_out = any(name == one or name.startswith(f"{one}.") for one in self.left_out)
            inside = name.split(".")[0] == self.folder.name and not left_out
            self._modules[name] = Module(name, found) if found and inside else None
        return self._modules[name]

    def reached(self, definition: Definition) -> set[Definition]:
        """Return a definition and all that it reaches."""
        waiting, found = [*self._resolved(*definition)], set[Definition]()
        assert waiting, f"there is no {definition}"
        while waiting:
            one = waiting.pop()
            if one not in found and ":".join(one) not in self.left_out:
                found.add(one)
                waiting += self._named(one)
        return found

    def hash(self, definition: Definition) -> str:
        """Return a hash of the reached code and data that comments, docstrings, formatting and moves leave alone."""
        parts = set()
        for module_name, name in self.reached(definition):
            module = self.module(module_name)
            assert module is not None
            for statement in module.definitions[name]:
                parts.add(f"{name} {ast.dump(_stripped(statement))}")
                for path in _data_files(statement, module.path.parent):
                    parts.add(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}")
        return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()

    def _named(self, definition: Definition) -> Iterator[Definition]:
        """Yield the definitions of the package that a definition names."""
        module = self.module(definition[0])
        assert module is not None
        for statement in module.definitions[definition[1]]:
            nodes = list(ast.walk(statement))
            here = {name: target for node in nodes for name, target in _imported(node).items()}
            bases = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
            for node in nodes:
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    outer = self._module_named(module, here, node.value.id)
                    if outer:
                        yield from self._resolved(outer, node.attr)
                        continue
                if not isinstance(node, ast.Name):
                    continue
                target = here.get(node.id, (module.name, node.id))
                whole = self._module_named(module, here, node.id)
                if whole and id(node) not in bases:
                    yield from ((whole, name) for name in self._definitions(whole))
                elif not whole:
                    yield from self._resolved(*target)

    def _module_named(self, module: Module, here: dict[str, tuple[str, str]], name: str) -> str:
        """Return the module that a name means, empty where it means no module."""
        outer, inner = here.get(name) or module.imports.get(name) or ("", "")
        if inner and any(True for _ in self._resolved(outer, inner)):
            return ""
        whole = f"{outer}.{inner}" if inner else outer
        return whole if self.module(whole) else ""

    def _definitions(self, module_name: str) -> list[str]:
        module = self.module(module_name)
        return list(module.definitions) if module else []

    def _resolved(self, module_name: str, name: str) -> Iterator[Definition]:
        """Yield where a name of a module is defined, through imports of other modules."""
        module = self.module(module_name)
        if module and name in module.definitions:
            yield module_name, name
        # A package that imports a module of its own from itself has no definition of that name.
        elif module and module.imports.get(name, (module_name, name)) != (module_name, name):
            yield from self._resolved(*module.imports[name])


def _flat(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield a module's statements, those below `if` and `try` too."""
    for statement in body:
        if isinstance(statement, ast.If | ast.Try):
            yield from _flat([*statement.body, *statement.orelse])
        else:
            yield statement


def _imported(node: ast.AST) -> dict[str, tuple[str, str]]:
    """Return the targets of an import's names: (module, name in it, empty for the module itself)."""
    if isinstance(node, ast.ImportFrom) and node.module:
        return {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
    if isinstance(node, ast.Import):
        return {alias.asname or alias.name: (alias.name, "") for alias in node.names}
    return {}


def _defined(statement: ast.stmt) -> set[str]:
    """Return the names that a statement defines or changes; of loops and calls, all that it names."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return set()
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    targets: list[ast.AST] = [statement]
    if isinstance(statement, ast.Assign):
        targets = list(statement.targets)
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def _stripped(statement: ast.stmt) -> ast.stmt:
    """Return a copy without docstrings, imports (they are followed) and descriptions of settings."""
    copied = copy.deepcopy(statement)
    for node in ast.walk(copied):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [
                one
                for one in body
                if not isinstance(one, ast.Import | ast.ImportFrom)
                and not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
            ]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Field":
            node.keywords = [one for one in node.keywords if one.arg != "description"]
    return copied


def _data_files(statement: ast.stmt, folder: Path) -> Iterator[Path]:
    """Yield the files beside a module that a constant names: a file name, or the ending of all of its kind."""
    for node in ast.walk(statement):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node.value.endswith(DATA_ENDINGS)
        ):
            name = node.value
            if name.isascii() and name.replace(".", "").replace("_", "").isalnum():
                yield from folder.glob(f"*{name}" if name.startswith(".") else name)


@cache
def code() -> Code:
    return Code(Path(mmecinstruct.__file__).parent, LEFT_OUT)


@cache
def guarded() -> dict[str, tuple[int, Definition]]:
    """Return the version of each stage, and the definition that its code starts from."""
    stages = {stage.name: (stage.version, (stage.__module__, stage.__name__)) for stage in stage_classes()}
    return {**stages, FOLDER: (FOLDER_VERSION, (assemble_folder.__module__, assemble_folder.__name__))}


def recorded() -> dict[str, dict[str, object]]:
    return json.loads(RECORD.read_text(encoding="utf-8"))


def test_every_stage_is_recorded() -> None:
    assert set(guarded()) == set(recorded())


@pytest.mark.parametrize("stage", sorted(guarded()))
def test_changed_code_has_a_new_version(stage: str) -> None:
    version, definition = guarded()[stage]
    entry = recorded()[stage]
    assert (version, code().hash(definition)) == (entry["version"], entry["code"]), (
        f"the code of stage '{stage}' changed: raise its version in {definition[0]} if its result changes, then run: "
        "python tests/mmecinstruct/engine/test_versions.py"
    )


@pytest.mark.parametrize(
    ("stage", "module", "name"),
    [
        ("parse", "mmecinstruct.sources.amazon2018", "parse_reviews"),
        ("parse", "mmecinstruct.text.normalise", "normalise_text"),
        ("sample", "mmecinstruct.splits.judged", "split_by_hash"),
        ("hygiene", "mmecinstruct.text.profanity", "WORD_LIST"),
        ("task", "mmecinstruct.tasks.k_core", "create_k_core"),
        ("render", "mmecinstruct.core.templating", "rendered"),
        ("synthetic_shop", "mmecinstruct.core.hashing", "hash_draw"),
        (FOLDER, "mmecinstruct.sources.publishers", "publishers"),
    ],
)
def test_a_stage_reaches_its_code(stage: str, module: str, name: str) -> None:
    assert (module, name) in code().reached(guarded()[stage][1])


def test_no_stage_reaches_the_stages_before_it() -> None:
    reached = {module for module, _ in code().reached(guarded()["filter"][1])}
    assert not {"mmecinstruct.stages.measure_images", "mmecinstruct.images.measure"} & reached


PROBE = {
    "__init__": "",
    "stage": "from probe.tools import helper as h\nfrom probe import other\nclass Probe:\n  def work(self): return h()",
    "tools": "SIZE = 1\ndef helper():\n  from probe.deep import deep\n  return deep(SIZE)\ndef unused(): return 1",
    "deep": "def deep(size): return open('words.txt'), size",
    "other": "unused = 1",
}


@pytest.mark.parametrize(
    ("module", "old", "new", "differs"),
    [
        ("stage", "return h()", "return h() + 1", True),
        ("stage", "class Probe:\n", "class Probe:\n  '''Said.'''\n  # said\n", False),
        ("stage", "return h()", "return other.unused", True),
        ("tools", "SIZE = 1", "SIZE = 2", True),
        ("tools", "return 1", "return 2", False),
        ("deep", "), size", "), 1", True),
        ("other", "unused = 1", "unused = 2", False),
    ],
)
def test_the_hash_covers_exactly_the_reached_code(
    tmp_path: Path, module: str, old: str, new: str, differs: bool
) -> None:
    assert old in PROBE[module]
    hashes = []
    for changed in (PROBE, {**PROBE, module: PROBE[module].replace(old, new)}):
        hashes.append(_probe_hash(tmp_path, changed, "words"))
    assert (hashes[0] != hashes[1]) == differs


def test_the_hash_covers_data_that_reached_code_names(tmp_path: Path) -> None:
    assert len({_probe_hash(tmp_path, PROBE, words) for words in ("one", "two")}) == 2


def _probe_hash(folder: Path, modules: dict[str, str], words: str) -> str:
    package = folder / "probe"
    package.mkdir(exist_ok=True)
    for name, text in modules.items():
        (package / f"{name}.py").write_text(text)
    (package / "words.txt").write_text(words)
    return Code(package).hash(("probe.stage", "Probe"))


def record(same_result: bool) -> None:
    old = recorded() if RECORD.exists() else {}
    new = {
        stage: {"version": version, "code": code().hash(definition)}
        for stage, (version, definition) in sorted(guarded().items())
    }
    for stage, entry in new.items():
        before = old.get(stage)
        changed = before and before["code"] != entry["code"] and before["version"] == entry["version"]
        if changed and not same_result:
            sys.exit(f"{stage}: the code changed; raise its version, or say --same-result")
    RECORD.write_text(json.dumps(new, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record("--same-result" in sys.argv[1:])
