"""OtaFlux's own format, for anything that can send JSON.

`{"repository": "firmware/sensor", "tag": "1.4.0"}`, and where they are known `"digest"` and
`"action"` (`push`, which is the default, or `delete`). `repository` is as the registry has it,
with REPOSITORY_PREFIX. docs/registries/generic.md shows who can be made to send it.
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
    is_text,
    malformed,
    read,
)
from otaflux.model.event import Action


class _Body(Lenient, frozen=True):
    repository: str
    tag: str | None = None
    digest: str | None = None
    action: str | None = None


_BODY = msgspec.json.Decoder(_Body)


def recognises(hook: Hook) -> bool:
    """By a `repository` that is a text; asked last, for others have that too."""
    return is_text(hook.keys.repository)


def parse(headers: Headers, payload: bytes) -> tuple[Part, ...]:
    """The one event."""
    body = read(_BODY, payload)
    match (body.action or "push").lower():
        case "push":
            action = Action.PUSH
        case "delete":
            action = Action.DELETE
        case other:
            reason = f"the action is push or delete, not '{other}'"
            return (malformed(body.repository, reason),)
    return (event(action, body.repository, tag=body.tag, digest=body.digest),)


def example(pushed: Pushed) -> Example:
    """The push of a tag."""
    return Example(
        {"Content-Type": "application/json"},
        as_json({"repository": pushed.repository, "tag": pushed.tag}),
    )
