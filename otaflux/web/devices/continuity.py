"""What clients were told a moment ago, so that what one of them gets holds together.

Soft memory on the event loop, bounded, lost at a restart. `LastTold` ties a `/firmware` to the
`/version` before it on one connection. `DownloadMemory` ties the parts of a download: who
begins one (a unit, else an address, which many boards may share) gets the same release for every
part, while that was current within the last 15 minutes.

Times are seconds of a monotonic clock.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from weakref import WeakKeyDictionary

import msgspec

from otaflux.errors import Busy
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.names import STABLE, Channel, Device
from otaflux.model.record import REPLACED_LINGERS, Record
from otaflux.model.release import Release
from otaflux.web.devices.conditions import RangeKind
from otaflux.web.devices.fairorder import FairOrder, holder_of
from otaflux.web.devices.offer import NOBODY, offer, same_content

FOLLOWS_WITHIN = 60.0  # a /firmware belongs to the /version before it
IDLE = 120.0  # a download is remembered so long after its last part
COOLDOWN = 120.0  # nobody begins beside a board that was in the middle when its download ended so
MOST = 20_000  # downloads that are remembered; the ranges of those that have to go are judged anew
UNPROVEN = 8  # the part of them, one in so many, that those without a later range always have


class Told(msgspec.Struct, frozen=True):
    """What a connection was told last: the release, in which channel, by a pin, and when."""

    release: Release
    channel: Channel
    pinned: bool
    at: float


class LastTold:
    """What each connection was told by `/version`; a connection that ends is forgotten.

    A connection is any object that lives as long as it does, such as its transport.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: WeakKeyDictionary[object, Told] = WeakKeyDictionary()

    def __len__(self) -> int:
        """How many connections are remembered."""
        return len(self._told)

    def tell(
        self,
        connection: object,
        release: Release,
        *,
        channel: Channel = STABLE,
        pinned: bool = False,
        at: float | None = None,
    ) -> None:
        """`/version` told that release, now or `at`. Not where many clients share a connection."""
        told_at = self._clock() if at is None else at
        self._told[connection] = Told(release, channel, pinned, told_at)

    def follow(self, connection: object) -> Told | None:
        """What was told directly before this request, lately enough; it is forgotten now."""
        told = self._told.pop(connection, None)
        return told if told and self._clock() - told.at <= FOLLOWS_WITHIN else None


@dataclass(frozen=True, slots=True)
class Downloader:
    """Who downloads what: the device and channel asked for, and the unit, else the address."""

    device: Device
    channel: Channel
    who: str

    def __hash__(self) -> int:
        """The generated one would hash the device by a call of its own, several times a request."""
        return hash((self.device.name, self.channel, self.who))


@dataclass(slots=True, eq=False)
class RememberedDownload:
    """A download that was begun, as its memory keeps it; the memory alone looks into it.

    `replaced` is when its release stopped being current. `is_amid` says that ranges above the first
    byte were answered: whoever asks for those reads on.
    """

    downloader: Downloader
    release: Release
    last: float
    holder: str
    is_amid: bool = False
    replaced: float | None = None
    sending: int = 0


class WhileSending:
    """Bytes of a download go out until `close`. A generator for its `with` would cost thrice."""

    __slots__ = ("_download", "_memory")

    def __init__(self, memory: DownloadMemory, download: RememberedDownload | None) -> None:
        self._memory = memory
        self._download = download
        if download is not None:
            download.sending += 1

    def close(self) -> None:
        """They went, or go no more."""
        if self._download is not None:
            self._download.sending -= 1
            self._memory.sent(self._download)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.close()


