"""Quay and quay.io: the notification "Push to Repository" as "Webhook POST".

Sources: `notifications/__init__.py`, `notificationevent.py` and `notificationmethod.py` of Quay.

What bites: there is no type, no digest and no header; what was pushed is in `updated_tags`, one or
several, a list or (long ago) an object by tag. Quay's other notifications have the same keys
without `updated_tags`; those about the quota of a namespace (`endpoints/api/
namespacenotification.py`, Quay of July 2026 and up) have `namespace` and `homepage` and no
`repository`. Three answers in a row that are not 2xx switch the notification off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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
    is_object,
    is_text,
    items,
    joined,
    read,
)
from otaflux.model.event import Action, Noise


class _Body(Lenient, frozen=True):
    repository: str | None = None
    namespace: str | None = None
    name: str | None = None
    updated_tags: msgspec.Raw = ABSENT


_BODY = msgspec.json.Decoder(_Body)
_TAG = msgspec.json.Decoder(str)
_BY_TAG = msgspec.json.Decoder(dict[str, msgspec.Raw])
_MAX_BY_TAG = 64 << 10  # bytes of the old object, which is built whole; it held a tag or a few


def recognises(hook: Hook) -> bool:
    """By `updated_tags` or `docker_url` beside a `repository` that is a text, or as a quota's."""
    keys = hook.keys
    if keys.has("repository"):
        return is_text(keys.repository) and (keys.has("updated_tags") or keys.has("docker_url"))
    return is_text(keys.namespace) and is_text(keys.homepage)


def parse(headers: Headers, payload: bytes) -> Iterable[Part]:
    """The push of each updated tag; builds, mirrors, vulnerabilities and quotas are noise."""
    body = read(_BODY, payload)
    repository = body.repository or joined(body.namespace, body.name)

    def one(tag: msgspec.Raw) -> Iterator[Part]:
        yield event(Action.PUSH, repository, tag=read(_TAG, tag))

    def named(tag: str) -> Iterator[Part]:
        yield event(Action.PUSH, repository, tag=tag)

    if body.repository is None:
        return (Noise(repository, "Quay's notification of a namespace asks for nothing"),)
    if is_object(body.updated_tags):
        if len(memoryview(body.updated_tags)) > _MAX_BY_TAG:
            return (Noise(repository, f"updated_tags has more than {_MAX_BY_TAG} bytes"),)
        by_tag = read(_BY_TAG, body.updated_tags)
        return each(by_tag, named, repository)
    tags = items(body.updated_tags)
    if not tags:
        return (Noise(repository, "a notification of Quay without updated_tags"),)
    return each(tags, one, repository)


def example(pushed: Pushed) -> Example:
    """The push of a tag."""
    namespace, _, name = pushed.repository.rpartition("/")
    body = {
        "repository": pushed.repository,
        "namespace": namespace,
        "name": name,
        "docker_url": f"quay.io/{pushed.repository}",
        "homepage": f"https://quay.io/repository/{pushed.repository}",
        "updated_tags": [pushed.tag],
    }
    return Example({"Content-Type": "application/json"}, as_json(body))
