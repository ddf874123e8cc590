"""What a hook's event means here: a reason to look at a device, or not, and why not.

Pure. Nothing is looked up, so noise costs no request. Only names are believed, and only after they
were parsed; whether a tag is there, and what it holds, the registry says later.

- The repository gives the device (`Namespace`); others are ignored.
- A tag equal to a digest, as Harbor and zot have it, is no tag: the push was by digest.
- A pushed tag counts if it is a version of a channel that is kept. What is no version is ignored,
  with the version that was probably meant. A pre-release of a channel outside CHANNELS is served to
  nobody, so it is ignored too, and the reason names the setting.
- A push by digest alone, or of a signature's tag, counts only while the device has a release that
  awaits its signature: children of an index are pushed by digest too, by the dozen.
- A delete that names a digest counts whatever its tag is, for registries name only one of the tags
  that went with it; a delete of a tag alone counts if the tag could be told to somebody, and the
  tag of a signature where signatures count.
- An event that names neither tag nor digest says that something changed: reason enough.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import msgspec

from otaflux.errors import BadName
from otaflux.model.artifact import Digest
from otaflux.model.event import Action, HookEvent, Priority, Touch
from otaflux.model.names import Channel, Device, Namespace, Tag, can_be_tag, is_told
from otaflux.model.version import Version, meant
from otaflux.wording import quoted

_DIGEST = re.compile(r"sha(?:256|512):[0-9a-f]+")


class Accepted(msgspec.Struct, frozen=True):
    """A reason to look: for the queue the touch, for the answer what the event named.

    `tag` is None where the event names none.
    """

    touch: Touch
    tag: str | None
    action: Action


class Ignored(msgspec.Struct, frozen=True):
    """An event that asks for nothing here; `repository` as the event has it."""

    repository: str
    reason: str


class _Nothing(BadName):
    """Why an event asks for nothing here; never leaves this module."""


@dataclass(frozen=True, slots=True)
class Intake:
    """The rule. `channels` are those kept besides the stable one, as CHANNELS has them.

    `awaits_signature` says whether the device has a release whose signature may still come;
    `heeds_signatures` that nothing unsigned is served, which is known once the server has begun.
    """

    namespace: Namespace
    channels: AbstractSet[Channel]
    awaits_signature: Callable[[Device], bool]
    heeds_signatures: Callable[[], bool] = lambda: False

    def judge(self, event: HookEvent, hook: str, now: float) -> Accepted | Ignored:
        """What the event means; `hook` is the id of the hook that brought it, at `now` (s)."""
        try:
            device = self.namespace.device(event.repository)
            tag, digest = _reference(event)
            if event.action is Action.PUSH:
                tags = self._pushed(device, tag, digest)
            else:
                self._deleted(tag, digest)
                tags = ()
        except BadName as reason:
            return Ignored(event.repository, str(reason))
        said = tuple((tag, known) for tag in tags if (known := _digest(digest)))
        is_push = event.action is Action.PUSH
        # A signature that was taken away says nothing of releases that are missing.
        deletion = not is_push and not (tag is not None and tag.is_attachment)
        attached = is_push and not tags and bool(tag or digest)
        touch = Touch(
            device, Priority.HOOK, (hook,), now, tags, said, deletion=deletion, attached=attached
        )
        return Accepted(touch, tag.text if tag else None, event.action)

    def _pushed(self, device: Device, tag: Tag | None, digest: str) -> tuple[Tag, ...]:
        """The names to look up for a push; raises `BadName` where it asks for nothing."""
        if tag is None and not digest:
            return ()
        if tag is None or tag.is_attachment:
            if not self.awaits_signature(device):
                what = "the tag of a signature" if tag else "pushed by digest, without a tag"
                raise _Nothing(f"{what}; no release of '{device}' awaits its signature")
            return ()
        self._told(tag)
        return (tag,)

    def _deleted(self, tag: Tag | None, digest: str) -> None:
        """Raise `BadName` where a delete asks for nothing."""
        if tag is None:
            return
        if tag.is_attachment and self.heeds_signatures():
            return
        if tag.is_attachment:
            raise _Nothing(f"tag '{tag}' is the tag of a signature, not of a release")
        if not digest:
            self._told(tag)

    def _told(self, tag: Tag) -> None:
        """Raise `BadName` where a tag is told to no device."""
        try:
            version = Version.parse(tag.text)
        except BadName:
            probably = meant(tag.text)
            if probably is not None and is_told(probably, self.channels):
                raise _Nothing(
                    f"tag '{tag}' is no version; {probably} would have counted"
                ) from None
            if probably is not None:
                raise _Nothing(
                    f"tag '{tag}' is no version; {probably} would be one, a pre-release of channel"
                    f" '{probably.pre_release}', which CHANNELS does not name"
                ) from None
            raise _Nothing(f"tag '{tag}' is no version, such as 1.4.0 or v1.5.0-rc.1") from None
        if not is_told(version, self.channels):
            raise _Nothing(
                f"tag '{tag}' is a pre-release of channel '{version.pre_release}',"
                " which CHANNELS does not name"
            )


def _reference(event: HookEvent) -> tuple[Tag | None, str]:
    """The tag and the digest of an event; raises `BadName` where the tag cannot be one."""
    if _DIGEST.fullmatch(event.tag) or (event.tag and event.tag == event.digest):
        return None, event.tag
    if not event.tag:
        return None, event.digest
    if not can_be_tag(event.tag):
        raise _Nothing(f"{quoted(event.tag)} cannot be a tag")
    return Tag(event.tag), event.digest


def _digest(text: str) -> Digest | None:
    """The digest that an event names; None where that can be none."""
    try:
        return Digest.parse(text)
    except BadName:
        return None
