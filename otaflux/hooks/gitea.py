"""Gitea and Forgejo: the webhook event "Packages".

Sources: `modules/structs/{hook,package}.go`, `services/webhook/deliver.go` and
`routers/api/packages/container/manifest.go` of Gitea; `services/webhook/shared/payloader.go` of
Forgejo, which sends the same and headers of its own besides.

What bites: the headers of GitHub come along (`X-GitHub-Event`), so Gitea is asked first. `version`
is the tag or the digest, in lower case, as Gitea stores it (`createPackageAndVersion`) and lists
it: a tag's capitals are lost. Signature headers without a secret are there and empty. As a form,
the HMAC is over the JSON in it, not over the raw body.
"""

from __future__ import annotations

import msgspec

from otaflux.hooks.hook import GITEA_HEADERS, Hook
from otaflux.hooks.payload import (
    Example,
    Headers,
    Lenient,
    Part,
    Pushed,
    as_json,
    event,
    joined,
    read,
)
from otaflux.model.event import Action, Noise

_ACTIONS = {"created": Action.PUSH, "deleted": Action.DELETE}


class _Owner(Lenient, frozen=True):
    login: str | None = None
    username: str | None = None


class _Package(Lenient, frozen=True):
    owner: _Owner | None = None
    type: str | None = None
    name: str | None = None
    version: str | None = None


class _Body(Lenient, frozen=True):
    action: str | None = None
    package: _Package | None = None


_BODY = msgspec.json.Decoder(_Body)


def recognises(hook: Hook) -> bool:
    """By one of its own event headers, else by a `package` that is not GitHub's."""
    if hook.is_gitea:
        return True
    if hook.headers.get("x-github-event"):
        return False
    return hook.keys.has("package", "action") and not hook.has_package_version


def parse(headers: Headers, payload: bytes) -> tuple[Part, ...]:
    """Container packages that were created or deleted; everything else is noise."""
    kind = next((headers[name] for name in GITEA_HEADERS if headers.get(name)), "package")
    if kind != "package":
        return (Noise("", f"Gitea's event '{kind}' asks for nothing"),)
    body = read(_BODY, payload)
    package = body.package or _Package()
    owner = package.owner or _Owner()
    repository = joined(owner.login or owner.username, package.name)
    if package.type != "container":
        return (Noise(repository.lower(), "this package is no container"),)
    action = _ACTIONS.get(body.action or "")
    if action is None:
        return (Noise(repository.lower(), f"the package was {body.action}, asking for nothing"),)
    return (event(action, repository, tag=package.version),)


def example(pushed: Pushed) -> Example:
    """A container package that was created."""
    owner, _, name = pushed.repository.partition("/")
    if not name:
        owner, name = "", owner
    body = {
        "action": "created",
        "repository": None,
        "package": {
            "id": 55,
            "owner": {"id": 3, "login": owner, "username": owner},
            "repository": None,
            "type": "container",
            "name": name,
            "version": pushed.tag.lower(),
            "created_at": pushed.at.isoformat(timespec="seconds"),
        },
    }
    headers = {
        "Content-Type": "application/json",
        "X-Gitea-Event": "package",
        "X-Gitea-Event-Type": "package",
        "X-Gitea-Delivery": "e1d9a7c4-3b52-4f08-8a6d-91c0b7f2d401",
        "X-GitHub-Event": "package",
    }
    return Example(headers, as_json(body))
