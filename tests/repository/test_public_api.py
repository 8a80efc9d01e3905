"""`import mmecinstruct` and `import caslie_model`: light, typed, and no module hides a public function."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import caslie_model
import mmecinstruct as mm

ROOT = Path(__file__).parents[2]
PACKAGES = (mm, caslie_model)
FUNCTIONS = {
    mm: ("build", "load_recipe", "load", "validate", "audit", "push_to_hub", "pull", "check_images"),
    caslie_model: (
        "finetune",
        "align",
        "evaluate",
        "compare",
        "features",
        "merge",
        "push_model",
        "load_adapter",
    ),
}


def import_every_module(package: ModuleType) -> None:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def test_public_names_survive_the_import_of_every_module() -> None:
    for package in PACKAGES:
        import_every_module(package)
        for name in package.__all__:
            assert not isinstance(getattr(package, name), ModuleType), f"{package.__name__}.{name}"
        for name in FUNCTIONS[package]:
            assert inspect.isfunction(getattr(package, name)), f"{package.__name__}.{name}"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_public_names_are_listed_and_others_are_errors(package: ModuleType) -> None:
    assert set(package.__all__) <= set(dir(package))
    assert set(FUNCTIONS[package]) <= set(package.__all__)
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'nothing'"):
        _ = package.nothing


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_public_functions_have_docstrings_with_examples(package: ModuleType) -> None:
    for name in FUNCTIONS[package]:
        function = getattr(package, name)
        parameters = inspect.signature(function).parameters.values()
        assert all(each.annotation is not inspect.Parameter.empty for each in parameters), name
        assert function.__doc__, name
        if function.__module__.endswith(".api"):
            assert "\n    Returns:" in function.__doc__, name
            assert "\n        >>> " in function.__doc__, name


def test_packages_are_typed() -> None:
    for package in PACKAGES:
        assert (Path(package.__path__[0]) / "py.typed").is_file()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_import_loads_nothing_heavy(package: ModuleType) -> None:
    code = (
        f"import sys, {package.__name__}\n"
        "heavy = {'torch', 'transformers', 'pyarrow', 'datasets', 'pandas', 'numpy', 'duckdb', 'pydantic', 'typer'}\n"
        "heavy |= {'sklearn', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_a_recipe_is_loaded_without_the_libraries_of_a_build() -> None:
    code = (
        "import sys, mmecinstruct as mm; mm.load_recipe('sample', {'sizes.train': 3})\n"
        "print(sorted({'torch', 'datasets', 'pandas', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_overrides_may_be_texts_or_a_mapping() -> None:
    values = {"sizes.train": 3, "publish.license": "cc0-1.0", "split.ood_categories": ["Toys"]}
    texts = ["sizes.train=3", "publish.license=cc0-1.0", "split.ood_categories=[Toys]"]
    assert mm.load_recipe("sample", values) == mm.load_recipe("sample", texts)


def test_the_default_workspace_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmecinstruct.api import default_workspace

    monkeypatch.delenv("MMEC_WORKSPACE", raising=False)
    assert default_workspace() == Path(".mmec")
    monkeypatch.setenv("MMEC_WORKSPACE", "elsewhere")
    assert default_workspace() == Path("elsewhere")


def test_a_missing_dataset_or_task_is_a_known_error(tmp_path: Path) -> None:
    with pytest.raises(mm.MmecError, match="no dataset"):
        mm.load(tmp_path / "nowhere", "sa")
    with pytest.raises(mm.MmecError, match="no task 'xx'"):
        mm.load(tmp_path, "xx")


def test_a_config_needs_no_other_argument(tmp_path: Path) -> None:
    config = caslie_model.finetune_config("tiny", data="d", out=tmp_path)
    with pytest.raises(mm.MmecError, match="give a config alone"):
        caslie_model.finetune(config, lr=1e-3)
