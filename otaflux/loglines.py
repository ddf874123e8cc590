"""The log as a listener: which lines what happens makes, and how often the same is said.

Each thing is said once, until it changes: a release that is refused at each look, a registry that
is away at each run. `device`, `tag`, `version`, `digest` and `reason` are always fields of their
own; `hooks` are the ids of the hooks that a line goes back to. docs/logs.md lists the lines.
"""

from __future__ import annotations

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable

from otaflux.events import (
    ActionClosed,
    BrokerConnected,
    BrokerFailed,
    DeviceForgotten,
    DeviceNotServed,
    FilesLeft,
    FoundUsable,
    Happening,
    HookAccepted,
    HookAnswered,
    Published,
    ReleaseRefused,
    RequestSent,
    RunEnded,
    RunFailed,
    SignatureLapsed,
    TagClear,
    TagUnclear,
    TrustChanged,
    UnitLooping,
    Withdrawn,
)
from otaflux.folded import Folded
from otaflux.log import Event, log
from otaflux.model.names import Device, Tag
from otaflux.model.release import Release
from otaflux.reason import Cause, Reason
from otaflux.wording import plain

TOLD_ON = "; it is told on, from its file, because DOWNGRADES=never"
MOST_SAID = 10_000  # devices, or tags, of which it is remembered what was said
SAID_AGAIN = 3600.0  # seconds after which an outage that lasts is said once more
MOST_LAPSED = 1000  # releases of which the same is said at once: a key may have signed them all
MOST_ALIKE = 10  # devices of which the same is said, until some are well again: more is no news


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


class _Outage:
    """A time in which the registry as a whole did not answer; `clock` never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: float | None = None
        self._said_at = 0.0

    def goes_on(self) -> float | None:
        """It does not answer: how long that has been so (s), where it is time to say so again."""
        now = self._clock()
        if self._since is None:
            self._since = self._said_at = now
        if now - self._said_at < SAID_AGAIN:
            return None
        self._said_at = now
        return now - self._since

    def ended(self) -> float | None:
        """It answered: how long it had not (s); None where nothing was amiss."""
        since, self._since = self._since, None
        return None if since is None else self._clock() - since


class LogLines:
    """Writes what is worth a line; `hear` is the listener. `clock` never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._outage = _Outage(clock)
        self._broker = _Outage(clock)
        self._refused = _Said()
        self._lapsed = _Said(MOST_LAPSED)
        self._failed = _Said(MOST_ALIKE)
        self._updates = Folded(Event.UPDATE_FAILED, clock)

    def hear(self, happening: Happening) -> None:  # noqa: C901, PLR0912 - one case for each line
        """Write the lines that it makes, if any."""
        match happening:
            case HookAnswered() | RequestSent():
                pass  # the most of all, and none has a line
            case HookAccepted():
                _hook_accepted(happening)
            case Published():
                _published(happening)
            case Withdrawn():
                _withdrawn(happening)
            case SignatureLapsed():
                self._lapse(happening)
            case TrustChanged(trusted):
                log.info(Event.TRUST_CHANGED, trusted=list(trusted))
            case ReleaseRefused():
                self._refuse(happening)
            case FoundUsable(device, tag, digest):
                self._refused.forget((device, tag, False))
                self._refused.forget((device, digest, False))
                self._lapsed.forget((device, digest))
            case TagUnclear(device, tag, reason, hooks):
                self._fail((device, tag), device, tag, reason, hooks)
            case TagClear(device, tag):
                self._failed.forget((device, tag))
            case RunFailed(device, tag, reason, hooks=hooks):
                self._fail(device, device, tag, reason, hooks)
            case RunEnded():
                self._failed.forget(happening.device)
                self._answers(happening)
                _reconciled(happening)
            case FilesLeft(device, reason):
                self._fail("files", device, None, reason, (), again=False)
            case DeviceForgotten(device, why):
                self._failed.forget(device)
                log.info(Event.DEVICE_FORGOTTEN, device=device.name, reason=why)
            case ActionClosed(device) if happening.again_in is not None:
                # A bad release fails on each of its units, at about the same time.
                self._updates.note(
                    (device, happening.version),
                    device=device.name,
                    version=happening.version,
                    unit=plain(happening.unit),
                    again_in=happening.again_in,
                )
            case DeviceNotServed(device, why):
                if self._failed.is_new(device, why):
                    log.warning(Event.DEVICE_NOT_SERVED, device=device.name, reason=why)
            case BrokerConnected(url, topic):
                self._broker.ended()
                self._failed.forget("broker")
                log.info(Event.BROKER_CONNECTED, broker=url, topic=topic)
            case BrokerFailed(why, hint):
                self._broker_fails(why, hint)
            case UnitLooping(release, unit, times):
                log.warning(
                    Event.UNIT_LOOPING,
                    **_fields(release),
                    unit=unit,
                    times=times,
                    reason="a unit took the same release again and again within a day",
                    hint="Build the tag's version into the image, and push it under a higher one",
                )
            case _:
                pass  # worth a number somewhere, and no line

    def _lapse(self, lapsed: SignatureLapsed) -> None:
        """A release goes for want of a signature, whoever found it: once, until it is back."""
        release = lapsed.release
        if self._lapsed.is_new((release.device, release.manifest_digest), lapsed.reason):
            log.warning(
                Event.SIGNATURE_LAPSED,
                **_fields(release),
                reason=lapsed.reason,
                hooks=list(lapsed.hooks),
            )

    def _refuse(self, refused: ReleaseRefused) -> None:
        """A release that cannot be served: once for each digest and reason, whatever its tags.

        What is refused for its tag alone is none the less known where its bytes are usable under
        another one, at each look.
        """
        key = (refused.device, refused.digest or refused.tag, refused.for_tag)
        if self._refused.is_new(key, refused.reason):
            log.warning(
                Event.RELEASE_REFUSED,
                device=refused.device.name,
                tag=refused.tag.text,
                version=refused.version.text,
                digest=None if refused.digest is None else str(refused.digest),
                reason=refused.reason,
                hooks=list(refused.hooks),
            )

    def _fail(
        self,
        key: object,
        device: Device,
        tag: Tag | None,
        reason: Reason,
        hooks: tuple[str, ...],
        *,
        again: bool = True,
    ) -> None:
        """A warning when that is new of `key`; else, where it is said `again`, for debugging."""
        if reason.cause is Cause.OTHERS:
            return
        lasting = self._outage.goes_on() if reason.cause is Cause.UNREACHABLE else None
        if lasting is not None:
            log.warning(
                Event.REGISTRY_FAILED,
                device=device.name,
                reason=reason.text,
                hint=reason.hint,
                seconds=round(lasting),
            )
            return
        is_new = self._failed.is_new(key, reason.text)
        if is_new or again:
            (log.warning if is_new else log.debug)(
                Event.DISK_FAILED if reason.cause is Cause.DISK else Event.REGISTRY_FAILED,
                device=device.name,
                tag=tag.text if tag else None,
                reason=reason.text,
                hint=reason.hint,
                hooks=list(hooks),
            )

    def _broker_fails(self, why: str, hint: str) -> None:
        """A warning when that is new, and again while it lasts."""
        lasting = self._broker.goes_on()
        is_new = self._failed.is_new("broker", why)
        if is_new or lasting is not None:
            lasted = {} if lasting is None else {"seconds": round(lasting)}
            log.warning(Event.BROKER_FAILED, reason=why, hint=hint, **lasted)
        else:
            log.debug(Event.BROKER_FAILED, reason=why, hint=hint)

    def _answers(self, ended: RunEnded) -> None:
        """The end of an outage, with the first run that learnt something."""
        lasted = self._outage.ended() if ended.requests else None
        if lasted is not None:
            log.info(
                Event.REGISTRY_ANSWERS,
                device=ended.device.name,
                reason=f"it answers again, after {lasted:.0f} s",
                seconds=round(lasted),
            )


