"""zot 2.1.3 and up, built with its events extension.

CloudEvents in binary mode: the type is in the header `Ce-Type`, the body is the data alone, with
the names `name` and `reference` that many formats have, so without that header it is not taken for
zot's. Structured mode, as a relay may make of it, is read too. Sources: zot's
`pkg/extensions/events/{common,events,builder,http_sink}.go`, and `v2/binding/write.go` of the
CloudEvents SDK.

What bites: `reference` is a tag or, for pushes by digest, the digest. A manifest of up to 4 MiB
comes along as a string; it is skipped. zot tries once, so a lost hook waits for the re-check.
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
    read,
)
from otaflux.model.event import Action, Noise

_TYPE = "zotregistry."
_ACTIONS = {
    "zotregistry.image.updated": Action.PUSH,
    "zotregistry.image.deleted": Action.DELETE,
}


class _Data(Lenient, frozen=True):
    name: str | None = None
    reference: str | None = None
    digest: str | None = None


class _Structured(Lenient, frozen=True):
    type: str
    data: _Data


_DATA = msgspec.json.Decoder(_Data)
_STRUCTURED = msgspec.json.Decoder(_Structured)


def recognises(hook: Hook) -> bool:
    """By the event's type, in the header `Ce-Type` or, structured, in the body."""
    if hook.headers.get("ce-type", "").startswith(_TYPE):
        return True
    return hook.keys.has("specversion") and hook.type.startswith(_TYPE)


def parse(headers: Headers, payload: bytes) -> tuple[Part, ...]:
    """Images that were updated or deleted; repositories, scans and lint are noise."""
    kind = headers.get("ce-type", "")
    if kind.startswith(_TYPE):
        data = read(_DATA, payload)
    else:
        structured = read(_STRUCTURED, payload)
        kind, data = structured.type, structured.data
    action = _ACTIONS.get(kind)
    if action is None:
        return (Noise(data.name or "", f"zot's {kind} asks for nothing"),)
    return (event(action, data.name or "", tag=data.reference, digest=data.digest),)


def example(pushed: Pushed) -> Example:
    """An updated image, in binary mode."""
    headers = {
        "Content-Type": "application/json",
        "Ce-Id": "7b0ce0a8-7b60-44f0-8a44-1a4f1c2b9a01",
        "Ce-Specversion": "1.0",
        "Ce-Type": "zotregistry.image.updated",
        "Ce-Source": "zotregistry.dev",
        "Ce-Time": pushed.at.isoformat(),
    }
    body = {
        "name": pushed.repository,
        "reference": pushed.tag,
        "digest": pushed.digest,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
    }
    return Example(headers, as_json(body))
