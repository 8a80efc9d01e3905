"""Escape foreign text for Markdown."""

from __future__ import annotations

import re

_MARKDOWN = re.compile(r"([\\`*_\[\]{}()#+!|~$-])")


def markdown_text(value: object, limit: int = 300) -> str:
    """Return a value as one line of plain Markdown, with mark-up, links, HTML and table borders escaped.

    Args:
        value: Untrusted text.
        limit: Characters before escaping; a longer text is cut.
    """
    text = " ".join(str(value).split())
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", text)
