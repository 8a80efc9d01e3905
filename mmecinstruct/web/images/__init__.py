"""Fetch images over HTTP: rate-limited, each once, into a store and a ledger that all recipes share."""

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
]
