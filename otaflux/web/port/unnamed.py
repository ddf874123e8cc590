"""A request as any board of its kind sends it: without the name of the one that sent it.

Pure. Boards that name themselves send as many different requests as there are boards, and none of
them depends on the name. So the value is cut out before a request is looked up: where it is one
that no parser could read otherwise, and stands where boards write it. All else is left as it came.
"""

from __future__ import annotations

import re

# What came may be cut in the middle of a name: then nothing ends it yet.
_NAME = re.compile(rb"[A-Za-z0-9:._-]{1,64}(?=[ &\r])")
_HEADERS = (b"\r\nx-ESP32-STA-MAC: ", b"\r\nx-ESP8266-STA-MAC: ", b"\r\nRAUC-Serial: ")


def unnamed(data: bytes) -> bytes:
    """The request without what names its board, in the query or in a header."""
    at = data.find(b"unit=", 0, data.find(b" HTTP/1.1\r\n"))
    if at > 0 and data[at - 1] in b"?&":
        data = _without(data, at + 5)
    for header in _HEADERS:
        at = data.find(header)
        if at > 0:
            data = _without(data, at + len(header))
    return data


def _without(data: bytes, at: int) -> bytes:
    """Without the name that begins there, if it is one and ends where a name has to."""
    name = _NAME.match(data, at)
    return data if name is None else data[:at] + data[name.end() :]
