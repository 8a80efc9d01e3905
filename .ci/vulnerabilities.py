"""Check the installed packages for known vulnerabilities with pip-audit.

Without pip-audit, or where no advisory service answers, the check is skipped with its reason: it needs data from
outside, which not every machine has. Exit status 1: a package has a known vulnerability.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

# One answer of the service that pip-audit asks.
SERVICE = "https://pypi.org/pypi/pip/json"
ASK = "import json, sys, urllib.request; json.load(urllib.request.urlopen(sys.argv[1]))['vulnerabilities']"
ANSWER_SECONDS = 8
AUDIT_SECONDS = 300


def main() -> int:
    """Run the check; return the exit status."""
    if find_spec("pip_audit") is None:
        return _skipped("pip-audit is not installed (pip install pip-audit)")
    try:
        # In a process of its own: looking up a name knows no time limit.
        asked = subprocess.run(
            [sys.executable, "-c", ASK, SERVICE], capture_output=True, timeout=ANSWER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return _skipped(f"no answer from {SERVICE} within {ANSWER_SECONDS} s")
    if asked.returncode:
        return _skipped(f"{SERVICE} gives no advisories")
    command = [sys.executable, "-m", "pip_audit", "--local", "--skip-editable", "--format", "json"]
    try:
        done = subprocess.run(
            [*command, "--progress-spinner", "off", "--timeout", "10"],
            capture_output=True,
            text=True,
            timeout=AUDIT_SECONDS,
            check=False,
        )
        packages = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return _skipped(f"the advisory service took more than {AUDIT_SECONDS} s")
    except (ValueError, KeyError):
        return _skipped(f"pip-audit failed: {done.stderr.strip().splitlines()[-1:]}")
    known = [package for package in packages if "skip_reason" not in package]
    if not known:
        return _skipped("the advisory service knows none of the installed packages")
    found = [(package, one) for package in known for one in package["vulns"]]
    for package, one in found:
        fixed = ", ".join(one["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']}: {one['id']}, fixed in {fixed}")
    print(f"vulnerabilities: {len(found)} in {len(known)} of {len(packages)} packages")
    return 1 if found else 0


def _skipped(reason: str) -> int:
    print(f"vulnerabilities: skipped, {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
