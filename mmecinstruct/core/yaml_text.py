"""YAML of people and of other programs: recipes, presets, saved configs, overrides. All of it is read here.

What YAML allows and no file of ours needs is an error that names file and line: a key given twice, deep nesting,
aliases that stand for themselves or for millions of values.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from mmecinstruct.core.disk_errors import explained, shown
from mmecinstruct.core.errors import YamlError

MAX_BYTES = 10_000_000
MAX_DEPTH = 50
# With what aliases repeat.
MAX_VALUES = 1_000_000

# libyaml's parser is some ten times faster; what it returns goes through the same composer.
try:
    from yaml.cyaml import CParser as _Events  # type: ignore[attr-defined]
except ImportError:  # PyYAML was built without libyaml
    from yaml.parser import Parser
    from yaml.reader import Reader
    from yaml.scanner import Scanner

    class _Events(Reader, Scanner, Parser):  # type: ignore[no-redef]
        def __init__(self, stream: str) -> None:
            Reader.__init__(self, stream)
            Scanner.__init__(self)
            Parser.__init__(self)


def read_yaml(path: Path, max_bytes: int = MAX_BYTES) -> Any:
    """Return the content of a YAML file.

    Args:
        path: The file, UTF-8.
        max_bytes: A larger file is not read.

    Returns:
        Mappings, lists and plain values.

    Raises:
        YamlError: If the file cannot be read, or is not YAML as this project takes it; the message names file and line.
    """
    name = shown(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(max_bytes + 1)
    except IsADirectoryError as error:
        raise YamlError(f"{name} is a folder; give a YAML file") from error
    except OSError as error:
        raise YamlError(explained(error, path)) from error
    if len(content) > max_bytes:
        raise YamlError(f"{name} is larger than {max_bytes / 1e6:g} MB: it is no file of settings")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise YamlError(f"{name}:{line}: not UTF-8 text; save the file as UTF-8") from error
    return parse_yaml(text, name)


def parse_yaml(text: str, name: str) -> Any:
    """Return the content of a YAML text.

    Args:
        text: The text.
        name: Its name in messages, such as a file's.

    Raises:
        YamlError: If it is not YAML as this project takes it.
    """
    try:
        loader = _Loader(text)
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark and "\n" in text.strip() else name
        problem = " ".join(filter(None, [error.context, error.problem]))
        raise YamlError(f"{where}: not valid YAML: {problem}") from error
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        where = f"{name}:{line}" if "\n" in text.strip() else name
        raise YamlError(f"{where}: a control character, which YAML does not allow; delete it") from error
    # An impossible date, a number of thousands of digits.
    except (yaml.YAMLError, ValueError) as error:
        raise YamlError(f"{name}: not valid YAML: {error}") from error


class _Loader(Composer, _Events, SafeConstructor, Resolver):
    """PyYAML's safe loader with limits. Nodes are composed here in Python, from the events of libyaml."""

    def __init__(self, text: str) -> None:
        _Events.__init__(self, text)
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)
        self._depth = 0
        self._open: set[str] = set()
        # Values of each anchored node, with those that aliases in it repeat.
        self._sizes: dict[str | None, int] = {}
        self._size = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()
        anchor = event.anchor if not isinstance(event, yaml.AliasEvent) else None
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in self._open:
                raise _error(f"the alias *{event.anchor} stands for what it is in", event)
            self._size += self._sizes.get(event.anchor, 0)
        before, self._size = self._size, self._size + 1
        if self._size > MAX_VALUES:
            raise _error(f"more than {MAX_VALUES:,} values, with what its aliases repeat", event)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _error(f"nested too deeply (more than {MAX_DEPTH} levels)", event)
        with self._within(anchor):
            node = super().compose_node(parent, index)
        self._depth -= 1
        if anchor is not None:
            self._sizes[anchor] = self._size - before
        if isinstance(node, yaml.MappingNode):
            _check_keys(node)
        return node

    @contextmanager
    def _within(self, anchor: str | None) -> Iterator[None]:
        if anchor is not None:
            self._open.add(anchor)
        yield
        if anchor is not None:
            self._open.discard(anchor)


def _check_keys(node: yaml.MappingNode) -> None:
    """Raise where a mapping has a key twice. A key may replace one that `<<` brings in."""
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        name, line = (key.tag, key.value), key.start_mark.line + 1
        if name in lines:
            raise yaml.MarkedYAMLError(
                problem=f"the key '{key.value}' is given twice, in line {lines[name]} too; delete one",
                problem_mark=key.start_mark,
            )
        lines[name] = line


def _error(problem: str, event: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
