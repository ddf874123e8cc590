"""Polls against nginx's `try_files`: plain ones, of boards that name themselves, and over TLS."""

from __future__ import annotations

import os
import re
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from parts import table
from parts.effort import Effort
from parts.programs import Running, need, nginx, wrk
from parts.server import otaflux
from parts.table import Goal, Row, least

CONNECTIONS = 64
TARGET = "/version?device=lamp"
CLOSE = ("Connection: close",)
UNITS = 100_000

# Both kinds make each request anew, so that wrk has as much to do for either.
SCRIPT = """
local n = 0
request = function()
  n = (n + 1) % UNITS
  return string.format("GET /version?device=lamp%s HTTP/1.1\\r\\nHost: ota\\r\\n%s\\r\\n",
                       TARGET, HEADER)
end
"""
MAC = 'string.format("24:0A:C4:%02X:%02X:%02X", n / 65536, n / 256 % 256, n % 256)'
NAMED = ("&current= and &unit=", f'"&current=1.3.0&unit=" .. {MAC}', '""')
HEADED = ("x-ESP32-STA-MAC", '""', f'"x-ESP32-STA-MAC: " .. {MAC} .. "\\r\\n"')


def rows(effort: Effort) -> Iterator[Row]:
    """Rates on one core."""
    with both(effort) as (ours, theirs):
        yield compared(effort, "polls, kept alive", (ours, theirs), goal=least(2.0))
        yield compared(
            effort, "polls, a connection each", (ours, theirs), headers=CLOSE, peers=CLOSE,
            goal=least(1.0),
        )  # fmt: skip
        yield compared(
            effort, "polls with a condition (304)", (ours, theirs), headers=condition(ours),
            peers=condition(theirs), goal=least(0.35),
        )  # fmt: skip
        yield compared(
            effort, "polls for JSON", (ours, theirs), headers=("Accept: application/json",),
            goal=least(0.35),
        )  # fmt: skip
        yield compared(
            effort, "polls of a channel, through a proxy", (ours, theirs),
            target=TARGET + "&channel=stable", headers=("Via: 1.1 proxy",), goal=least(0.35),
        )  # fmt: skip
        yield from named(effort, ours, theirs)
    with both(effort, tls=True) as (ours, theirs):
        yield compared(effort, "polls over TLS, kept alive", (ours, theirs), tls=True)
        yield compared(
            effort, "polls over TLS, a handshake each", (ours, theirs), headers=CLOSE,
            peers=CLOSE, tls=True,
        )  # fmt: skip


@contextmanager
def both(
    effort: Effort, *, tls: bool = False, size: int = 1 << 20
) -> Iterator[tuple[Running, Running]]:
    """OtaFlux and nginx at once, with the same firmware and the same text for polls."""
    need("nginx", "wrk", "taskset", "openssl")
    folder = effort.new_folder()
    root = folder / "root"
    root.mkdir()
    firmware = root / "firmware"
    firmware.write_bytes(os.urandom(size))
    (root / "version").write_text(f"1.4.0\n3421780262\n{size}")
    with (
        nginx(root, folder / "theirs") as theirs,
        otaflux(folder / "ours", firmware=firmware, tls=tls) as ours,
    ):
        yield ours, theirs


def compared(
    effort: Effort,
    what: str,
    servers: tuple[Running, Running],
    *,
    target: str = TARGET,
    headers: Sequence[str] = (),
    peers: Sequence[str] = (),
    tls: bool = False,
    goal: Goal | None = None,
) -> Row:
    """Both in turns; nginx is asked for the plain file, with the headers of `peers`."""

    def run(server: Running, target: str, headers: Sequence[str]) -> float:
        url = server.url(target, tls=tls)
        return wrk(url, seconds=effort.seconds, connections=CONNECTIONS, headers=headers)

    ours, theirs = servers
    rounds = effort.in_turns(lambda: run(ours, target, headers), lambda: run(theirs, TARGET, peers))
    return table.compared(what, "/s", rounds, "nginx", goal)


def condition(server: Running) -> tuple[str]:
    """The header of a client that has what there is."""
    with urllib.request.urlopen(server.url(TARGET)) as answer:  # noqa: S310 - our own
        return (f"If-None-Match: {answer.headers['ETag']}",)


def named(effort: Effort, ours: Running, theirs: Running) -> Iterator[Row]:
    """Polls of 100,000 boards that name themselves, against nginx and against no names."""

    def run(server: Running, script: Path) -> float:
        url = server.url("")
        return wrk(url, seconds=effort.seconds, connections=CONNECTIONS, script=script)

    for names, target, header in (NAMED, HEADED):
        named = script(effort.folder / "named.lua", target, header)
        plain = script(
            effort.folder / "plain.lua", *(f"string.sub({x}, 1, 0)" for x in (target, header))
        )
        what = f"polls of {UNITS:,} units, {names}"
        for server, file, peer, goal in (
            (theirs, named, "nginx", None),
            (ours, plain, "without a name", least(0.9)),
        ):
            rounds = effort.in_turns(partial(run, ours, named), partial(run, server, file))
            yield table.compared(what, "/s", rounds, peer, goal)


def script(path: Path, target: str, header: str) -> Path:
    """Requests with what these two expressions of Lua give."""
    parts = {"UNITS": str(UNITS), "TARGET": target, "HEADER": header}
    path.write_text(re.sub("UNITS|TARGET|HEADER", lambda found: parts[found[0]], SCRIPT))
    return path
