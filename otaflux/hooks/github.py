"""GitHub packages (ghcr.io, and the container registry of GitHub Enterprise Server).

The events `package` and `registry_package` have the same body under a different key; who subscribes
to both gets two hooks. Sources: the payload examples of octokit/webhooks (`registry_package`,
`package`: `published.docker`), and GitHub's "Webhook events and payloads".

What bites: the owner keeps its capitals, while repositories have none. `tag.name` is "" for pushes
by digest. `namespace` may hold the package's name already, so the name is taken from `package_url`
(`ghcr.io/Owner/name:tag`, read as text, never followed). The first hook is a `ping`.
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
    joined,
    read,
)
from otaflux.model.event import Action, Noise

_PACKAGE_EVENTS = {"package", "registry_package"}
_PUSHES = {"published", "updated"}
_CONTAINER = {"container", "docker"}


class _Tag(Lenient, frozen=True):
    name: str | None = None
    digest: str | None = None


class _Container(Lenient, frozen=True):
    tag: _Tag | None = None


class _Version(Lenient, frozen=True):
    version: str | None = None
    container_metadata: _Container | None = None
    package_url: str | None = None


class _Owner(Lenient, frozen=True):
    login: str | None = None


class _Package(Lenient, frozen=True):
    name: str | None = None
    namespace: str | None = None
    package_type: str | None = None
    ecosystem: str | None = None
    owner: _Owner | None = None
    package_version: _Version | None = None


class _Body(Lenient, frozen=True):
    action: str | None = None
    package: _Package | None = None
    registry_package: _Package | None = None


_BODY = msgspec.json.Decoder(_Body)


def recognises(hook: Hook) -> bool:
    """By the header `X-GitHub-Event`, unless it is Gitea that sends it, else by its keys."""
    if hook.is_gitea:
        return False
    if hook.headers.get("x-github-event"):
        return True
    if hook.keys.has("registry_package") or hook.keys.has("zen", "hook_id"):
        return True
    return hook.keys.has("package", "action") and hook.has_package_version


def parse(headers: Headers, payload: bytes) -> tuple[Part, ...]:
    """Published and updated container packages; pings and all other events are noise."""
    kind = headers.get("x-github-event", "")
    if kind == "ping":
        return (Noise("", "a ping: the hook is set up"),)
    if kind and kind not in _PACKAGE_EVENTS:
        return (Noise("", f"GitHub's event '{kind}' asks for nothing"),)
    body = read(_BODY, payload)
    package = body.registry_package or body.package
    if package is None:
        return (Noise("", "no package in it: a ping, or another event"),)
    return (_part(body.action or "", package),)


def _part(action: str, package: _Package) -> Part:
    version = package.package_version or _Version()
    repository, url_tag = _from_url(version.package_url or "")
    if not repository:
        owner = (package.owner or _Owner()).login or package.namespace
        repository = joined(owner, package.name)
    kinds = {(package.package_type or "").lower(), (package.ecosystem or "").lower()} - {""}
    is_container = bool(kinds & _CONTAINER) if kinds else version.container_metadata is not None
    if not is_container:
        return Noise(repository.lower(), "this package is no container")
    if action not in _PUSHES:
        return Noise(repository.lower(), f"the package was {action}, which asks for nothing")
    tag = (version.container_metadata or _Container()).tag or _Tag(name=url_tag)
    return event(Action.PUSH, repository, tag=tag.name, digest=version.version or tag.digest)


def _from_url(url: str) -> tuple[str, str]:
    """Repository and tag of `ghcr.io/Owner/name:tag`; empty where it is nothing of the kind.

    Of `ghcr.io/Owner/name@sha256:…` it is the repository alone.
    """
    _, _, path = url.removeprefix("https://").partition("/")
    named, _, digest = path.partition("@")
    repository, _, tag = named.partition(":")
    return repository, "" if digest else tag


def example(pushed: Pushed) -> Example:
    """A published container package."""
    owner, _, name = pushed.repository.rpartition("/")
    body = {
        "action": "published",
        "registry_package": {
            "name": name,
            "namespace": owner,
            "ecosystem": "CONTAINER",
            "package_type": "CONTAINER",
            "owner": {"login": owner},
            "package_version": {
                "version": pushed.digest,
                "name": pushed.digest,
                "container_metadata": {"tag": {"name": pushed.tag, "digest": pushed.digest}},
                "package_url": f"ghcr.io/{pushed.repository}:{pushed.tag}",
            },
        },
    }
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "registry_package",
        "X-GitHub-Delivery": "b0a1c2d3-e4f5-11f1-9a0b-1c2d3e4f5a6b",
    }
    return Example(headers, as_json(body))
