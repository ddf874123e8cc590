"""Two servers, one registry, one broker: what one hears of reaches both, whatever goes away.

Nothing is checked again by the clock within the test, so what a replica knows came by a hook of its
own, through the broker, or by the look at its start.
"""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest
from fake_registry import FakeRegistry
from mosquitto import mosquitto
from mqtt_client import onlooker
from programs import Server, server
from waiting import until

pytestmark = pytest.mark.real("mosquitto")

SECRET = "hook-secret-of-replicas"


def hook(replica: Server, tag: str) -> None:
    """A hook of the registry comes to one replica."""
    body = json.dumps({"repository": "acme/lamp", "tag": tag}).encode()
    assert replica.hook(body, secret=SECRET).status == 202


def looks(registry: FakeRegistry) -> int:
    """How often the registry was asked for the device's tags."""
    return len([seen for seen in registry.seen("tags") if seen.repository == "acme/lamp"])


def said(replica: Server, event: str) -> list[dict[str, object]]:
    """The lines of one event in its log."""
    return [line for line in replica.log() if line["event"] == event]


async def test_two_replicas_behave_as_one(tmp_path: Path) -> None:
    """One hook makes both current, and nothing loops; broker and replica may go and come back."""
    (tmp_path / "broker").mkdir()
    with mosquitto(tmp_path / "broker") as broker:
        async with FakeRegistry() as registry:
            settings = {
                "REGISTRY_URL": registry.url,
                "REPOSITORY_PREFIX": "acme",
                "RECHECK_INTERVAL": "3600",
                "WEBHOOK_SECRET": SECRET,
                "MQTT_URL": broker.url,
                "MQTT_TOPIC": "home/ota",
                "PUBLIC_URL": "https://ota.example",
                "DEVICES": "lamp",
            }
            registry.content.put("acme/lamp", "1.0.0", layers=[b"one"])
            folders = [tmp_path / name for name in ("one", "other")]
            for folder in folders:
                folder.mkdir()

            def run() -> None:
                with server(folders[0], **settings) as one, server(folders[1], **settings) as other:
                    _as_one(one, other)

            def _as_one(one: Server, other: Server) -> None:
                for replica in (one, other):
                    replica.told("lamp", "1.0.0")
                    _wait(lambda replica=replica: bool(said(replica, "broker_connected")))
                before = looks(registry)
                registry.content.put("acme/lamp", "1.1.0", layers=[b"two"])
                hook(one, "1.1.0")
                for replica in (one, other):
                    replica.told("lamp", "1.1.0")
                assert looks(registry) == before + 2, "each looks once, and no look causes another"
                assert [line["device"] for line in said(other, "hook_heard")] == ["lamp"]
                assert said(one, "hook_heard") == []

                broker.kill()
                registry.content.put("acme/lamp", "1.2.0", layers=[b"three"])
                hook(one, "1.2.0")
                one.told("lamp", "1.2.0")
                assert other.get("/version?device=lamp").body.startswith(b"1.1.0")
                broker.start()
                other.told("lamp", "1.2.0")

                other.stop(signal.SIGKILL)
                registry.content.put("acme/lamp", "1.3.0", layers=[b"four"])
                hook(one, "1.3.0")
                one.told("lamp", "1.3.0")
                other.start()
                other.told("lamp", "1.3.0")

                # What waits at the end is sent before it.
                registry.content.put("acme/lamp", "1.4.0", layers=[b"five"])
                hook(one, "1.4.0")
                one.told("lamp", "1.4.0")
                assert one.stop() == 0
                other.told("lamp", "1.4.0")
                assert looks(registry) <= before + 12, "each hook and start: one or two"

            await asyncio.to_thread(run)
        async with onlooker(broker.url, "home/ota/#") as seen:
            await seen.until(lambda: bool(seen.all))
            assert seen.last["home/ota/lamp"]["version"] == "1.4.0"
    logs = "".join((folder / "log").read_text() for folder in folders)
    assert SECRET not in logs


def _wait(holds: object) -> None:
    asyncio.run(until(holds, 20.0))
