"""Quay and quay.io: the notification "Push to Repository" as "Webhook POST".

Sources: `notifications/__init__.py`, `notificationevent.py` and `notificationmethod.py` of Quay.

What bites: there is no type, no digest and no header; what was pushed is in `updated_tags`, one or
several, a list or (long ago) an object by tag. Quay's other notifications have the same keys
without `updated_tags`. Three answers in a row that are not 2xx switch the notification off.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from otaflux.hooks.hook import Hook
from otaflux.hooks.payload import (
    Example,
    Headers,
    Lenient,
    Part,
    Pushed,
    as_json,
    each,
    event,
    is_text,
    joined,
    read,
)
from otaflux.model.event import Action, Noise


class _Body(Lenient, frozen=True):
    repository: str | None = None
    namespace: str | None = None
    name: str | None = None
    updated_tags: list[msgspec.Raw] | dict[str, msgspec.Raw] | None = None


_BODY = msgspec.json.Decoder(_Body)
_TAG = msgspec.json.Decoder(str)


def recognises(hook: Hook) -> bool:
    """By `updated_tags`, or by `docker_url`, beside a `repository` that is a text."""
    keys = hook.keys
    return is_text(keys.repository) and (keys.has("updated_tags") or keys.has("docker_url"))


def parse(headers: Headers, payload: bytes) -> tuple[Part, ...]:
    """The push of each updated tag; builds, mirrors and vulnerabilities are noise."""
    body = read(_BODY, payload)
    repository = body.repository or joined(body.namespace, body.name)

    def one(tag: msgspec.Raw) -> Iterator[Part]:
        yield event(Action.PUSH, repository, tag=read(_TAG, tag))

    def named(tag: str) -> Iterator[Part]:
        yield event(Action.PUSH, repository, tag=tag)

    match body.updated_tags:
        case None:
            return (Noise(repository, "a notification of Quay without updated_tags"),)
        case dict() as by_tag:
            return each(list(by_tag), named)
        case tags:
            return each(tags, one)


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
