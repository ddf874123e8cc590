"""What a push into a layout and a deletion from one share: the device's lock, and its index.

The lock is a file in the device's folder, held by flock, so two at once lose nothing, in one
process or two, and a killed one holds nothing. A server that reads takes no lock and sees the old
or the new index. Other tools know nothing of the lock; the index is read again right before it is
written, so that what they wrote meanwhile stays. Everything here blocks: for a thread.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from otaflux.errors import Undecided
from otaflux.files import durable
from otaflux.files.disk import Disk
from otaflux.files.durable import explained
from otaflux.model.names import Device
from otaflux.registry.layout.index import MAX_INDEX, LayoutIndex
from otaflux.registry.layout.places import DevicePlace

LOCK_WAIT = 300.0  # seconds that one waits for another one of the same device
_LOCK_LOOKS = 0.05  # seconds between looks at the lock
_READ_AGAIN = 0.1  # seconds; a tool that writes an index in place is done sooner


class Writing:
    """Work on one device's layout.

    `is_ended` is asked between pieces and ends the work. `sleep` blocks.
    """

    def __init__(
        self,
        place: DevicePlace,
        *,
        is_ended: Callable[[], bool],
        disk: Disk,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.place = place
        self.disk = disk
        self._is_ended = is_ended
        self._clock = clock
        self._sleep = sleep

    @contextmanager
    def locked(self, device: Device) -> Iterator[None]:
        """Hold the device's lock; raises `Undecided` where another one holds it for too long."""
        until = self._clock() + LOCK_WAIT
        while (descriptor := self._lock()) is None:
            self.check_ended()
            if self._clock() >= until:
                raise Undecided(
                    f"another push of {device} has held the lock for {LOCK_WAIT:.0f} seconds",
                    hint="End that one, or wait for it, and try again",
                )
            self._sleep(_LOCK_LOOKS)
        try:
            yield
        finally:
            os.close(descriptor)

    def _lock(self) -> int | None:
        """The lock's descriptor; None where somebody else has it.

        Whoever removes a device's folder removes the lock in it: then the one that was opened here
        keeps nobody out, and the next look makes a new one.
        """
        with explained(f"lock {self.place.folder}"):
            path = self.place.lock
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(path, flags, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_ino == path.stat().st_ino:
                    return descriptor
            except (BlockingIOError, FileNotFoundError):
                pass
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
            return None

    def index(self) -> LayoutIndex:
        """The index as it is now; an empty one where there is none yet."""
        index = self._parsed()
        if isinstance(index, Undecided):
            self._sleep(_READ_AGAIN)
            index = self._parsed()
        if isinstance(index, Undecided):
            raise Undecided(
                f"cannot change {self.place.index}: {index}",
                hint="Correct it, or remove the device's folder and push again",
            )
        return index

    def _parsed(self) -> LayoutIndex | Undecided:
        """What one reading gives; raises where the disk does."""
        body = durable.read(self.place.index, max_bytes=MAX_INDEX, disk=self.disk)
        try:
            return LayoutIndex() if body is None else LayoutIndex.parse(body)
        except Undecided as error:
            return error

    def check_ended(self) -> None:
        """Raises `Undecided` once the work is to end."""
        if self._is_ended():
            raise Undecided("the work was ended before the index was written")
