"""Docker Hub, and Alibaba Cloud's registry, which sends nearly the same.

Sources: Docker's "Docker Hub webhooks" and the trigger in keel's `pkg/http/`; known from
documentation only, for Docker Hub's code is not public.

What bites: no digest, no header of any kind, so the secret can only be in the address. Times come
as integers, as floats or as `1.4e+09`; they are not read. `callback_url` is never called.
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
    joined,
    read,
)
from otaflux.model.event import Action


class _Push(Lenient, frozen=True):
    tag: str | None = None
    digest: str | None = None


class _Repository(Lenient, frozen=True):
    repo_name: str | None = None
    repo_full_name: str | None = None
    namespace: str | None = None
    name: str | None = None


class _Body(Lenient, frozen=True):
    push_data: _Push
    repository: _Repository


_BODY = msgspec.json.Decoder(_Body)


def recognises(hook: Hook) -> bool:
    """By `push_data` and `repository`, both objects."""
    keys = hook.keys
    return is_object(keys.push_data) and is_object(keys.repository)


def parse(headers: Headers, payload: bytes) -> tuple[Part, ...]:
    """The push of a tag; Docker Hub sends nothing else."""
    body = read(_BODY, payload)
    named = body.repository
    repository = named.repo_name or named.repo_full_name or joined(named.namespace, named.name)
    return (event(Action.PUSH, repository, tag=body.push_data.tag, digest=body.push_data.digest),)


def example(pushed: Pushed) -> Example:
    """The push of a tag."""
    namespace, _, name = pushed.repository.rpartition("/")
    body = {
        "callback_url": "https://registry.hub.docker.com/u/example/hook/1/",
        "push_data": {
            "images": [],
            "pushed_at": int(pushed.at.timestamp()),
            "pusher": "ci",
            "tag": pushed.tag,
        },
        "repository": {
            "name": name,
            "namespace": namespace,
            "owner": namespace,
            "repo_name": pushed.repository,
            "status": "Active",
        },
    }
    return Example({"Content-Type": "application/json"}, as_json(body))
