"""The bodies and headers of hooks that lie in tests/payloads and tests/captures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from otaflux import hooks
from otaflux.model.event import HookEvent, Noise

HERE = Path(__file__).parent.parent
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Sent:
    """One hook as it was sent; header names are in lower case, as parsers get them."""

    name: str
    headers: dict[str, str]
    body: bytes

    @property
    def secret(self) -> str:
        """The secret that signed it, for those with an HMAC."""
        return self.headers["x-test-secret-is"]


def payload(name: str) -> Sent:
    """A file of tests/payloads."""
    headers = json.loads((HERE / "payloads" / "_headers.json").read_text())[name]
    body = (HERE / "payloads" / name).read_bytes()
    return Sent(name, {key.lower(): value for key, value in headers.items()}, body)


def payloads() -> list[Sent]:
    """All files of tests/payloads."""
    names = (path.name for path in (HERE / "payloads").glob("*.json"))
    return [payload(name) for name in sorted(names) if not name.startswith("_")]


def captures() -> list[Sent]:
    """All files of tests/captures, in the order in which they were sent."""
    paths = (HERE / "captures").glob("*.json")
    ordered = sorted(paths, key=lambda path: int(path.name.partition("-")[0]))
    return [_capture(path) for path in ordered]


def _capture(path: Path) -> Sent:
    held = json.loads(path.read_text())
    headers = {key.lower(): value for key, value in held["headers"]}
    return Sent(path.name, headers, held["body_text"].encode())


def said(
    body: object, source: str | None = None, headers: dict[str, str] = JSON
) -> tuple[HookEvent | Noise, ...]:
    """The parts of a hook with this JSON."""
    return hooks.parse(headers, json.dumps(body).encode(), source).parts


def changed(file: str, *keys: str | int, to: object) -> object:
    """A payload's JSON with one value replaced."""
    body = json.loads(payload(file).body)
    inner = body
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to
    return body
