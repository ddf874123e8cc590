"""Who may download at once: places, and what is under way.

All on one event loop. A place is held from before the head until the kernel took the last byte; how
the bytes go and who is too slow is `sending.py`'s. Boards stall for minutes, so a reader may; but
where no place is free and others want one, a reader that took nothing for `GIVES_WAY` loses its
own, first of the address that holds most, or one stranger could keep a fleet from its firmware.
"""

from __future__ import annotations

import asyncio
import heapq
import socket
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterator
from weakref import WeakSet

from aiohttp import web

from otaflux.errors import Busy
from otaflux.log import Event, log
from otaflux.state.store import Opened
from otaflux.web.answers import BUSY_RETRY_AFTER, Answer, Span
from otaflux.web.devices import aiohttpsending
from otaflux.web.devices.sending import Sending
from otaflux.web.written import Written, rendered

GIVES_WAY = 30.0  # seconds without taking a byte, while others want a place
LOOK_AGAIN = 1.0  # seconds between two looks at who could give way
PATIENCE = 4.0  # seconds that a download waits for a place; ESPHome gives up after 4.5


class Downloads:
    """Sends firmware, to `places` clients at once.

    `client` tells the address that a request is from, behind trusted proxies too. `finished` and
    `broken_off` count what ended; a client that hangs up is no error.
    """

    def __init__(
        self,
        places: int,
        *,
        patience: float = PATIENCE,
        client: Callable[[web.BaseRequest], str] = lambda request: request.remote or "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._places = places
        self._patience = patience
        self._client = client
        self._clock = clock
        self._put_off = 0
        self._looked = -LOOK_AGAIN
        self._busy = 0
        self._line: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._under_way: dict[Hashable, Sending] = {}
        self._quick: WeakSet[Hashable] = WeakSet()
        self._all_over: asyncio.Future[None] | None = None
        self.finished = 0
        self.broken_off = 0

    @property
    def full(self) -> bool:
        """Whether all places are taken."""
        return self._busy >= self._places

    def puts_off(self) -> bool:
        """Whether all places are taken, and whoever asks is to come again: it wants a place."""
        self._put_off += self.full
        return self.full

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

    def take_free_place(self) -> bool:
        """Have a place at once, until `leave_place` or `end`; returns whether one was free."""
        is_free = self._busy < self._places
        self._busy += is_free
        return is_free

    async def take_place(self) -> None:
        """Have a place, in the order of coming, until `leave_place`.

        Raises `Busy` where none is free within `patience` seconds.
        """
        if not self.take_free_place():
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

        Returns what the handler does. Raises `Busy` where no place gets free soon enough. A
        client that hangs up or is dropped, or a file that cannot be read, ends the connection, is
        counted, and raises nothing.
        """
        await self.take_place()
        whole = False
        transport = request.transport
        if transport is None:
            self.leave_place()
            self.broken_off += 1
            return Written(answer, sent=True, is_cut=True)
        wire, client = transport.get_extra_info("socket"), self._client(request)
        sending = self.sending(
            transport, wire, opened.fd, span, client=client, abort=transport.abort
        )
        self.watch(transport, sending)
        try:
            await aiohttpsending.send(sending, request, transport, rendered(answer, request))
            whole = True
        except ConnectionError:
            pass
        finally:
            self.end(transport, sending, whole=whole)
        return Written(answer, sent=True, is_cut=not whole)

    def watch(self, connection: Hashable, sending: Sending) -> None:
        """A download lasts: it is judged until its `end`."""
        self._under_way[connection] = sending

    def end(self, connection: Hashable, sending: Sending, *, whole: bool) -> None:
        """It is over: its place is another's."""
        self._under_way.pop(connection, None)
        if sending.quick:
            self._quick.add(connection)
        else:
            self._quick.discard(connection)
        self.finished += whole
        self.broken_off += not whole
        self.leave_place()
        if self._all_over is not None and not self._under_way and not self._all_over.done():
            self._all_over.set_result(None)

    async def over(self) -> None:
        """Wait until none is under way."""
        while self._under_way:
            self._all_over = asyncio.get_running_loop().create_future()
            await self._all_over

    def sending(
        self,
        connection: Hashable,
        wire: socket.socket,
        fd: int,
        span: Span,
        *,
        client: str,
        abort: Callable[[], object],
    ) -> Sending:
        """A download of who has a place, until its `end`.

        `connection` is what the same client may come again by.
        """
        quick = connection in self._quick
        return Sending(wire, fd, span, clock=self._clock, client=client, abort=abort, quick=quick)

    def look(self) -> None:
        """Drop those who are too slow; to be called every few seconds."""
        now = self._clock()
        for sending in list(self._under_way.values()):
            reason = sending.judge(now)
            if reason:
                log.info(Event.DOWNLOAD_DROPPED, reason=reason, client=sending.client)
                sending.drop()

    def make_way(self) -> None:
        """Have stalled readers give way to as many as want a place; to be called each second."""
        now = self._looked = self._clock()
        wanted, self._put_off = self._put_off + self.waiting, 0
        if not self.full or not wanted:
            return
        for sending in self._stalled(now):
            reason = f"nothing was taken for {GIVES_WAY:g} s while others wanted its place"
            log.info(Event.DOWNLOAD_DROPPED, reason=reason, client=sending.client)
            sending.drop()
            wanted -= 1
            if not wanted:
                return

    def _stalled(self, now: float) -> Iterator[Sending]:
        """Who may have to give way, first those of the address that holds most places."""
        held: Counter[str] = Counter()
        stalled: defaultdict[str, list[tuple[float, int, Sending]]] = defaultdict(list)
        for number, sending in enumerate(self._under_way.values()):
            held[sending.client] += 1
            seconds = sending.stalled(now)
            if seconds >= GIVES_WAY:
                stalled[sending.client].append((seconds, number, sending))
        for each in stalled.values():
            each.sort()
        crowds = [(-held[client], client) for client in stalled]
        heapq.heapify(crowds)
        while crowds:
            size, client = crowds[0]
            yield stalled[client].pop()[2]
            if stalled[client]:
                heapq.heapreplace(crowds, (size + 1, client))
            else:
                heapq.heappop(crowds)

    def drop_all(self) -> None:
        """End all that are under way, for the server ends."""
        for sending in list(self._under_way.values()):
            sending.drop()

    async def _turn(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._line[turn] = None
        if self._clock() - self._looked >= LOOK_AGAIN:
            self.make_way()
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
