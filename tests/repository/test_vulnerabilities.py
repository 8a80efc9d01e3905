"""The check for known vulnerabilities is skipped, at once and with its reason, where nothing can be asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / ".ci" / "vulnerabilities.py"


def test_without_a_network_the_check_is_skipped() -> None:
    nowhere = dict.fromkeys(("https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        capture_output=True,
        text=True,
        env={**os.environ, **nowhere},
        timeout=20,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.startswith("vulnerabilities: skipped, ")
