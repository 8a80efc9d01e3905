"""Escape foreign text for Markdown."""

from __future__ import annotations

import re

_MARKDOWN = re.compile(r"([\\`*_\[\]{}()#+!|~$-])")


def markdown_text(value: object, limit: int = 300) -> str:
    """Return text as one line of plain Markdown: no mark-up, link, HTML or table border survives."""
    text = " ".join(str(value).split())
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", text)
