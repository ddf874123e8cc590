"""Who may download at once: places, and what is under way.

All on one event loop. A place is held from before the head until the kernel took the last byte; how
the bytes go and who is too slow is `sending.py`'s.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from weakref import WeakSet

from aiohttp import web

from otaflux.errors import Busy
from otaflux.log import Event, log
from otaflux.state.store import Opened
from otaflux.web.answers import BUSY_RETRY_AFTER, Answer, Span
from otaflux.web.devices.sending import Sending
from otaflux.web.written import Written, rendered

PATIENCE = 4.0  # seconds that a download waits for a place; ESPHome gives up after 4.5


class Downloads:
    """Sends firmware, to `places` clients at once.

    `finished` and `broken_off` count what ended; a client that hangs up is no error.
    """

    def __init__(
        self,
        places: int,
        *,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._places = places
        self._patience = patience
        self._clock = clock
        self._busy = 0
        self._line: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._under_way: dict[asyncio.BaseTransport, Sending] = {}
        self._quick: WeakSet[asyncio.BaseTransport] = WeakSet()
        self.finished = 0
        self.broken_off = 0

    @property
    def full(self) -> bool:
        """Whether all places are taken."""
        return self._busy >= self._places

    @property
    def under_way(self) -> int:
        """How many are being sent."""
        return len(self._under_way)

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._line)

    def uses(self, transport: asyncio.BaseTransport) -> bool:
        """Whether a download is under way there, and is judged here."""
        return transport in self._under_way

    async def take_place(self) -> None:
        """Have a place, in the order of coming, until `leave_place`.

        Raises `Busy` where none is free within `patience` seconds.
        """
        if self._busy < self._places:
            self._busy += 1
        else:
            await self._turn()

    def leave_place(self) -> None:
        """Give a place to who waits longest, or free it."""
        while self._line:
            turn, _ = self._line.popitem(last=False)
            if not turn.done():
                turn.set_result(None)
                return
        self._busy -= 1

    async def send(
        self, request: web.BaseRequest, answer: Answer, opened: Opened, span: Span
    ) -> Written:
        """Send an answer's head and the bytes of `span`, once there is a place.

        Answers what the handler returns. Raises `Busy` where no place gets free soon enough. A
        client that hangs up or is dropped, or a file that cannot be read, ends the connection, is
        counted, and raises nothing.
        """
        await self.take_place()
        whole = False
        transport = request.transport
        try:
            if transport is not None:
                sending = Sending(transport, self._clock, quick=transport in self._quick)
                self._under_way[transport] = sending
                await sending.head(request, rendered(answer, request))
                await sending.body(request, opened.fd, span)
                whole = True
                if sending.quick:
                    self._quick.add(transport)
                else:
                    self._quick.discard(transport)
        except ConnectionError:
            pass
        finally:
            if transport is not None:
                self._under_way.pop(transport, None)
            self.finished += whole
            self.broken_off += not whole
            self.leave_place()
        return Written(answer, sent=True, close=not whole)

    def look(self) -> None:
        """Drop those who are too slow; to be called every few seconds."""
        now = self._clock()
        for sending in list(self._under_way.values()):
            reason = sending.judge(now)
            if reason:
                log.info(Event.DOWNLOAD_DROPPED, reason=reason, client=sending.client)
                sending.drop()

    def drop_all(self) -> None:
        """End all that are under way, for the server ends."""
        for sending in list(self._under_way.values()):
            sending.drop()

    async def _turn(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._line[turn] = None
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except TimeoutError:
            # It may have come in the very step in which patience ended.
            if turn.cancelled():
                raise Busy("All download places are taken", retry_after=BUSY_RETRY_AFTER) from None
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.leave_place()
            raise
        finally:
            self._line.pop(turn, None)
