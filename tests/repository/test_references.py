"""Paths and dotted names in pages, docstrings and comments name what there is."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("mmecinstruct", "caslie_model")
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md"))]
MODULES = [path for folder in (*PACKAGES, "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]

# The changelog tells of names as they were.
HISTORY = {ROOT / "CHANGELOG.md"}
TOP = "|".join(
    ("mmecinstruct", "caslie_model", "docs", "tests", "templates", "pipelines", "benchmarks", r"\.github")
)
PATH = re.compile(rf"(?<![\w/.:@~-])(?:{TOP})/[\w./*{{}}-]*[\w*/}}]")
DOTTED = re.compile(r"(?<![\w/.-])(?:mmecinstruct|caslie_model)(?:\.[A-Za-z_]\w*)+(?![\w/-])")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")


def found(pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    """(file, match) of a pattern in pages, code and comments, what has a placeholder in angle brackets left out."""
    return [
        (str(path.relative_to(ROOT)), match[0])
        for path in [*PAGES, *MODULES]
        if path not in HISTORY
        for text in [path.read_text(encoding="utf-8")]
        for match in pattern.finditer(text)
        if text[match.end() : match.end() + 1] != "<"
    ]


def test_every_path_in_the_documentation_exists() -> None:
    missing = [f"{file}: {path}" for file, path in found(PATH) if not any_file(path)]
    assert not missing, "\n".join(missing)


def any_file(path: str) -> bool:
    """Whether a path names a file or folder. Braces hold alternatives, or the name of what is put there."""
    if match := re.search(r"\{([^{}]*)\}", path):
        if "," not in match[1]:
            return any_file(path.replace(match[0], "*"))
        return all(
            any_file(path[: match.start()] + part + path[match.end() :]) for part in match[1].split(",")
        )
    return any(True for _ in ROOT.glob(path.rstrip("/")))


def test_every_link_of_a_page_leads_to_a_file() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in PAGES
        for link in LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]
    assert not broken, "\n".join(broken)


def test_every_dotted_name_in_the_documentation_exists() -> None:
    missing = [f"{file}: {name}" for file, name in found(DOTTED) if not exists(name)]
    assert not missing, "\n".join(missing)


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True
