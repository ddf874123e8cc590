"""What a device is told that names no channel, as far as it is known here.

Not known is what was never looked at, and a device that was not heard of: another replica may know
better. On one event loop.
"""

from __future__ import annotations

from otaflux.boundedmap import BoundedMap
from otaflux.model.names import STABLE, Channel, Device
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.state.catalog import Catalog

MOST_GONE = 10_000  # devices that went, of which it is known that they have nothing


class DefaultReleases:
    """The releases of `channel`; made before the first change that it is to know of."""

    def __init__(self, catalog: Catalog, channel: Channel) -> None:
        self._catalog = catalog
        self._channel = channel
        self._gone: BoundedMap[Device, None] = BoundedMap(MOST_GONE)
        catalog.listen(self._hear)

    def devices(self) -> list[Device]:
        """All devices that have a record."""
        return list(self._catalog.devices())

    def get(self, device: Device) -> Release | None:
        """What the device is told; None where it is told nothing."""
        record = self._catalog.get(device)
        return (record.current(self._channel) or record.current(STABLE)) if record else None

    def are_known(self, device: Device) -> bool:
        """Whether it is known here what the device is told, be it nothing."""
        record = self._catalog.get(device)
        if record is None:
            return device in self._gone
        return record.ever_synced or self.get(device) is not None

    def _hear(self, device: Device, record: Record | None) -> None:
        if record is None:
            self._gone.put(device, None)
        else:
            self._gone.drop(device)
