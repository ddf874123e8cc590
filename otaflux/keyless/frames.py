"""Messages between the server and its child: JSON objects, each with its length before it.

Both sides bound what they read, and wait no longer than a deadline.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any

# Bytes of one message: a trusted root of 1 MiB and the largest bundle, in base64.
MAX_FRAME = 2 * 1024 * 1024

_LENGTH = struct.Struct(">I")


class Broken(Exception):
    """The other side ended, or said something that is no message; never leaves this room."""


def send(channel: socket.socket, message: dict[str, Any], *, until: float) -> None:
    """Send a message; `until` is of the monotonic clock. Raises `TimeoutError` and `OSError`."""
    body = json.dumps(message).encode()
    channel.settimeout(max(0.001, until - time.monotonic()))
    channel.sendall(_LENGTH.pack(len(body)) + body)


def receive(channel: socket.socket, *, until: float) -> dict[str, Any]:
    """The next message. Raises `TimeoutError`, `OSError`, and `Broken` where there is none."""
    (length,) = _LENGTH.unpack(_exactly(channel, _LENGTH.size, until))
    if length > MAX_FRAME:
        raise Broken(f"a message of {length} bytes")
    try:
        message = json.loads(_exactly(channel, length, until))
    except (ValueError, RecursionError):
        raise Broken("a message that is no JSON") from None
    if not isinstance(message, dict):
        raise Broken("a message that is no object")
    return message


def _exactly(channel: socket.socket, size: int, until: float) -> bytes:
    body = bytearray()
    while len(body) < size:
        channel.settimeout(max(0.001, until - time.monotonic()))
        piece = channel.recv(min(size - len(body), 65536))
        if not piece:
            raise Broken("it ended")
        body += piece
    return bytes(body)
