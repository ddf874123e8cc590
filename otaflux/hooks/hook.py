"""A hook before its source is known: its headers, its JSON, the keys that tell sources apart."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from otaflux.errors import BadHook
from otaflux.hooks.payload import ABSENT, Headers, Lenient, Malformed, is_object, read, text

GITEA_HEADERS = ("x-gitea-event", "x-forgejo-event", "x-gogs-event")


class Keys(Lenient, frozen=True):
    """The top-level keys by which the formats differ; their values are not looked into."""

    specversion: msgspec.Raw = ABSENT
    type: msgspec.Raw = ABSENT
    event_data: msgspec.Raw = ABSENT
    occur_at: msgspec.Raw = ABSENT
    events: msgspec.Raw = ABSENT
    action: msgspec.Raw = ABSENT
    target: msgspec.Raw = ABSENT
    timestamp: msgspec.Raw = ABSENT
    push_data: msgspec.Raw = ABSENT
    repository: msgspec.Raw = ABSENT
    updated_tags: msgspec.Raw = ABSENT
    docker_url: msgspec.Raw = ABSENT
    namespace: msgspec.Raw = ABSENT
    homepage: msgspec.Raw = ABSENT
    package: msgspec.Raw = ABSENT
    registry_package: msgspec.Raw = ABSENT
    zen: msgspec.Raw = ABSENT
    hook_id: msgspec.Raw = ABSENT
    # Of senders that have to be told what to send, see `meant`.
    detail_type: msgspec.Raw = msgspec.field(name="detail-type", default=ABSENT)
    message: msgspec.Raw = ABSENT
    subscription: msgspec.Raw = ABSENT
    repository_name: msgspec.Raw = msgspec.field(name="repositoryName", default=ABSENT)
    domain: msgspec.Raw = ABSENT
    event_type: msgspec.Raw = ABSENT

    def has(self, *names: str) -> bool:
        """Whether all of these keys are there, whatever their value."""
        for name in names:  # noqa: SIM110 - asked a dozen times of each hook, and half the cost
            if getattr(self, name) is ABSENT:
                return False
        return True


class _Inside(Lenient, frozen=True):
    package_version: msgspec.Raw = ABSENT


_SHORT = 64  # bytes; an empty object with some white space in it
_KEYS = msgspec.json.Decoder(Keys)
_INSIDE = msgspec.json.Decoder(_Inside)


@dataclass(frozen=True, slots=True)
class Hook:
    """A hook whose body is a JSON object; `type` is its `type`, where that is a text.

    `named` is the source that the sender's address names, None where it takes all of them.
    """

    headers: Headers
    payload: bytes
    keys: Keys
    type: str
    named: str | None = None

    @classmethod
    def of(cls, headers: Headers, payload: bytes, *, named: str | None) -> Hook:
        """Look at a body; raises `BadHook` where it is no JSON object."""
        if not payload.strip():
            raise BadHook("The body is empty, so it is no hook")
        try:
            keys = read(_KEYS, payload)
        except Malformed:
            raise BadHook("The body is JSON, but no object, so it is no hook") from None
        return cls(headers, payload, keys, text(keys.type), named)

    @property
    def is_gitea(self) -> bool:
        """Whether Gitea or Forgejo sent it, which send GitHub's headers too."""
        return any(self.headers.get(name) for name in GITEA_HEADERS)

    @property
    def is_empty(self) -> bool:
        """Whether the body is `{}`."""
        return (
            self.payload[:_SHORT].translate(None, b" \t\r\n") == b"{}"
            and len(self.payload) < _SHORT
        )

    @property
    def has_package_version(self) -> bool:
        """Whether `package` is GitHub's, which has a `package_version`; Gitea's has none."""
        package = self.keys.package
        return is_object(package) and read(_INSIDE, package).package_version is not ABSENT

    @property
    def meant(self) -> str:
        """A hint for the senders that can be made to send the generic format; empty for others."""
        keys = self.keys
        if keys.has("detail_type"):
            sender = "Amazon EventBridge"
        elif keys.has("message", "subscription"):
            sender = "Google Pub/Sub"
        elif keys.has("repository_name", "action"):
            sender = "Nexus"
        elif keys.has("domain", "event_type"):
            sender = "JFrog"
        else:
            return ""
        return (
            f" This looks like {sender}: docs/registries/generic.md shows how to make it send"
            ' {"repository": …, "tag": …} to /hooks/registry/generic'
        )