class DownloadMemory:
    """The downloads that were begun, by who began them; hears of each record as it changes.

    `most` are remembered. Names of units are free, and so is to begin: where there is no room, what
    was begun alone goes before what is amid its ranges, and both first of the address that has most
    of them.
    """

    def __init__(self, machine: Machine = REAL_MACHINE, *, most: int = MOST) -> None:
        self._clock, self._now = machine.clock, machine.now
        self._most = most
        self._begun: OrderedDict[Downloader, RememberedDownload] = OrderedDict()
        self._of: dict[Device, dict[Downloader, RememberedDownload]] = {}
        # By the download itself, which costs no hash of its names.
        self._unproven: FairOrder[RememberedDownload] = FairOrder()
        self._amid: FairOrder[RememberedDownload] = FairOrder()

    def __len__(self) -> int:
        return len(self._begun)

    def hear(self, device: Device, record: Record | None) -> None:
        """Note when the releases of downloads are replaced, and when they are current again.

        Downloads of what has no signature any more that is trusted end.
        """
        if device not in self._of:
            return
        now, told_at = self._clock(), self._now()
        self._end_lapsed(device, record)
        # Many thousand may be remembered of one device: each channel is decided once.
        current: dict[str, Release | None] = {}
        for downloader, download in self._of.get(device, {}).items():
            channel = downloader.channel
            if channel not in current:
                found = offer(record, channel, NOBODY, told_at)
                current[channel] = found.release if found else None
            if same_content(current[channel], download.release):
                download.replaced = None
            elif download.replaced is None:
                download.replaced = now

    def _end_lapsed(self, device: Device, record: Record | None) -> None:
        if record is None or not any(left.unsigned for left in record.retired):
            return
        for download in list(self._of.get(device, {}).values()):
            if record.is_lapsed(download.release):
                self._forget(download)

    def release_of(self, downloader: Downloader) -> Release | None:
        """The release that was begun there and that each part gets; None where none is.

        Raises `Busy` for two minutes after a download that was still going on had to end.
        """
        download = self._live(downloader)
        cooldown = self._cooldown(download)
        if cooldown > 0:
            raise Busy(
                f"The firmware of device '{downloader.device}' was replaced during a download",
                retry_after=cooldown,
            )
        return download.release if download else None

    def note(
        self,
        downloader: Downloader,
        reach: RangeKind,
        release: Release,
        *,
        replaced: float | None,
        address: str = "",
    ) -> RememberedDownload | None:
        """A part of that release was answered, to `address`: its download begins, or goes on.

        `replaced` is when the release stopped being current, or None while it is. Returns what is
        remembered, for `sending`; None where nothing is, or of another release.
        """
        download = self._live(downloader)
        if download is None:
            if reach in {RangeKind.WHOLE, RangeKind.HEAD, RangeKind.START}:
                now, holder = self._clock(), holder_of(address)
                download = RememberedDownload(downloader, release, now, holder, replaced=replaced)
                self._begin(download)
            return download
        if not same_content(download.release, release):
            return None
        if not self._cooldown(download):
            download.is_amid |= reach is RangeKind.LATER
            self._touch(download)
        return download

    def sending(self, noted: RememberedDownload | None) -> WhileSending:
        """While bytes of what was `noted` go out it is not idle; two minutes count from the end."""
        return WhileSending(self, noted)

    def sent(self, download: RememberedDownload) -> None:
        """Bytes of it went out."""
        if self._begun.get(download.downloader) is download:
            self._touch(download)

    def _begin(self, download: RememberedDownload) -> None:
        downloader = download.downloader
        self._begun[downloader] = download
        self._of.setdefault(downloader.device, {})[downloader] = download
        self._unproven.touch(download, download.holder)
        # The front is the longest idle. Two looked at for each one that begins, and what is over
        # does not pile up.
        for idle in list(islice(self._begun, 2)):
            self._live(idle)
        if len(self._begun) > self._most:
            self._make_room()

    def _make_room(self) -> None:
        """Forget who is least worth to be remembered; the one that began last may be it."""
        is_crowd = len(self._unproven) > self._most // UNPROVEN or not len(self._amid)
        self._forget((self._unproven if is_crowd else self._amid).first())

    def _touch(self, download: RememberedDownload) -> None:
        download.last = self._clock()
        self._begun.move_to_end(download.downloader)
        if download.is_amid:
            self._unproven.drop(download)
        order = self._amid if download.is_amid else self._unproven
        order.touch(download, download.holder)

    def _live(self, downloader: Downloader) -> RememberedDownload | None:
        """The download, its cooldown included; one that is over is forgotten."""
        download = self._begun.get(downloader)
        if download is None:
            return None
        now = self._clock()
        over = now - download.last >= IDLE and not download.sending
        if download.replaced is not None and now >= download.replaced + REPLACED_LINGERS:
            over = self._cooldown(download) <= 0
        if over:
            self._forget(download)
            return None
        return download

    def _cooldown(self, download: RememberedDownload | None) -> float:
        """Seconds that are left of the cooldown after a download that had to end; 0 without one."""
        if download is None or download.replaced is None:
            return 0.0
        end, now = download.replaced + REPLACED_LINGERS, self._clock()
        if now < end or (download.last <= end - IDLE and not download.sending):
            return 0.0
        return max(0.0, end + COOLDOWN - now)

    def _forget(self, download: RememberedDownload) -> None:
        downloader = download.downloader
        del self._begun[downloader]
        self._unproven.drop(download)
        self._amid.drop(download)
        others = self._of[downloader.device]
        del others[downloader]
        if not others:
            del self._of[downloader.device]
