"""A `Remote` for tests: pointed at a fake, with waits that pass fast."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fake_registry import FakeRegistry

from otaflux.model.names import Device, Namespace
from otaflux.registry.remote.credentials import Credentials
from otaflux.registry.remote.endpoint import Endpoint
from otaflux.registry.remote.retries import RetryPolicy
from otaflux.registry.remote.source import Remote
from otaflux.secret import Fixed, Secret

FAST = RetryPolicy(first=0.001, within=2.0)
SENSOR = Device("sensor")
ACME = Namespace("acme")


@asynccontextmanager
async def remote(
    registry: FakeRegistry | None,
    *,
    login: tuple[str, str] | None = None,
    files: Sequence[Path] = (),
    namespace: Namespace = ACME,
    policy: RetryPolicy = FAST,
    url: str | None = None,
    **more: Any,
) -> AsyncIterator[Remote]:
    """A client of the fake, or of what is at `url`; `login` is a name and password that are set."""
    endpoint = Endpoint.parse(url or (registry.url if registry else ""))
    credentials = Credentials(
        endpoint,
        username=login[0] if login else None,
        password=Fixed(Secret(login[1])) if login else None,
        files=files,
    )
    async with Remote(endpoint, namespace, credentials, policy=policy, **more) as client:
        yield client
