"""Sockets that listen, from a host and a port."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

from otaflux.errors import BadSetting

BACKLOG = 4096  # connections that the kernel holds for us; it cuts that to `net.core.somaxconn`

_NOT_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


async def listen(host: str, port: int, *, setting: str) -> list[socket.socket]:
    """A listening socket for each address of `host`; port 0 takes a free one, the same for all.

    `::` takes IPv4 too, as people expect of `[::]:8080`. Raises `BadSetting` naming the `setting`.
    """
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return _bound([(each[0], each[4]) for each in found], both=host == "::")
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadSetting(
            f"{setting}: found {shown}, expected an address of this machine and a port that is"
            f" free ({reason})"
        ) from None


def _bound(
    found: list[tuple[socket.AddressFamily, tuple[Any, ...]]],
    *,
    both: bool,
) -> list[socket.socket]:
    listening: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, address in dict.fromkeys(found):
            port = listening[0].getsockname()[1] if listening else address[1]
            try:
                listening.append(_one(family, (address[0], port, *address[2:]), both=both))
            except OSError as error:
                # "localhost" is ::1 too, also where there is no IPv6.
                if error.errno not in _NOT_HERE:
                    raise
                missing = error
        if missing is not None and not listening:
            raise missing
    except OSError:
        for each in listening:
            each.close()
        raise
    return listening


def _one(family: socket.AddressFamily, address: tuple[Any, ...], *, both: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets have it from here: no answer waits until the one before was acknowledged.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        sock.setblocking(False)  # noqa: FBT003 - the standard library takes it so
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
