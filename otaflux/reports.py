"""The log lines of a reconcile: what changed for devices, and why something did not.

`device`, `tag`, `version`, `digest` and `reason` are always fields of their own; `hooks` are the
ids of the hooks that a line goes back to.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from otaflux.errors import DiskFailed, OtaFluxError, Undecided
from otaflux.log import Event, log
from otaflux.model.artifact import Digest
from otaflux.model.event import Touch
from otaflux.model.names import Device, NotServed, Tag
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.model.version import Version

MOST_SAID = 10_000  # devices, or tags, of which it is remembered what was said
MOST_ALIKE = 10  # devices of which the same is said, until some are well again: more is no news

_sent: ContextVar[list[str] | None] = ContextVar("requests_of_this_run", default=None)


@contextmanager
def counting_requests() -> Iterator[list[str]]:
    """The kinds of the requests that this run, and tasks that it begins, send to the registry."""
    sent: list[str] = []
    token = _sent.set(sent)
    try:
        yield sent
    finally:
        _sent.reset(token)


def request_sent(kind: str) -> None:
    """A request went to the registry, on behalf of whatever run this is called in."""
    sent = _sent.get()
    if sent is not None:
        sent.append(kind)


class _Said:
    """The last words about each key, for so many keys: names are cheap for whoever polls them."""

    def __init__(self, most_alike: float = math.inf) -> None:
        self._most_alike = most_alike
        self._words: OrderedDict[object, str] = OrderedDict()
        self._alike: Counter[str] = Counter()

    def is_new(self, key: object, words: str) -> bool:
        """Whether that was not the last said of it, nor of enough others; it is now."""
        before = self._words.get(key)
        self.forget(key)
        self._words[key] = words
        self._alike[words] += 1
        if len(self._words) > MOST_SAID:
            self.forget(next(iter(self._words)))
        return words != before and self._alike[words] <= self._most_alike

    def forget(self, key: object) -> None:
        """Whatever is said of it next is new."""
        words = self._words.pop(key, None)
        if words is not None:
            self._alike[words] -= 1
            if not self._alike[words]:
                del self._alike[words]


class Reports:
    """Says each thing once, until it changes."""

    def __init__(self) -> None:
        self._refused = _Said()
        self._failed = _Said(MOST_ALIKE)

    def changed(
        self,
        touch: Touch,
        before: Record | None,
        after: Record,
        channels: Iterable[str],
        seconds: float | None,
    ) -> None:
        """What devices are told now and were not before; `seconds` since the first hook."""
        known = {s.release for s in before.channels.values()} if before else set()
        for channel in channels:
            was = before.current(channel) if before else None
            release = after.current(channel)
            if release is None or release == was:
                continue
            log.info(
                Event.RELEASE_PUBLISHED,
                **_of(release),
                channel=channel,
                size=release.firmware.sums.size,
                crc32=release.firmware.sums.crc32,
                before=was.version.text if was else None,
                hooks=list(touch.hooks),
                ms_since_hook=None if seconds is None else round(seconds * 1000, 1),
            )
            for warning in () if release in known else release.warnings:
                log.warning(Event.RELEASE_WARNING, **_of(release), reason=warning)
            known.add(release)

    def withdrawn(self, touch: Touch, release: Release, file: Path) -> None:
        """A release's tag is gone; its file stays on disk for a while, served to nobody."""
        log.warning(
            Event.RELEASE_WITHDRAWN,
            **_of(release),
            reason="its tag is gone from the registry",
            file=str(file),
            hooks=list(touch.hooks),
        )

    def refused(
        self, touch: Touch, tag: Tag, version: Version, digest: Digest, reason: str
    ) -> None:
        """A release that cannot be served: once for each digest and reason."""
        if self._refused.is_new((touch.device, tag), f"{digest} {reason}"):
            log.warning(
                Event.RELEASE_REFUSED,
                device=touch.device.name,
                tag=tag.text,
                version=version.text,
                digest=str(digest),
                reason=reason,
                hooks=list(touch.hooks),
            )

    def usable(self, device: Device, tag: Tag) -> None:
        """Whatever was wrong with a tag is not any more."""
        self._refused.forget((device, tag))

    def failed(self, touch: Touch, error: OtaFluxError, tag: Tag | None) -> None:
        """A run learnt nothing, or not all: a warning when that is new, else for debugging."""
        self._say(touch.device, touch, error, tag)

    def unclear(self, touch: Touch, release: Release, error: Undecided) -> None:
        """Nothing was learnt about the tag of a release that is served; others went on."""
        self._say((touch.device, release.tag), touch, error, release.tag)

    def _say(self, key: object, touch: Touch, error: OtaFluxError, tag: Tag | None) -> None:
        say = log.warning if self._failed.is_new(key, str(error)) else log.debug
        say(
            Event.DISK_FAILED if isinstance(error, DiskFailed) else Event.REGISTRY_FAILED,
            device=touch.device.name,
            tag=tag.text if tag else None,
            reason=str(error),
            hint=error.hint if isinstance(error, Undecided) else "",
            hooks=list(touch.hooks),
        )

    def clear(self, device: Device, tag: Tag) -> None:
        """Something was learnt about the tag of a release that is served."""
        self._failed.forget((device, tag))

    def unswept(self, device: Device, error: DiskFailed) -> None:
        """Files that nobody names could not be removed."""
        if self._failed.is_new("files", str(error)):
            log.warning(
                Event.DISK_FAILED,
                device=device.name,
                tag=None,
                reason=str(error),
                hint=error.hint,
                hooks=[],
            )

    def forgotten(self, device: Device) -> None:
        """A device that only polls named had to go."""
        self._failed.forget(device)
        log.info(
            Event.DEVICE_FORGOTTEN,
            device=device.name,
            reason="only polls named it, others were asked for later, and so many are kept",
        )

    def not_served(self, touch: Touch, reason: NotServed) -> None:
        """A device is not served any more, since there are credentials."""
        if self._failed.is_new(touch.device, str(reason)):
            log.warning(Event.DEVICE_NOT_SERVED, device=touch.device.name, reason=str(reason))

    def went_well(self, touch: Touch, *, seconds: float, looks: int, requests: int) -> None:
        """The one line that tells a whole reconcile."""
        self._failed.forget(touch.device)
        log.debug(
            Event.RECONCILED,
            device=touch.device.name,
            cause=touch.priority.name.lower(),
            looks=looks,
            requests=requests,
            ms=round(seconds * 1000, 1),
            hooks=list(touch.hooks),
        )


def _of(release: Release) -> dict[str, str]:
    return {
        "device": release.device.name,
        "tag": release.tag.text,
        "version": release.version.text,
        "digest": str(release.manifest_digest),
    }
