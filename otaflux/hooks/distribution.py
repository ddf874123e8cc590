"""CNCF Distribution: docker-registry, `registry:2`, `registry:3`, and GitLab's registry.

An envelope `{"events": […]}`, sent as `application/vnd.docker.distribution.events.v1+json` or, from
version 3, `…v2+json`; the shape is the same. Source: `notifications/event.go` of distribution 2.8
and 3.0, and what docker-registry 2.8.2 really sent (the captures of the tests).

What bites: version 3 writes "" where 2.8 leaves a field out. A layer's push is an event too, told
from a manifest's by its media type alone. `tag` is there only where the manifest was put by tag;
children of an index and signatures come by digest. Deleting a manifest sends one event with its
digest and one for each of its tags, in any order. The registry retries for ever what is not
answered 2xx, and everything behind it waits, so a bad event is never an error of the hook.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from otaflux.hooks.hook import Hook
from otaflux.hooks.payload import (
    ABSENT,
    Example,
    Headers,
    Lenient,
    Part,
    Pushed,
    as_json,
    each,
    event,
    items,
    read,
)
from otaflux.model.event import Action, Noise

_CONTENT_TYPE = "application/vnd.docker.distribution.events."
_BLOB = "application/octet-stream"
_LIST_OR_NULL = (b"[", b"n")


class _Target(Lenient, frozen=True):
    media_type: str | None = msgspec.field(name="mediaType", default=None)
    digest: str | None = None
    repository: str | None = None
    tag: str | None = None


class _Event(Lenient, frozen=True):
    action: str
    target: _Target


class _Envelope(Lenient, frozen=True):
    events: msgspec.Raw = ABSENT


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_EVENT = msgspec.json.Decoder(_Event)


def recognises(hook: Hook) -> bool:
    """By its `events`, or by its content type or address, for an envelope may be `{}`."""
    if hook.headers.get("content-type", "").lower().startswith(_CONTENT_TYPE):
        return True
    if hook.keys.has("events"):
        return bytes(memoryview(hook.keys.events)[:1]) in _LIST_OR_NULL
    return hook.named == "distribution" and hook.is_empty


def parse(headers: Headers, payload: bytes) -> Iterator[Part]:
    """Pushes and deletes of manifests; blobs, mounts and pulls are noise."""
    return each(items(read(_ENVELOPE, payload).events), _parts)


def _parts(raw: msgspec.Raw) -> Iterator[Part]:
    """One event of the envelope."""
    said = read(_EVENT, raw)
    target = said.target
    repository = target.repository or ""
    match said.action:
        case "push" if target.media_type == _BLOB and not target.tag:
            yield Noise(repository, "a blob was pushed; its manifest comes last")
        case "push":
            yield event(Action.PUSH, repository, tag=target.tag, digest=target.digest)
        case "delete":
            yield event(Action.DELETE, repository, tag=target.tag, digest=target.digest)
        case other:
            yield Noise(repository, f"a {other} asks for nothing")


def example(pushed: Pushed) -> Example:
    """The push of a tag, as docker-registry 2.8 sends it."""
    body = {
        "events": [
            {
                "id": "11111111-2222-4333-8444-000000000001",
                "timestamp": pushed.at.isoformat(),
                "action": "push",
                "target": {
                    "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "size": 740,
                    "digest": pushed.digest,
                    "length": 740,
                    "repository": pushed.repository,
                    "url": f"https://registry.example/v2/{pushed.repository}/manifests/"
                    + pushed.digest,
                    "tag": pushed.tag,
                },
                "request": {"method": "PUT", "useragent": "otaflux hook-example"},
                "actor": {},
                "source": {},
            }
        ]
    }
    return Example({"Content-Type": f"{_CONTENT_TYPE}v1+json"}, as_json(body))
