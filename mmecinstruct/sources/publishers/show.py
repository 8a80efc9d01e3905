"""Show publishers as text (`mmec sources`) and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from textwrap import fill
from typing import Any

from mmecinstruct.sources.publishers.facts import Publisher, PublisherFile

_WIDTH = 100


def table(publishers: Iterable[Publisher], short_names: Mapping[str, str]) -> str:
    """Return a line per publisher: name, tasks, recipe kinds, how to get the files, licence, redistribution.

    Args:
        publishers: The publishers in the order of the lines.
        short_names: The short name of every task by its full name.
    """
    header = ("name", "tasks", "recipe kinds", "files", "licence", "texts", "images")
    rows = [
        (
            one.name,
            "all" if one.tasks == "all" else " ".join(short_names[task] for task in one.tasks),
            " ".join(one.kinds) or "-",
            ", ".join(dict.fromkeys(_way(file) for file in one.files)) or "-",
            one.licence.spdx or one.licence.words.partition(":")[0],
            one.licence.texts,
            one.licence.images,
        )
        for one in publishers
    ]
    note = (
        "files: where they come from; by hand: behind a form or a drive link. texts, images: whether anyone may "
        "redistribute them for any purpose (`--licences open` takes those with yes); none: the publisher has nothing "
        "of the kind. Details: mmec sources NAME"
    )
    return "\n".join([*_aligned([header, *rows]), "", fill(note, _WIDTH)])


def details(publisher: Publisher, short_names: Mapping[str, str]) -> str:
    """Return the facts about a publisher: terms, tasks, files with their URLs, citations.

    Args:
        publisher: The publisher to show.
        short_names: The short name of every task by its full name.
    """
    return "\n".join(_details(publisher, short_names))


def _details(publisher: Publisher, short_names: Mapping[str, str]) -> Iterator[str]:
    licence = publisher.licence
    tasks = short_names if publisher.tasks == "all" else publisher.tasks
    yield f"{publisher.title} ({publisher.name})"
    yield publisher.homepage
    yield ""
    yield from _aligned(
        [
            ("licence", licence.words),
            ("texts may be redistributed", licence.texts),
            ("images may be redistributed", licence.images),
            ("recipe kinds", " ".join(publisher.kinds) or "-"),
            ("tasks", " ".join(short_names[task] for task in tasks)),
        ]
    )
    if publisher.notes:
        yield ""
        for note in publisher.notes:
            yield _wrapped(note, "* ")
    if publisher.files:
        yield ""
        yield "Files below the raw folder (--data):"
    for file in publisher.files:
        yield ""
        yield f"  {_shown(file.path, file)}"
        yield _wrapped(f"{file.kind}, field {file.field}: {file.holds}", "    ")
        yield _wrapped(f"from {where(file)}", "    ")
        if file.size is not None:
            yield f"    {file.size:,} bytes" + (f", SHA-256 {file.sha256}" if file.sha256 else "")
        if file.note:
            yield _wrapped(file.note, "    ")
    if publisher.citations:
        yield ""
        yield "To cite:"
        for citation in publisher.citations:
            yield ""
            yield citation.bibtex()


def where(file: PublisherFile) -> str:
    """Return where a file comes from, in words."""
    if file.url is not None:
        return _shown(file.url, file)
    if file.hub is not None:
        return f"the Hugging Face Hub: {file.hub.repo_type} {file.hub.repo_id}, {_shown(file.hub.filename, file)}"
    return "a manual download. " + _shown((file.by_hand or "").replace("{origin}", file.path), file)


def _way(file: PublisherFile) -> str:
    if file.by_hand is not None:
        return "by hand"
    return "web" if file.url is not None else "Hub"


def publisher_record(publisher: Publisher, tasks: Iterable[str]) -> dict[str, Any]:
    """Return a publisher as JSON can hold it; citations also as BibTeX.

    Args:
        publisher: the one to show.
        tasks: full names of all tasks.
    """
    return {
        **asdict(publisher),
        "tasks": list(tasks) if publisher.tasks == "all" else publisher.tasks,
        "citations": [
            {"key": one.key, "entry": one.entry, **dict(one.fields), "bibtex": one.bibtex()}
            for one in publisher.citations
        ],
    }


def _shown(text: str, file: PublisherFile) -> str:
    parts = f"[{file.parts[0]}-{file.parts[-1]}]" if file.parts else ""
    return text.replace("{category}", "CATEGORY").replace("{part}", parts)


def _wrapped(text: str, start: str) -> str:
    return fill(
        text,
        _WIDTH,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
