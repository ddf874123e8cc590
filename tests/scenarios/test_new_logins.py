"""Other credentials are tried at once, also by devices that were refused and wait."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest
from fake_registry import FakeRegistry
from live_log import logged
from programs import server

SOON = 5.0  # seconds; a refused login is not tried again for ten


def file_of(registry: FakeRegistry, password: str) -> str:
    """A credentials file as podman writes it."""
    auth = base64.b64encode(f"robot:{password}".encode()).decode()
    return json.dumps({"auths": {registry.url.removeprefix("http://"): {"auth": auth}}})


@pytest.mark.parametrize("where", ["REGISTRY_PASSWORD_FILE", "REGISTRY_AUTH_FILE"])
async def test_a_password_that_was_mended_counts_within_seconds(tmp_path: Path, where: str) -> None:
    """Nobody waits out what the wrong one earned."""
    async with FakeRegistry(auth="basic") as registry:
        for device in ("lamp", "pump"):
            registry.content.put(f"acme/{device}", "1.0.0", layers=[b"x"])
        path = tmp_path / "secret"

        def write(password: str) -> None:
            of_file = where == "REGISTRY_AUTH_FILE"
            path.write_text(file_of(registry, password) if of_file else password)

        write("wrong")
        settings = {
            "REGISTRY_URL": registry.url,
            "REPOSITORY_PREFIX": "acme",
            "DEVICES": "lamp pump",
            "RECHECK_INTERVAL": "3600",
            where: str(path),
        }
        if where == "REGISTRY_PASSWORD_FILE":
            settings["REGISTRY_USERNAME"] = "robot"

        def run() -> None:
            with server(tmp_path, **settings) as running:
                for device in ("lamp", "pump"):
                    logged(running, "registry_failed", device=device)
                write("s3cret")
                for device in ("lamp", "pump"):
                    logged(running, "release_published", device=device, within=SOON)
                    running.told(device, "1.0.0", within=SOON)

        await asyncio.to_thread(run)