def _hook_accepted(accepted: HookAccepted) -> None:
    log.info(
        Event.HOOK_ACCEPTED,
        hook=accepted.hook,
        source=accepted.source,
        device=accepted.device.name,
        tag=accepted.tag,
        action=accepted.action.value,
    )


def _published(published: Published) -> None:
    release, before, seconds = published.release, published.before, published.seconds
    log.info(
        Event.RELEASE_PUBLISHED,
        **_fields(release),
        channel=published.channel,
        size=release.firmware.sums.size,
        crc32=release.firmware.sums.crc32,
        before=before.version.text if before else None,
        signed_by=published.proof.text if published.proof else None,
        hooks=list(published.hooks),
        ms_since_hook=None if seconds is None else round(seconds * 1000, 1),
    )
    for warning in release.warnings if published.is_new else ():
        log.warning(Event.RELEASE_WARNING, **_fields(release), reason=warning)


def _withdrawn(withdrawn: Withdrawn) -> None:
    log.warning(
        Event.RELEASE_WITHDRAWN,
        **_fields(withdrawn.release),
        reason=f"its tag is gone{TOLD_ON if withdrawn.told_on else ''}",
        file=str(withdrawn.file),
        hooks=list(withdrawn.hooks),
    )


def _reconciled(ended: RunEnded) -> None:
    """The one line that tells a whole run."""
    log.debug(
        Event.RECONCILED,
        device=ended.device.name,
        cause=ended.priority.name.lower(),
        looks=ended.looks,
        requests=ended.requests,
        ms=round(ended.seconds * 1000, 1),
        hooks=list(ended.hooks),
    )


def _fields(release: Release) -> dict[str, str]:
    return {
        "device": release.device.name,
        "tag": release.tag.text,
        "version": release.version.text,
        "digest": str(release.manifest_digest),
    }
