"""Rooms import only the rooms below them, nothing imports in a circle, and imports inside functions save a package."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("mmecinstruct", "caslie_model")

# Imports inside functions that load no further package, each with its reason.
LAZY_FOR_ANOTHER_REASON: dict[tuple[str, str], str] = {}


def test_every_contract_of_pyproject_is_kept() -> None:
    """The layers are in pyproject.toml; `make check` runs the same contracts."""
    command = "import sys; from importlinter.cli import lint_imports_command as run; sys.exit(run())"
    result = subprocess.run(
        [sys.executable, "-c", command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_an_import_inside_a_function_saves_loading_a_package() -> None:
    useless = []
    for name in modules():
        own_packages = packages_loaded_by(name)
        for target in imports_of(name).inside_functions:
            if packages_loaded_by(target) <= own_packages and (name, target) not in LAZY_FOR_ANOTHER_REASON:
                useless.append(
                    f"{name} imports {target} inside a function and saves nothing: move it to the top"
                )
    assert not useless, "\n".join(useless)


def test_the_list_of_other_lazy_imports_is_current() -> None:
    lazy = {(name, target) for name in modules() for target in imports_of(name).inside_functions}
    assert set(LAZY_FOR_ANOTHER_REASON) <= lazy


class Imports(ast.NodeVisitor):
    """The modules that a module imports, by the place of the statement; those for type checkers are left out."""

    def __init__(self, name: str) -> None:
        self.at_the_top: set[str] = set()
        self.inside_functions: set[str] = set()
        self._found = self.at_the_top
        self.visit(ast.parse(modules()[name].read_text(encoding="utf-8")))
        self.inside_functions = {target for target in self.inside_functions if target in modules()}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        around, self._found = self._found, self.inside_functions
        self.generic_visit(node)
        self._found = around

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self._found.update(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.module, "imports are absolute"
        for alias in node.names:
            submodule = f"{node.module}.{alias.name}"
            self._found.add(submodule if submodule in modules() else node.module)


@functools.cache
def modules() -> dict[str, Path]:
    """Every module of both packages, with its file."""
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {dotted_name(path): path for path in files}


def dotted_name(path: Path) -> str:
    """The name under which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def imports_of(name: str) -> Imports:
    """What the module's source imports."""
    return Imports(name)


@functools.cache
def packages_loaded_by(name: str) -> frozenset[str]:
    """The third-party packages that importing a module loads, by itself or through our other modules."""
    seen: set[str] = set()
    packages: set[str] = set()
    waiting = [name]
    while waiting:
        for module in with_parents(waiting.pop()):
            if module in seen:
                continue
            seen.add(module)
            if module in modules():
                waiting.extend(imports_of(module).at_the_top)
            elif (package := module.partition(".")[0]) not in sys.stdlib_module_names:
                packages.add(package)
    return frozenset(packages)


def with_parents(module: str) -> Iterator[str]:
    """A module and the packages around it, whose `__init__` modules are run as well."""
    parts = module.split(".")
    yield from (".".join(parts[: count + 1]) for count in range(len(parts)))
