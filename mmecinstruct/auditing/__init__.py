"""Audit a finished dataset folder: find content that its splits share, and tricks that answer it.

    files → samples, keys, texts, image hashes → near pairs → findings → report
          → sampled rows → guessers → shortcuts ↗

The audit compares contents and does not rely on ids alone. A worker reads one file at a time and writes its keys. Each
image is decoded once, and only small hashes are kept. SQL over the keys finds the overlaps.
"""

from mmecinstruct.auditing.report import AuditReport, Check, Example, Finding
from mmecinstruct.auditing.run import audit_folder
from mmecinstruct.auditing.settings import settings_of_folder
from mmecinstruct.auditing.shortcuts import Guess, guess_line
from mmecinstruct.auditing.table import report_markdown

__all__ = [
    "AuditReport",
    "Check",
    "Example",
    "Finding",
    "Guess",
    "audit_folder",
    "guess_line",
    "report_markdown",
    "settings_of_folder",
]
