"""Fetch images over HTTP: rate-limited, each once, into a store and a ledger that all recipes share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmecinstruct.core.lazy import lazy_names

if TYPE_CHECKING:
    from mmecinstruct.web.images.candidates import candidate_urls
    from mmecinstruct.web.images.ledger import SNAPSHOT, Ledger
    from mmecinstruct.web.images.run import FETCHED_FOLDER, FetchReport, GroupOutcome, fetch_groups
    from mmecinstruct.web.images.snapshot import frozen_snapshot, remove_old_snapshots
    from mmecinstruct.web.images.store import ImageStore
    from mmecinstruct.web.images.takedowns import (
        Takedown,
        Takedowns,
        add_takedown,
        forget_images,
        load_takedowns,
        remove_takedown,
    )
    from mmecinstruct.web.outcome import FETCHED, PERMANENT, TRANSIENT, Outcome

__all__ = [
    "FETCHED",
    "FETCHED_FOLDER",
    "PERMANENT",
    "SNAPSHOT",
    "TRANSIENT",
    "FetchReport",
    "GroupOutcome",
    "ImageStore",
    "Ledger",
    "Outcome",
    "Takedown",
    "Takedowns",
    "add_takedown",
    "candidate_urls",
    "fetch_groups",
    "forget_images",
    "frozen_snapshot",
    "load_takedowns",
    "remove_old_snapshots",
    "remove_takedown",
]

# The settings of this room are read without its HTTP libraries.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "candidate_urls": "mmecinstruct.web.images.candidates",
            "SNAPSHOT": "mmecinstruct.web.images.ledger",
            "Ledger": "mmecinstruct.web.images.ledger",
            "FETCHED_FOLDER": "mmecinstruct.web.images.run",
            "FetchReport": "mmecinstruct.web.images.run",
            "GroupOutcome": "mmecinstruct.web.images.run",
            "fetch_groups": "mmecinstruct.web.images.run",
            "frozen_snapshot": "mmecinstruct.web.images.snapshot",
            "remove_old_snapshots": "mmecinstruct.web.images.snapshot",
            "ImageStore": "mmecinstruct.web.images.store",
            "Takedown": "mmecinstruct.web.images.takedowns",
            "Takedowns": "mmecinstruct.web.images.takedowns",
            "add_takedown": "mmecinstruct.web.images.takedowns",
            "forget_images": "mmecinstruct.web.images.takedowns",
            "load_takedowns": "mmecinstruct.web.images.takedowns",
            "remove_takedown": "mmecinstruct.web.images.takedowns",
            "FETCHED": "mmecinstruct.web.outcome",
            "PERMANENT": "mmecinstruct.web.outcome",
            "TRANSIENT": "mmecinstruct.web.outcome",
            "Outcome": "mmecinstruct.web.outcome",
        },
    )
