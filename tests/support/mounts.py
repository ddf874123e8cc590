"""File systems of a test's own, in memory: small ones, and some that nobody can write to.

    @pytest.mark.mounts
    def test_it(tmp_path):
        with mounted(tmp_path / "data", "size=20m") as data:
            ...

The marker skips the test by name where this process has not the right to mount (see `conftest.py`).
Where it has the right and is refused all the same, as in some containers, the test is skipped with
what `mount` said; with `CI=true` it fails.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own at `folder`, mounted with these options of tmpfs."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = f"mount is refused: {done.stderr.strip()}"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}, and CI=true does without nothing", pytrace=False)
        pytest.skip(reason)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
