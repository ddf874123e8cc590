"""Manifests as large as registries take them: bounded memory, and polls go on."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from fake_content import Child, Content
from fake_registry import FakeRegistry
from programs import Server, server

SECRET = "s3cret"
MEMORY = 48  # MiB over idle, all runs together
SIZE = 4 * 1024 * 1024 - 4096
PATIENCE = 60.0  # seconds


def memory(running: Server, field: str) -> float:
    """MiB that the server has (`VmRSS`), or had at most (`VmHWM`)."""
    assert running.process is not None
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith(field)]
    return int(line.split()[1]) / 1024


def crowded(document: dict[str, Any], mark: str) -> bytes:
    """The document with as many annotations as fit."""
    notes = {f"{mark}{number:06}": "" for number in range(SIZE // 17)}
    document = {**document, "annotations": notes | document.get("annotations", {})}
    body = json.dumps(document, separators=(",", ":")).encode()
    assert 3 << 20 < len(body) < 4 << 20
    return body


def unfit(content: Content, name: str, mark: str) -> bytes:
    """A manifest that holds two candidates, among all its annotations."""
    digest = content.put(name, None, layers=[b"a", b"b"])
    document = json.loads(content.repository(name).manifests[str(digest)].body)
    for at, layer in enumerate(document["layers"]):
        layer["annotations"] = {"org.opencontainers.image.title": f"image{at}.bin"}
    return crowded(document, mark)


def many_tags(content: Content) -> None:
    """Three repositories of three such manifests each, and a good one below them."""
    for device in "abc":
        content.put(f"acme/{device}", "0.1.0", layers=[b"good"])
        for number in range(3):
            body = unfit(content, f"acme/{device}", f"{device}{number}")
            content.put_raw(f"acme/{device}", f"1.{number}.0", body)


def many_children(content: Content) -> None:
    """Two indexes of five such children; none of them is firmware that can be told."""
    for device in "ab":
        name = f"acme/{device}"
        content.put(name, "0.1.0", layers=[b"good"])
        children = [
            Child(content.put_raw(name, None, unfit(content, name, f"{device}{number:02}")))
            for number in range(5)
        ]
        content.put_index(name, "1.0.0", children)


@pytest.mark.parametrize("fill", [many_tags, many_children])
async def test_large_manifests_stay_within_the_bound(tmp_path: Path, fill: Any) -> None:
    """Annotations that nobody reads cost no memory, and known devices are answered meanwhile."""
    async with FakeRegistry() as registry:
        registry.content.put("acme/known", "1.0.0", layers=[b"known"])
        settings = {
            "REGISTRY_URL": registry.url,
            "REPOSITORY_PREFIX": "acme",
            "DEVICES": "known",
            "WEBHOOK_SECRET": SECRET,
            "RECHECK_INTERVAL": "3600",
        }

        def run() -> tuple[float, list[float]]:
            with server(tmp_path, fresh=True, **settings) as running:
                running.told("known", "1.0.0")
                assert running.process is not None
                idle = memory(running, "VmRSS")
                Path(f"/proc/{running.process.pid}/clear_refs").write_text("5")
                fill(registry.content)
                devices = sorted(set(registry.content.repositories) - {"acme/known"})
                for name in devices:
                    hook = json.dumps({"repository": name}).encode()
                    assert running.hook(hook, secret=SECRET).status == 202
                waits, left = [], {name.removeprefix("acme/") for name in devices}
                deadline = time.monotonic() + PATIENCE
                while left:
                    assert time.monotonic() < deadline, (left, running.log())
                    began = time.monotonic()
                    assert running.get("/version?device=known").status == 200
                    waits.append(time.monotonic() - began)
                    left -= {
                        str(line["device"])
                        for line in running.log()
                        if line["event"] == "release_published"
                    }
                return memory(running, "VmHWM") - idle, waits

        grown, waits = await asyncio.to_thread(run)
        waits.sort()
        p99 = waits[int(len(waits) * 0.99)] * 1000
        print(f"{grown:.1f} MiB over idle, polls {p99:.1f} ms at p99")  # noqa: T201 - with -s
        assert grown <= MEMORY
