"""What repositories do that somebody else fills: too much to decode, to sort out, to pull."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress

from aiohttp import web
from fake_content import Child, Layer
from fake_faults import Drip, Fault, Reply, Status
from fake_registry import Seen

from parts.clients import HOLD, connected
from parts.siege import Siege

PACKED = "application/vnd.oci.image.layer.v1.tar+gzip"
UNUSABLE = Layer(b"\x1f\x8b" + b"no gzip, whatever it begins with " * 4, "", PACKED)


class Always(Fault):
    """The same reply, whatever would have been right."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Send it."""
        return self._reply.response()


async def hooked(siege: Siege, repositories: list[str], tag: str = "") -> None:
    """A signed hook for each repository: its owner pushed something."""
    for repository in repositories:
        reader, writer = await connected(siege)
        body = json.dumps({"repository": repository, "tag": tag or "1.0.0"}).encode()
        writer.write(
            b"POST /hooks/registry/generic HTTP/1.0\r\nAuthorization: Bearer bench\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        await reader.read()
        writer.close()


async def polled(siege: Siege, devices: list[str], *, at_once: int = 8) -> None:
    """A poll for each device."""
    places = asyncio.Semaphore(at_once)

    async def poll(device: str) -> None:
        async with places:
            with suppress(OSError, TimeoutError):
                reader, writer = await connected(siege)
                writer.write(b"GET /version?device=%s HTTP/1.0\r\n\r\n" % device.encode())
                await asyncio.wait_for(reader.read(), 30)
                writer.close()

    await asyncio.gather(*map(poll, devices))


async def many_annotations(siege: Siege) -> None:
    """A manifest of 4 MiB with 380,000 annotations under twenty tags, and an index of such."""
    content = siege.registry.content
    notes = {f"k{number}": "" for number in range(230_000)}
    first = content.put("noted", None, layers=[UNUSABLE], annotations=notes)
    for number in range(20):
        content.tag("noted", f"2.0.{number}", first)
    children = [
        Child(content.put("noted", None, layers=[b"%d" % number], annotations=notes))
        for number in range(4)
    ]
    content.put_index("noted/index", None, [])
    repository = content.repository("noted/index")
    repository.manifests.update(content.repository("noted").manifests)
    content.put_index("noted/index", "1.0.0", children)
    await hooked(siege, ["noted", "noted/index"])
    await asyncio.sleep(HOLD)


async def many_tags(siege: Siege) -> None:
    """Eight repositories of 100,000 version tags, none of which can be used."""
    registry = siege.registry
    names = [f"1.{at // 100}.{at % 100}-0.of.{at:012}" for at in range(100_000)]
    names += [f"0.{at // 100}.{at % 100}" for at in range(500)]
    body = json.dumps({"name": "many", "tags": names}, separators=(",", ":")).encode()
    listing = Always(Reply(200, body, {"Content-Type": "application/json"}))
    registry.fail("tags", listing, times=None, when=_of("many/"))
    repositories = [f"many/r{number}" for number in range(8)]
    bad = registry.content.put("many/r0", None, layers=[UNUSABLE])
    for repository in repositories:
        target = registry.content.repository(repository)
        target.manifests.update(registry.content.repository("many/r0").manifests)
        target.blobs.update(registry.content.repository("many/r0").blobs)
        for name in names[-500:]:
            target.tags[name] = str(bad)
    siege.remarks.append(f"each listing has {len(body) / (1 << 20):.1f} MiB")
    await hooked(siege, repositories)
    await asyncio.sleep(2 * HOLD)
    registry.heal()
    registry.fail("tags", Status(404, code="NAME_UNKNOWN"), times=None, when=_of("many/"))


async def unusable_tags(siege: Siege) -> None:
    """Eight repositories of 3,000 unusable version tags; a ninth one's release is wanted."""
    content = siege.registry.content
    repositories = [f"unusable/r{number}" for number in range(8)]
    for repository in repositories:
        digest = content.put(repository, None, layers=[UNUSABLE])
        for number in range(3000):
            content.tag(repository, f"1.{number // 100}.{number % 100}", digest)
    await hooked(siege, repositories, "1.29.99")
    await asyncio.sleep(2.0)
    content.put("ninth", "1.0.0", layers=[b"a release"])
    loop = asyncio.get_running_loop()
    began, answer = loop.time(), b""
    while b" 200 " not in answer[:20] and loop.time() - began < 90:
        reader, writer = await connected(siege)
        writer.write(b"GET /version?device=ninth HTTP/1.0\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await asyncio.sleep(0.1)
    siege.remarks.append(f"a ninth device was told after {loop.time() - began:.1f} s")
    await asyncio.sleep(HOLD)
    refused = sum('"release_refused"' in line for line in siege.log())
    siege.remarks.append(f"{refused} lines of unusable releases")


async def container_images(siege: Siege) -> None:
    """A repository of container images is polled for, again and again."""
    content = siege.registry.content
    for number in range(40):
        layers = [Layer(b"\x1f\x8b" + os.urandom(1 << 20), "", PACKED)]
        content.put("library/nginx", f"1.27.{number}", layers=layers)
    before = len(siege.registry.requests)
    for _ in range(4):
        await polled(siege, ["library/nginx"])
        await asyncio.sleep(HOLD / 4)
    seen = [s for s in siege.registry.requests[before:] if s.repository == "library/nginx"]
    blobs = sum(request.kind == "blob" for request in seen)
    siege.remarks.append(f"{len(seen)} requests, {blobs} of them for blobs")


async def strangers_firmware(siege: Siege) -> None:
    """Sixty polls for repositories of a stranger's, 8 MiB each."""
    for number in range(60):
        siege.registry.content.put(f"stranger/r{number}", "1.0.0", layers=[os.urandom(8 << 20)])
    await polled(siege, [f"stranger/r{number}" for number in range(60)])
    await asyncio.sleep(HOLD / 2)
    siege.remarks.append(f"{siege.data() >> 20} MiB of firmware on the disk")


async def refused_names(siege: Siege) -> None:
    """Polls of what the login may not read, which the registry answers with 401."""
    siege.registry.fail("tags", Status(401, code="UNAUTHORIZED"), times=None, when=_of("other/"))
    for round_ in range(6):
        await polled(siege, [f"other/r{round_}-{number}" for number in range(10)])
        await asyncio.sleep(HOLD / 6)


async def slow_blobs(siege: Siege) -> None:
    """Three blobs that come at 4 KiB a second."""
    registry = siege.registry
    registry.fail("blob", Drip(size=4096, pause=1.0), times=None, when=_of("slow/"))
    repositories = [f"slow/r{number}" for number in range(3)]
    for repository in repositories:
        registry.content.put(repository, "1.0.0", layers=[os.urandom(4 << 20)])
    await hooked(siege, repositories)
    await asyncio.sleep(2 * HOLD)
    registry.heal()


def _of(prefix: str):
    def is_of(seen: Seen) -> bool:
        return seen.repository.startswith(prefix)

    return is_of
