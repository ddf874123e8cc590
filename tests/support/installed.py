"""Real programs that tests talk to: whether this machine has them."""

from __future__ import annotations

import os
import shutil

SBIN = ("/usr/sbin", "/sbin", "/usr/local/sbin")  # where Debian puts servers; often not in PATH


def find_program(name: str) -> str | None:
    """Where a program is; None where it is not installed."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *SBIN]))
