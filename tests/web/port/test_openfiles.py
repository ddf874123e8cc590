"""The limit on open files decides how many downloads there can be."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from otaflux.web.port.openfiles import RESERVED, share

SCRIPT = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
from otaflux.web.port.openfiles import make_room
print(make_room({wanted}))
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def run(soft: int, hard: int, wanted: int) -> list[str]:
    """What a process with those limits makes of them, and what it logs."""
    script = SCRIPT.format(soft=soft, hard=hard, wanted=wanted)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_the_soft_limit_is_raised_and_nothing_is_said() -> None:
    """Where the hard limit allows all that is wanted, that is what there is."""
    assert run(256, 10_000, 2000) == ["Capacity(downloads=2000, connections=7744)", "10000"]


def test_too_many_downloads_are_clamped_with_a_warning() -> None:
    """Where it does not, the log says how many there are instead, and which limit to raise."""
    warning, room, soft = run(256, 1024, 2000)
    assert room == "Capacity(downloads=256, connections=512)"
    assert soft == "1024"
    assert "downloads_clamped" in warning
    assert "MAX_DOWNLOADS" in warning


@given(limit=st.integers(0, 1 << 20), wanted=st.integers(1, 100_000))
def test_all_that_is_allowed_fits(limit: int, wanted: int) -> None:
    """Each download can have its second file, beside all connections, and polls keep a third."""
    room = share(limit, wanted)
    assert 1 <= room.downloads <= wanted
    assert room.connections >= room.downloads
    assert room.connections + room.downloads <= max(3, limit - RESERVED)
