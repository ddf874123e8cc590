"""Requests that differ in nothing but the device that they name: parsed once for all of them.

A fleet in which each board is a device of its own sends more different requests than can be
remembered. What they ask is the same but for that name, so it is cut out, where it is one that no
parser could read otherwise, and what the rest asks is looked up. Pure, but for what is remembered.
"""

from __future__ import annotations

import re

import msgspec
from multidict import MultiMapping

from otaflux.model.names import Device
from otaflux.web.devices.ask import Ask
from otaflux.web.devices.offer import Unit

MOST = 64  # forms that are remembered: clients of a kind, and proxies before them

# A parameter of the query, which begins at the first `?`. Its value needs no decoding, and goes on
# to the parameter's end; whether there is a second one in other letters, the parser says.
_NAMED = re.compile(
    rb"[A-Z]+ [^? \r]*\?(?:[^ &\r]*&)*?device=([a-z0-9][a-z0-9._/-]{0,199})(?=[ &])"
)


def without_device(request: bytes) -> tuple[bytes, bytes]:
    """The request without the device's name, and the name; empty where it was not cut."""
    found = _NAMED.match(request)
    if found is None:
        return request, b""
    start, end = found.span(1)
    return request[:start] + request[end:], found[1]


class Asked(msgspec.Struct, frozen=True, gc=False):
    """What a poll asks, with what of its head counts besides.

    `ends` says whether it wants its connection closed. `name` and `says` are the unit and the
    version that were left in it, as they came.
    """

    ask: Ask
    headers: MultiMapping[str]
    ends: bool
    name: bytes = b""
    says: bytes = b""

    def anybodys(self, *, unit: bytes, runs: bytes) -> Asked:
        """The same without the name and the version that were cut out of its request."""
        name = "" if unit else self.ask.unit.name
        version = "" if runs else self.ask.unit.version
        return Asked(
            msgspec.structs.replace(self.ask, unit=Unit(name, version)),
            self.headers,
            self.ends,
            name.encode("ascii"),
            version.encode("ascii"),
        )

    def about(self, device: Device) -> Asked:
        """The same, of another device."""
        return msgspec.structs.replace(self, ask=msgspec.structs.replace(self.ask, device=device))


class Forms:
    """What polls of each form ask, the device aside; the form first seen goes first."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._asked: dict[bytes, Asked] = {}

    def find(self, request: bytes) -> Asked | None:
        """What a request asks, if one of its form was parsed before.

        Raises `BadName` where it names what cannot be a device.
        """
        form, device = without_device(request)
        asked = self._asked.get(form) if device else None
        return None if asked is None else asked.about(Device.parse(device.decode("ascii")))

    def note(self, request: bytes, asked: Asked) -> None:
        """What a request asks, as it was parsed."""
        form, device = without_device(request)
        if device != asked.ask.device.name.encode("ascii") or form in self._asked:
            return
        if len(self._asked) >= self._most:
            del self._asked[next(iter(self._asked))]
        self._asked[form] = asked

    def clear(self) -> None:
        """Forget all."""
        self._asked.clear()
