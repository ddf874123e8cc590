"""A file to push, for tests that do not care what is in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from otaflux.registry.source import File


@pytest.fixture
def firmware(tmp_path: Path) -> File:
    """A file to push."""
    path = tmp_path / "build.bin"
    path.write_bytes(b"firmware" * 100)
    return File(path, "firmware.bin", "application/octet-stream")
