"""What an answer of `/status` means for who waits for a release.

Pure. Bytes that can never be served end it at once; what may still be mended from outside, such as
a signature that is missing or a server that is not there yet, has half a minute from when it was
first seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from otaflux.errors import BadName
from otaflux.model.names import STABLE, Device, Tag
from otaflux.model.version import Version

MAY_STILL_COME = 30.0  # seconds
NOT_KNOWN = 404
LATER = "Did the hook come? Without one a re-check finds it, see RECHECK_INTERVAL"


class WaitedFor(msgspec.Struct, frozen=True):
    """What is waited for; `digest` of its manifest where a tag may move, else empty."""

    device: Device
    tag: Tag
    version: Version
    digest: str = ""

    @property
    def channel(self) -> str:
        """The channel whose devices are to be told it."""
        return self.version.pre_release or STABLE


class IsTold(msgspec.Struct, frozen=True):
    """Devices are told it."""


class NotYet(msgspec.Struct, frozen=True):
    """They are not; `may_come` says that it comes by itself, if at all."""

    reason: str
    hint: str = ""
    may_come: bool = True


class Never(msgspec.Struct, frozen=True):
    """They will not be."""

    reason: str
    hint: str = ""


Judged = IsTold | NotYet | Never


class Wait:
    """How long what is worth waiting for; `clock` counts seconds and never goes back."""

    def __init__(self, timeout: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._timeout = timeout
        self._ends = clock() + timeout
        self._seen: tuple[str, float] | None = None

    def weigh(self, judged: Judged) -> Judged:
        """The same, or never where what is not yet took too long."""
        now = self._clock()
        if not isinstance(judged, NotYet):
            return judged
        if judged.may_come:
            self._seen = None
        elif self._seen is None or self._seen[0] != judged.reason:
            self._seen = (judged.reason, now)
        if self._seen is not None and now - self._seen[1] >= MAY_STILL_COME:
            return Never(judged.reason, judged.hint)
        if now >= self._ends:
            return Never(f"not told within {self._timeout:g} s: {judged.reason}", judged.hint)
        return judged


def judge(status: int, said: Any, wanted: WaitedFor) -> Judged:
    """What an answer means; what is no answer of `/status` is not yet."""
    if status == NOT_KNOWN:
        return NotYet(
            f"the server does not know device '{wanted.device}'",
            "Did the hook come, does REPOSITORY_PREFIX fit, and is it the operators' address that"
            " was asked, not that of devices? See what /status warns of",
        )
    try:
        (device,) = said["devices"]
        return _judge_device(device, wanted)
    except (KeyError, TypeError, ValueError, AttributeError, BadName):
        return NotYet(
            f"the answer is not that of OtaFlux's operators (HTTP {status})",
            "Is METRICS_LISTEN_ADDR that of the server?",
            may_come=False,
        )


def _judge_device(device: dict[str, Any], wanted: WaitedFor) -> Judged:
    told = device["channels"].get(wanted.channel)
    if told is not None and _is_it(told, wanted):
        return IsTold()
    for refused in device["refused"]:
        if refused["tag"] == wanted.tag.text and wanted.digest in {"", refused["digest"]}:
            reason, hint = f"refused: {refused['reason']}", refused["hint"]
            final = refused["final"]
            return Never(reason, hint) if final else NotYet(reason, hint, may_come=False)
    if told is not None and Version.parse(told["version"]).key > wanted.version.key:
        return NotYet(
            f"devices are told {told['version']}, which is higher",
            "Push a higher version, or take that one back with `otaflux delete`",
            may_come=False,
        )
    if device["error"] is not None:
        return NotYet(device["error"]["reason"], device["error"]["hint"])
    if told is None:
        now = f"devices are told nothing in the channel '{wanted.channel}'"
        is_own = f". Is '{wanted.channel}' one of CHANNELS?" if wanted.channel != STABLE else ""
        return NotYet(now, LATER + is_own)
    now = f"devices are told {told['version']}"
    if wanted.digest and told["tag"] == wanted.tag.text:
        now += f" with other bytes, {told['digest']}"
    return NotYet(now, LATER)


def _is_it(told: dict[str, Any], wanted: WaitedFor) -> bool:
    if wanted.digest:
        return bool(told["digest"] == wanted.digest and told["tag"] == wanted.tag.text)
    return bool(told["version"] == wanted.version.text)
