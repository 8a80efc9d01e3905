"""The audit: do the splits of a finished dataset folder share anything? It reads the files and trusts no id of them.

    files → samples, keys, texts, image hashes → pairs that are alike → findings → report

A worker reads one file at a time and keeps keys; images are decoded once each and only small hashes are kept. What
meets what is SQL over those keys.
"""

from mmecinstruct.auditing.report import AuditReport, Check, Example, Finding
from mmecinstruct.auditing.run import audit_folder
from mmecinstruct.auditing.settings import settings_of_folder
from mmecinstruct.auditing.table import report_markdown

__all__ = [
    "AuditReport",
    "Check",
    "Example",
    "Finding",
    "audit_folder",
    "report_markdown",
    "settings_of_folder",
]
