"""Azure Container Registry.

One event, shaped as one of distribution's but without an envelope. Source: Microsoft's "Azure
Container Registry webhook reference"; known from documentation only, for ACR's code is not public.

What bites: a delete names a digest and no tag. A ping has no `target` at all, or an empty one.
"""

from __future__ import annotations

import msgspec

from otaflux.hooks.hook import Hook
from otaflux.hooks.payload import (
    Example,
    Headers,
    Lenient,
    Part,
    Pushed,
    as_json,
    event,
    is_object,
    read,
    text,
)
from otaflux.model.event import Action, Noise

_ACTIONS = {"push": Action.PUSH, "delete": Action.DELETE}


class _Target(Lenient, frozen=True):
    digest: str | None = None
    repository: str | None = None
    tag: str | None = None


class _Body(Lenient, frozen=True):
    action: str
    target: _Target | None = None


_BODY = msgspec.json.Decoder(_Body)


def recognises(hook: Hook) -> bool:
    """By `action` and `target` without an envelope around them, or as a ping."""
    keys = hook.keys
    if keys.has("action", "target") and is_object(keys.target):
        return True
    return keys.has("timestamp") and text(keys.action) == "ping"


def parse(headers: Headers, payload: bytes) -> tuple[Part, ...]:
    """Pushes and deletes; pings, quarantine and charts are noise."""
    body = read(_BODY, payload)
    target = body.target or _Target()
    action = _ACTIONS.get(body.action)
    if action is None:
        return (Noise(target.repository or "", f"Azure's '{body.action}' asks for nothing"),)
    return (event(action, target.repository or "", tag=target.tag, digest=target.digest),)


def example(pushed: Pushed) -> Example:
    """The push of a tag."""
    body = {
        "id": "0a6f2c11-51d2-4a7e-9d0b-6a1f7be0c101",
        "timestamp": pushed.at.isoformat(),
        "action": "push",
        "target": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "size": 740,
            "digest": pushed.digest,
            "length": 740,
            "repository": pushed.repository,
            "tag": pushed.tag,
        },
        "request": {"host": "example.azurecr.io", "method": "PUT"},
    }
    return Example({"Content-Type": "application/json"}, as_json(body))
