"""How many connections and downloads the limit on open files allows.

A connection is one file, a download that waits for room in the kernel another, and the rest of the
program needs some. Where the limit is too low, connections are turned away with a small answer
before it is reached, for past it the kernel would drop them without one.
"""

from __future__ import annotations

import resource

import msgspec

from otaflux.log import Event, log

RESERVED = 256  # files: firmware, catalog, the registry, the broker, the operators' port, epolls
NR_OPEN = 1 << 20  # what Linux allows where no limit is set (`fs.nr_open`)


class Capacity(msgspec.Struct, frozen=True):
    """What there is room for at once. `connections` includes those of the downloads."""

    downloads: int
    connections: int


def make_room(wanted: int) -> Capacity:
    """Raise the soft limit on open files; room for `wanted` downloads, or, with a warning, fewer.

    At least a third of the files is left to connections that only poll.
    """
    limit = _raise_limit()
    room = share(limit, wanted)
    if room.downloads < wanted:
        log.warning(
            Event.DOWNLOADS_CLAMPED,
            setting="MAX_DOWNLOADS",
            wanted=wanted,
            allowed=room.downloads,
            open_files=limit,
            hint="Raise the hard limit on open files (LimitNOFILE=, ulimit -Hn, --ulimit nofile)",
        )
    return room


def share(limit: int, wanted: int) -> Capacity:
    """How `limit` open files are shared where `wanted` downloads are asked for."""
    usable = max(3, limit - RESERVED)
    downloads = max(1, min(wanted, usable // 3))
    return Capacity(downloads, usable - downloads)


def _raise_limit() -> int:
    """Make the soft limit the hard one; returns what holds then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = NR_OPEN if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY:
        return NR_OPEN
    if soft < highest:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
        except (OSError, ValueError):  # macOS has a lower one besides
            return soft
    return max(soft, highest)
