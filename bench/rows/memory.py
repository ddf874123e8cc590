"""Memory: idle, under load, and with 10,000 connections that polled and are kept, plain and TLS."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

from parts.effort import Effort
from parts.programs import Running, trusting, wrk
from parts.table import Row, below

from rows.polls import TARGET as VERSION
from rows.polls import both

COUNT = 10_000
EACH_TLS = 64 / 1024  # MiB for each connection
SETTLE = 2.0  # seconds
POLL = b"GET /version?device=lamp HTTP/1.1\r\nHost: ota\r\nUser-Agent: bench\r\n\r\n"


def rows(effort: Effort) -> Iterator[Row]:
    """MiB of both, nginx's one process beside ours."""
    count = many(effort.few(COUNT, 2000))
    with both(effort) as servers:
        yield Row("memory, idle", "MiB", *idle(servers), "nginx")
        yield Row(
            "memory under load, polls and downloads", "MiB", *loaded(effort, servers), "nginx"
        )
    with both(effort) as servers:
        found = [held(server, count) for server in servers]
        yield Row(
            f"{count:,} connections that polled: over idle", "MiB", *found, "nginx", below(40)
        )
    with both(effort, tls=True) as servers:
        found = [held(server, count, tls=True) for server in servers]
        goal = below(round(EACH_TLS * count))
        yield Row(f"{count:,} of them with TLS: over idle", "MiB", *found, "nginx", goal)


def many(count: int) -> int:
    """So many open files are allowed from now on."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 300:
        raise RuntimeError(f"the hard limit on open files is {hard}; this needs {count + 300}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return count


def idle(servers: tuple[Running, Running]) -> list[list[float]]:
    """After one poll each."""
    for server in servers:
        connect(server).close()
    time.sleep(SETTLE)
    return [[server.memory] for server in servers]


def loaded(effort: Effort, servers: tuple[Running, Running]) -> list[list[float]]:
    """After polls and downloads as fast as they go; the memory that a process then has."""
    for server, firmware in zip(servers, ("/firmware?device=lamp", "/firmware"), strict=True):
        for target in (VERSION, VERSION + "&unit=board-1", firmware):
            wrk(server.url(target), seconds=effort.seconds, connections=256)
    return [[server.memory] for server in servers]


def held(server: Running, count: int, *, tls: bool = False) -> list[float]:
    """MiB over idle while so many connections are there."""
    connect(server, tls=tls).close()
    time.sleep(SETTLE)
    before = server.memory
    with ExitStack() as there:
        for _ in range(count):
            there.enter_context(connect(server, tls=tls))
        time.sleep(SETTLE)
        return [server.memory - before]


CONTEXT = trusting()


def connect(server: Running, *, tls: bool = False) -> socket.socket:
    """A connection that has polled."""
    port = server.tls_port if tls else server.port
    sock = socket.create_connection(("127.0.0.1", port), 30)
    if tls:
        sock = CONTEXT.wrap_socket(sock)
    sock.sendall(POLL)
    if not sock.recv(1000).startswith(b"HTTP/1.1 200"):
        raise RuntimeError("a poll was refused")
    return sock
