"""Whole requests that were seen before, and the bytes that answer them.

Trust: nothing is parsed here. A read is looked up, byte for byte but for the name of the board that
sent it (see `unnamed.py`), among whole requests. A new one
is parsed once by aiohttp's parser, and read and answered by `polls.py`, as the handlers do it; what
is remembered is a single, whole `GET /version` without a body, for a device that has a record, and
`GET /health`. What was parsed and is not answered here is handed on as it was parsed. When a record
changes, what was remembered for its device is forgotten in the same step, so an answer that is
found is the one that the handlers would give.

Connections of trusted proxies have a cache of their own (`behind`), for links in answers go by what
such a proxy says of its client, and what one request was told says nothing of the next.

On the event loop. Memory is bounded; the oldest requests go first.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
from aiohttp.http import RawRequestMessage

from otaflux.errors import Busy, Refused
from otaflux.model.names import Device
from otaflux.model.record import Record
from otaflux.web import answers
from otaflux.web.answers import http_date
from otaflux.web.devices.admission import EVERYBODY, Admission
from otaflux.web.devices.ask import ONLY_STABLE, Channels
from otaflux.web.devices.continuity import LastTold
from otaflux.web.devices.downloads import Downloads
from otaflux.web.devices.polls import HEALTH, judged
from otaflux.web.observer import Observer
from otaflux.web.origin import Origins
from otaflux.web.port.cachedanswer import CachedAnswer, CachedDownload
from otaflux.web.port.forms import Forms
from otaflux.web.port.hearing import HeardUnit, Hearing, nobody
from otaflux.web.port.parked import Parked
from otaflux.web.port.parsing import whole_request
from otaflux.web.port.plaindownloads import PlainDownloads
from otaflux.web.port.pollcounts import PollCounts
from otaflux.web.port.pollreader import PollReader
from otaflux.web.port.remembered import Remembered
from otaflux.web.port.unnamed import RequestKind, unnamed

MAX_READ = 1024  # bytes; polls are smaller
MAX_REMEMBERED = 16 << 20  # bytes of requests and answers
KINDS = 4  # of named requests that are told apart at once

# What a read is: known, parsed and for others, or neither.
Found = CachedAnswer | CachedDownload | RawRequestMessage | None


class RequestCache:
    """What the fast paths of a port share.

    `ready_record` gives a device's record where it needs no look, `secure` says that the port has
    TLS. `heard` hears of units that name themselves; `follows_down` says that what a unit runs
    changes no answer; `admission` says who may ask. `most` bytes of requests and answers are kept.
    `behind` is the cache of trusted proxies' connections, which itself is `shared`. Without
    `plain` no firmware is sent here.
    """

    def __init__(
        self,
        *,
        ready_record: Callable[[Device], Record | None],
        downloads: Downloads,
        last_told: LastTold,
        origins: Origins,
        observer: Observer,
        channels: Channels = ONLY_STABLE,
        secure: bool = False,
        heard: HeardUnit = nobody,
        follows_down: bool = True,
        admission: Admission = EVERYBODY,
        behind: RequestCache | None = None,
        shared: bool = False,
        plain: PlainDownloads | None = None,
        most: int = MAX_REMEMBERED,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._behind = behind
        self._ready_record = ready_record
        self._downloads = downloads
        self._last_told = last_told
        self._origins = origins
        self.plain: PlainDownloads | None = None if secure or shared else plain
        self._hearing = Hearing(heard)
        self._observer = observer
        self.counts: PollCounts = PollCounts(observer) if behind is None else behind.counts
        self._follows_down = follows_down
        self._admission = admission
        self._counting = admission.counting()
        self.parked: Parked = Parked(clock) if behind is None else behind.parked
        self._kinds: tuple[RequestKind, ...] = ()
        self._forms = Forms()
        self._polls = PollReader(
            ready_record,
            origins=origins,
            channels=channels,
            admission=admission,
            secure=secure,
            shared=shared,
            now=now,
        )
        self._now = now
        self._known: Remembered[CachedAnswer | CachedDownload] = Remembered(most)
        self._answered = self.counts.answered
        self._put_off = self.counts.put_off
        self._busy = answers.busy().ready(keep_alive=False)
        self.clock = clock

    def lookup(self, data: bytes) -> Found:
        """What a read is: a poll or a download that can be answered at once, or another request.

        None where it is neither, or was not looked at.
        """
        return self._known.get(data) or self._judge(data)

    def _judge(self, data: bytes) -> Found:
        """Whose name is in it matters to no answer; look for it without, or read it."""
        if len(data) > MAX_READ:
            return None
        for kind in self._kinds:
            unit = kind.name_in(data)
            known = self._known.get(kind.key) if unit else None
            if isinstance(known, CachedAnswer) and known.ask is not None:
                self._hear(known, unit, kind.runs)
                return known
        return self._of_unit(data)

    def _of_unit(self, data: bytes) -> Found:
        """The same, of a kind that did not come lately."""
        key, unit, runs = unnamed(data, with_current=self._follows_down)
        before = self._known.get(key)
        known = before or self._of_form(key) or self._read(data, key, unit=unit, runs=runs)
        if (unit or runs) and isinstance(known, CachedAnswer) and known.ask is not None:
            self._hear(known, unit, runs)
            # One that came before: where each board is a device, there are too many to try each.
            kind = RequestKind.of(data, key, unit, runs) if before is not None else None
            if kind is not None:
                self._kinds = (kind, *self._kinds[: KINDS - 1])
        return known

    def _hear(self, known: CachedAnswer, unit: bytes, runs: bytes) -> None:
        """A unit polled, of whose request that was cut out; its name may have been left there."""
        if known.ask is not None:
            device, name = known.ask.device, unit or known.name
            if runs:
                self.counts.said(device, runs)
            if name:
                self._hearing.note(device, known.tells, name, runs or known.says)

    def answer(self, known: CachedAnswer) -> tuple[bytes, CachedAnswer | None]:
        """The bytes for it now, and what the connection knows after it.

        With nothing to know it is a refusal, after which the connection closes.
        """
        date = http_date(int(self._now()))
        if known.gives_way and self._downloads.full and self._downloads.puts_off():
            self._put_off(known)
            return self._busy.at(date), None
        if known.ask is None:
            self._observer.request(HEALTH, "GET", known.status, 0.0)
        else:
            self._answered(known)
            if known.name:  # one that was not cut out
                self._hear(known, known.name, b"")
        return b"".join((known.before, date, known.after)), known

    @property
    def behind(self) -> RequestCache:
        """The cache of trusted proxies' connections."""
        return self._behind or self

    def of_peer(self, peer: object) -> RequestCache:
        """The cache for connections of a peer, which may be a trusted proxy."""
        if self._behind is None or not isinstance(peer, tuple):
            return self
        return self._behind if self._origins.trusts(str(peer[0])) else self

    def tell(self, connection: object, known: CachedAnswer, at: float) -> None:
        """Let the handlers know what a connection that they take over was told last, and when."""
        if known.told is not None and known.ask is not None:
            self._last_told.tell(
                connection,
                known.told,
                channel=known.ask.channel,
                pinned=known.ask.version is not None,
                at=at,
            )

    def hear(self, device: Device, record: Record | None) -> None:
        """A record changed: what its device was answered holds no more."""
        self.forget(device)
        self.parked.hear(device)

    def forget(self, device: Device) -> None:
        """Forget what its device was answered."""
        self._known.forget(device)
        if self._behind is not None:
            self._behind.forget(device)

    def again(self, known: CachedAnswer) -> Found:
        """What a request that waited is now; see `lookup`."""
        return self._known.get(known.key) or self._read(known.key, known.key)

    def close(self) -> None:
        """Tell all that is to be told, for the server ends."""
        if self._behind is not None:
            self._behind.close()
        self._hearing.close()
        self.report()

    def report(self) -> None:
        """Tell the observer all that was answered since the last time."""
        self.counts.gather()
        while self.counts.tell_some():
            pass

    def _read(self, data: bytes, key: bytes, *, unit: bytes = b"", runs: bytes = b"") -> Found:
        """Read a request that was not seen before, and remember it if it can be answered here.

        It is remembered as anybody's whose name `unit` and version `runs` were cut out for the key.
        """
        message = whole_request(data)
        if message is None:
            return None
        try:
            asked = self._polls.asked(message)
            if asked is None:
                return self._of_health(message, key) or self._of_download(message, key, data)
            name = asked.ask.unit.name
            if unit and name and name.encode("ascii") != unit:
                return message  # another name in it counts before the one that was cut out
            asked = asked.anybodys(unit=unit, runs=runs)
            known = self._polls.answer(asked)
            if known is None:
                return message
        except (Refused, Busy):  # also of who may not ask
            return message
        self._forms.note(key, asked)
        return self._keep(key, known)

    def _of_form(self, key: bytes) -> CachedAnswer | None:
        """The answer to a poll that asks what others asked about their devices."""
        try:
            asked = self._forms.find(key)
            known = None if asked is None else self._polls.answer(asked)
        except (Refused, Busy):
            return None  # the handlers say why
        return None if known is None else self._keep(key, known)

    def _keep(self, key: bytes, known: CachedAnswer) -> CachedAnswer:
        """Remember an answer."""
        if known.wait:
            known = msgspec.structs.replace(known, key=key)
        self._known.put(key, known)
        return known

    def _of_health(self, message: RawRequestMessage, key: bytes) -> CachedAnswer | None:
        """The answer to `GET /health`; None for all else."""
        if message.path != HEALTH or message.method != "GET":
            return None
        ends, answer = bool(message.should_close), judged(message.headers, answers.health())
        ready = answer.ready(keep_alive=not ends)
        known = CachedAnswer(None, int(answer.status), ready.before, ready.after, ends)
        return self._keep(key, known)

    def _of_download(self, message: RawRequestMessage, key: bytes, data: bytes) -> Found:
        """What is remembered of a plain download; the request where it is none."""
        if self.plain is None or key != data:
            return message
        known = self.plain.read(
            message, ready_record=self._ready_record, is_proven=self._polls.is_proven
        )
        if known is None:
            return message
        self._known.put(key, known)
        return known

    def forget_tokens(self) -> None:
        """Forget what was answered to whom, once other tokens or other links count.

        To be called each second.
        """
        if self._behind is not None:
            self._behind.forget_tokens()
        counting = self._admission.counting()
        if counting != self._counting:
            self._counting = counting
            self._known.clear()
            self._forms.clear()
            self._kinds = ()
