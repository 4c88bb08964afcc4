"""Run once more, alone, what failed in a whole run: .venv/bin/python .ci/again.py

Thousands of tests with dozens of servers on two processors now and then starve one of them. Up to three that failed get a second
try with nothing beside them, and are named all the same: one that is named twice has a race to be found. More than three are a
defect, and get no second try.
"""

import json
import subprocess
import sys
from pathlib import Path

MOST = 3


def without_group(name: str) -> str:
    """Return a test's name without the "@group" that pytest-xdist knows it by."""
    head, _, group = name.rpartition("@")
    return head if head and "]" not in group else name


def main() -> int:
    """Run them; returns pytest's status, or 1 where there is nothing to be tried."""
    failed = json.loads(Path(".pytest_cache/v/cache/lastfailed").read_text())
    names = sorted({without_group(name) for name in failed})
    if not 0 < len(names) <= MOST or any("::" not in name for name in names):
        return 1
    told = "\n".join(f"    {name}" for name in names)
    print(f"\nUNSTEADY: failed among all, tried again alone.\n{told}\n", flush=True)
    return subprocess.run([sys.executable, "-m", "pytest", "-n0", *names], check=False).returncode  # noqa: S603 - our tests' names


if __name__ == "__main__":
    sys.exit(main())
