"""Hooks as registries send them, whole: address, headers with a proof, body. Some are noise."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from otaflux import hooks
from otaflux.model.artifact import Digest
from otaflux.model.names import Device, Tag
from simulation.program import PREFIX, SECRET

ADDRESS = "/hooks/registry"
NOBODYS = Digest("sha256", "5" * 64)
AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Hook:
    """One request, and what it is answered with; `deletion` is where it tells of one."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int = 202  # 0 where it depends
    deletion: Device | None = None

    def __str__(self) -> str:
        return f"{self.path} {self.body[:300]!r}"


def _proven(path: str, body: bytes, status: int = 202, **headers: str) -> Hook:
    return Hook(path, {"Authorization": f"Bearer {SECRET}", **headers}, body, status)


def pushed(
    device: Device, tag: Tag, digest: Digest, chance: random.Random, *, wanted: bool
) -> Hook:
    """A push of a tag, in the words of any registry; `wanted` if devices may hear of it."""
    source, example = chance.choice(list(hooks.EXAMPLES.values()))
    sent = example(hooks.Pushed(f"{PREFIX}/{device}", tag.text, str(digest), AT))
    path = chance.choice([ADDRESS, f"{ADDRESS}/{source.name}"])
    return _proven(path, sent.body, 202 if wanted else 200, **sent.headers)


def deleted(
    device: Device, tag: Tag, digest: Digest, chance: random.Random, *, wanted: bool
) -> Hook:
    """A deletion, which names the tag, the digest, or both; by digest each one is a reason."""
    repository = f"{PREFIX}/{device}"
    gone: dict[str, str] = chance.choice(
        [{"tag": tag.text}, {"digest": str(digest)}, {"tag": tag.text, "digest": str(digest)}]
    )
    if "digest" in gone and chance.random() < 0.5:
        target = {"repository": repository, "mediaType": "x", **gone}
        body = json.dumps({"events": [{"action": "delete", "target": target}]})
    else:
        body = json.dumps({"action": "delete", "repository": repository, **gone})
    hook = _proven(ADDRESS, body.encode(), 202 if wanted or "digest" in gone else 200)
    return replace(hook, deletion=device)


def attached(device: Device, subject: Digest, digest: Digest, chance: random.Random) -> Hook:
    """A push of a signature, by digest or of the tag that lists it: a reason where awaited."""
    named = {"digest": str(digest)} if chance.random() < 0.5 else {"tag": f"sha256-{subject.hex}"}
    body = json.dumps({"repository": f"{PREFIX}/{device}", **named})
    return _proven(ADDRESS, body.encode(), 0)


def detached(device: Device, subject: Digest, chance: random.Random) -> Hook:
    """A deletion of a signature: its digest, the tag that lists it, or nothing said of it."""
    way = chance.randrange(3)
    if way == 0:
        return removed(device)
    named = {"digest": str(NOBODYS)} if way == 1 else {"tag": f"sha256-{subject.hex}"}
    body = json.dumps({"action": "delete", "repository": f"{PREFIX}/{device}", **named})
    hook = _proven(ADDRESS, body.encode())
    return replace(hook, deletion=device) if way == 1 else hook


def somewhere(device: Device) -> Hook:
    """Something changed, and the hook does not say what."""
    return _proven(ADDRESS, json.dumps({"repository": f"{PREFIX}/{device}"}).encode())


def removed(device: Device) -> Hook:
    """Something was deleted, and the hook does not say what."""
    body = json.dumps({"action": "delete", "repository": f"{PREFIX}/{device}"})
    return replace(_proven(ADDRESS, body.encode()), deletion=device)


def noise(device: Device, tag: Tag, chance: random.Random) -> Hook:
    """A hook that asks for nothing, or that nobody believes."""
    repository = f"{PREFIX}/{device}"
    pull = {"action": "pull", "target": {"repository": repository, "tag": tag.text}}
    push = {"repository": repository, "tag": tag.text}
    body = json.dumps(push).encode()
    return chance.choice(
        [
            Hook(ADDRESS, {"Authorization": "Bearer another"}, body, 401),
            Hook(ADDRESS, {"X-Hub-Signature-256": "sha256=" + "0" * 64}, body, 401),
            Hook(ADDRESS, {"Authorization": SECRET}, json.dumps({"events": [pull]}).encode(), 200),
            Hook(ADDRESS, {"X-Webhook-Secret": SECRET}, b'{"repository": "else/where"}', 200),
            Hook(ADDRESS, {"X-Webhook-Secret": SECRET}, chance.randbytes(20), 400),
        ]
    )
