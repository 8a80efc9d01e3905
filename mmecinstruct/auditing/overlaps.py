"""Find what a later split shares with an earlier one, by SQL over samples and keys.

A sample of the later split is affected when a row of the earlier split has one of its keys. `held` has each key once
per task and split, with one sample as the witness, so that a key of thousands of rows costs no more than one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmecinstruct.auditing.keys import GROUP_PREFIX
from mmecinstruct.auditing.report import ACROSS, BY_DESIGN, KINDS, WITHIN, Example, Finding
from mmecinstruct.recipe.audit import AuditSettings
from mmecinstruct.schemas.samples import SPLITS, TEST_OOD, TRAIN
from mmecinstruct.tasks import TASKS

if TYPE_CHECKING:
    import duckdb

# Kind of overlap -> (kind of key in `uses`, kind of link or None where both sides have the same key).
_JOINS: dict[str, tuple[str, str | None]] = {
    "product": ("product", None),
    "cluster": ("cluster", None),
    "variant": ("variant", "variant"),
    "user": ("user", None),
    "query": ("query", None),
    "query_id": ("query_id", None),
    "image_url": ("image_url", None),
    "image_bytes": ("image", None),
    "image_pixels": ("image", "image_pixels"),
    "image_near": ("pixels", "image_near"),
    "title_identical": ("title", None),
    "title_near": ("title", "title_near"),
    "text_identical": ("text", None),
    "text_near": ("text", "text_near"),
    "category": ("category", None),
}
_RANK = "list_position([" + ", ".join(f"'{split}'" for split in SPLITS) + "], {})"


def _by_design() -> str:
    """Return the condition that two samples may share a key: tasks that split by user all but users, others users.

    Tasks of other programs are taken for tasks that split by product.
    """
    by_user = ", ".join(f"'{name}'" for name, task in TASKS.items() if task.splits_by_user)
    return f"""CASE WHEN kind = 'user' THEN task NOT IN ({by_user}) OR other_task NOT IN ({by_user})
        WHEN kind IN ('query', 'query_id', 'category') THEN false
        ELSE task IN ({by_user}) OR other_task IN ({by_user}) END"""


def find_overlaps(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the table `shared`: (kind, sample, other task and split), with a witness and the shared keys.

    Args:
        connection: A connection with the tables samples (sample, id, file, task, split), uses (kind, key, sample,
            place) and links (kind, left, right, detail).
    """
    connection.execute(
        """
        CREATE TABLE held AS
        SELECT kind, key, task, split, min(sample) AS witness
        FROM uses JOIN samples USING (sample) GROUP BY ALL
        """
    )
    connection.execute(
        "CREATE TABLE shared (kind VARCHAR, sample BIGINT, task VARCHAR, split VARCHAR, other_task VARCHAR, "
        "other_split VARCHAR, witness BIGINT, key VARCHAR, other_key VARCHAR, detail VARCHAR)"
    )
    for kind, (key_kind, link) in _JOINS.items():
        join = "JOIN held h ON h.kind = u.kind AND h.key = u.key"
        detail = "''"
        if link is not None:
            join = (
                f"JOIN links l ON l.kind = '{link}' AND l.\"right\" = u.key "
                'JOIN held h ON h.kind = u.kind AND h.key = l."left"'
            )
            detail = "l.detail"
        # An out-of-domain category may occur in validation and test, and in other tasks.
        rule = (
            f"AND h.task = s.task AND h.split = '{TRAIN}' AND s.split = '{TEST_OOD}'"
            if kind == "category"
            else ""
        )
        first = f"struct_pack(witness := h.witness, key := u.key, other_key := h.key, detail := {detail})"
        connection.execute(
            f"""
            INSERT INTO shared
            SELECT '{kind}', sample, task, split, other_task, other_split,
                   first.witness, first.key, first.other_key, first.detail
            FROM (
                SELECT u.sample AS sample, s.task AS task, s.split AS split, h.task AS other_task,
                       h.split AS other_split, min({first}) AS first
                FROM uses u JOIN samples s ON s.sample = u.sample {join}
                WHERE u.kind = '{key_kind}' AND {_RANK.format("h.split")} < {_RANK.format("s.split")} {rule}
                GROUP BY ALL
            )
            """
        )
    connection.execute(
        f"""
        CREATE VIEW scoped AS SELECT *, CASE WHEN {_by_design()} THEN '{BY_DESIGN}'
            WHEN task = other_task THEN '{WITHIN}' ELSE '{ACROSS}' END AS scope
        FROM shared
        """
    )


