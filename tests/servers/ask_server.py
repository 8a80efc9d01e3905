"""`caslie_model` with short pauses between requests: a process that a test can kill.

Usage: ask_server.py ARGUMENT …, as those of `caslie_model`.
"""

from __future__ import annotations

from caslie_model.cli.app import main
from caslie_model.inference import server_client

if __name__ == "__main__":
    server_client.BACKOFF_BASE = 0.05
    main()
