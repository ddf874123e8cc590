"""What a whole request is answered with, by bytes that are ready. Pure.

There may be tens of thousands, which come and go. So the cyclic collector leaves them alone, for
each of its looks at all of them would keep polls waiting; no cycle goes through them.
"""

from __future__ import annotations

import msgspec

from otaflux.model.names import Device
from otaflux.model.release import Release
from otaflux.web.answers import Span
from otaflux.web.devices.ask import Ask


class CachedAnswer(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A request seen before, and its answer, cut where the date goes.

    `closes` says whether the connection ends after it, `gives_way` whether it is 503 while no
    download place is free, `told` what the connection knows then, as was asked by `ask`, and
    `tells` the version that it is. It may be put off for `wait` seconds, until something else
    is told to requests of that `key`. `ask` is None for `/health`, which is no device's; its
    unit is what was not cut out of the request, and `name` and `says` are that as it came.
    """

    ask: Ask | None
    status: int
    before: bytes
    after: bytes
    closes: bool
    gives_way: bool = False
    told: Release | None = None
    tells: str = ""
    wait: int = 0
    key: bytes = b""
    name: bytes = b""
    says: bytes = b""

    @property
    def device(self) -> Device | None:
        """Whose answer it is."""
        return self.ask.device if self.ask else None

    @property
    def size(self) -> int:
        """Bytes of the answer."""
        return len(self.before) + len(self.after)


class CachedDownload(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A request for firmware seen before: what it is answered with, the head cut where a date goes.

    `closes` says whether the connection ends after it, `name` is its address in metrics.
    """

    ask: Ask
    name: str
    release: Release
    span: Span
    before: bytes
    after: bytes
    closes: bool

    @property
    def device(self) -> Device:
        """Whose firmware it is."""
        return self.ask.device

    @property
    def size(self) -> int:
        """Bytes that are remembered."""
        return len(self.before) + len(self.after)