def total_overlaps(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str, str, str], int]:
    """Return the number of affected samples of the later split, over all tasks, each counted once.

    Args:
        connection: A connection with the tables of `find_overlaps`.

    Returns:
        Samples by (kind, scope, earlier split, later split).
    """
    found = connection.execute(
        "SELECT kind, scope, other_split, split, count(DISTINCT sample) FROM scoped GROUP BY ALL"
    ).fetchall()
    return {tuple(row[:4]): row[4] for row in sorted(found, key=_order)}


def collect_findings(
    connection: duckdb.DuckDBPyConnection, rows: Mapping[str, Mapping[str, int]], settings: AuditSettings
) -> tuple[Finding, ...]:
    """Return the findings of the table `shared`, per kind, pair of splits, task and scope, with examples.

    Args:
        connection: A connection with the tables of `find_overlaps`.
        rows: Samples by task and split.
        settings: Tolerances, and the number of examples.
    """
    found = connection.execute(
        "SELECT kind, scope, other_split, split, task, count(DISTINCT sample) FROM scoped GROUP BY ALL"
    ).fetchall()
    findings = []
    for kind, scope, earlier, later, task, samples in sorted(found, key=_order):
        tolerances = settings.by_design if scope == BY_DESIGN else settings.tolerances
        findings.append(
            Finding(
                kind,
                earlier,
                later,
                task,
                scope,
                samples,
                rows[task][later],
                getattr(tolerances, kind),
                _examples(connection, (kind, scope, earlier, later, task), settings.examples),
            )
        )
    return tuple(findings)


def _order(row: tuple[Any, ...]) -> tuple[Any, ...]:
    kind, scope, earlier, later = row[:4]
    scopes = (WITHIN, ACROSS, BY_DESIGN)
    return (
        list(KINDS).index(kind),
        scopes.index(scope),
        SPLITS.index(earlier),
        SPLITS.index(later),
        *row[4:],
    )


def _examples(
    connection: duckdb.DuckDBPyConnection, group: tuple[str, ...], limit: int
) -> tuple[Example, ...]:
    if not limit:
        return ()
    found = connection.execute(
        """
        WITH chosen AS (
            SELECT * FROM scoped
            WHERE kind = ? AND scope = ? AND other_split = ? AND split = ? AND task = ?
            QUALIFY row_number() OVER (PARTITION BY sample ORDER BY other_task) = 1
            ORDER BY sample LIMIT ?
        )
        SELECT c.kind, c.task, s.id, c.other_task, w.id, c.key, c.other_key, c.detail,
               coalesce(t.text, ''), coalesce(o.text, ''),
               (SELECT min(place) FROM uses u WHERE u.sample = c.sample AND u.key = c.key),
               (SELECT min(place) FROM uses u WHERE u.sample = c.witness AND u.key = c.other_key)
        FROM chosen c JOIN samples s ON s.sample = c.sample JOIN samples w ON w.sample = c.witness
        LEFT JOIN texts t ON t.key = c.key LEFT JOIN texts o ON o.key = c.other_key
        ORDER BY c.sample
        """,
        [*group, limit],
    ).fetchall()
    return tuple(
        Example(
            task,
            sample,
            here or "",
            other_task,
            other,
            there or "",
            _shared(kind, key, other_key, detail, *texts),
        )
        for kind, task, sample, other_task, other, key, other_key, detail, *texts, here, there in found
    )


def _shared(kind: str, key: str, other_key: str, detail: str, text: str, other_text: str) -> str:
    """Describe in one line what two samples share."""
    if kind in ("title_identical", "text_identical"):
        return text
    if kind == "variant":
        return f"{text} | {other_text}" if text else key.removeprefix(GROUP_PREFIX)
    if kind in ("title_near", "text_near"):
        return f"{detail}: {text} | {other_text}"
    if kind == "image_bytes":
        return f"sha256 {key[:16]}"
    if kind == "image_pixels":
        return f"sha256 {key[:16]} and {other_key[:16]}"
    if kind == "image_near":
        return detail
    return key or "(none)"
