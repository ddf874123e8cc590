"""What each device is told, as a retained message at `MQTT_TOPIC/DEVICE`.

One replica may know less than another: where the broker has a higher version of a device, or other
bytes, than is known here, and had it from somebody else, it is left, and the device is looked at.
What that look finds is announced then.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import msgspec

from otaflux.broker.defaultreleases import DefaultReleases
from otaflux.broker.retained import AGAIN, Retained
from otaflux.broker.session import Session
from otaflux.errors import BadName
from otaflux.events import Events, Happening, RunEnded
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Channel, Device
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.model.version import Version
from otaflux.state.catalog import Catalog

MAX_HELD = 4096  # bytes of a retained message that are read as one of ours


class Announcement(msgspec.Struct, frozen=True):
    """The message; `url` is by content, under `PUBLIC_URL`, and without it a path alone."""

    version: str
    size: int
    crc32: int
    sha256: str
    url: str

    @classmethod
    def of(cls, release: Release, public_url: str | None) -> Announcement:
        """What is said of a release."""
        sums = release.firmware.sums
        url = f"{public_url or ''}/firmware/sha256/{sums.sha256}"
        return cls(release.version.text, sums.size, sums.crc32, sums.sha256, url)


class Announcer:
    """Keeps a message for each device that has a release in `channel`.

    `touch` puts a reason to look at a device into the work queue.
    """

    def __init__(
        self,
        topic: str,
        catalog: Catalog,
        *,
        channel: Channel,
        public_url: str | None,
        touch: Callable[[Touch], object],
        events: Events,
        again: float = AGAIN,
    ) -> None:
        self._releases = DefaultReleases(catalog, channel)
        self._public_url = public_url
        self._touch = touch
        self._contested: set[Device] = set()
        self._retained: Retained[Device] = Retained(
            "announcement",
            topic=lambda device: f"{topic}/{device}",
            wanted=self._wanted,
            everything=self._releases.devices,
            events=events,
            is_contested=self._is_contested,
            again=again,
        )
        events.listen(self._hear)
        catalog.listen(self._hear_record)

    @property
    def waiting(self) -> int:
        """How many devices wait for their turn."""
        return self._retained.waiting

    async def begin(self, session: Session) -> None:
        """Say what changed while there was no connection."""
        await self._retained.begin(session)

    async def serve(self, session: Session) -> None:
        """Keep the messages as they should be; see `Retained.serve`."""
        await self._retained.serve(session)

    def _hear_record(self, device: Device, record: Record | None) -> None:
        self._contested.discard(device)
        self._retained.note(device, is_sure=record is None)

    def _hear(self, happening: Happening) -> None:
        """A look that learnt all is as good as a change."""
        if isinstance(happening, RunEnded) and happening.device in self._contested:
            self._contested.discard(happening.device)
            self._retained.note(happening.device)

    def _wanted(self, device: Device) -> bytes | None:
        release = self._releases.get(device)
        if release is not None:
            return msgspec.json.encode(Announcement.of(release, self._public_url))
        return b"" if self._releases.are_known(device) else None

    def _is_contested(self, device: Device, held: bytes) -> bool:
        """Whether what the broker holds of a device may be newer than what is known here."""
        ours = self._releases.get(device)
        theirs = _read(held)
        if theirs is None:
            return False
        version, sha256 = theirs
        if ours is not None:
            if version.key < ours.version.key:
                return False
            if sha256 == ours.firmware.sums.sha256 and version == ours.version:
                return False  # the address alone is another
        self._contested.add(device)
        self._touch(Touch(device, Priority.RECHECK))
        return True


def _read(held: bytes) -> tuple[Version, str] | None:
    """The version and the digest in a retained message; None where it is none of ours."""
    if len(held) > MAX_HELD:
        return None
    with suppress(msgspec.DecodeError, BadName, UnicodeDecodeError):
        said = msgspec.json.decode(held, type=Announcement)
        return Version.parse(said.version), said.sha256
    return None
