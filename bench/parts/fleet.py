"""A folder of a server that knows very many devices: some real records, and copies of them.

A real server pulls a few releases from a fake registry, and so writes their records. Each further
device has a copy of one of these with its own name and its own manifest's digest, under a checksum
that fits, as docs and code of the catalog's files say. The registry is gone afterwards, so that a
server over this folder has nothing but it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from pathlib import Path

from fake_registry import FakeRegistry

from parts.server import answered, otaflux

PREFIX = "bench"
MODELS = 50  # devices with a record and firmware of their own
_FILE = re.compile(
    rb'(\{"format": 1, "checksum": "sha256:)([0-9a-f]{64})(", "record":\n)(.*)\}\s*', re.DOTALL
)
_MANIFEST = re.compile(rb'("manifest_digest": "sha256:)([0-9a-f]{64})')


def fleet(folder: Path, count: int) -> dict[str, str]:
    """A fleet in `folder`/data, `lamp` and `board-0` and on; the settings that go with it."""
    folder.mkdir(exist_ok=True)
    settings = asyncio.run(_models(folder))
    catalog = folder / "data" / "catalog"
    models = [path.read_bytes() for path in catalog.iterdir()]
    for number in range(count - len(models)):
        name = f"board-{number}"
        path = catalog / f"{hashlib.sha256(name.encode()).hexdigest()}.json"
        path.write_bytes(_copy(models[number % MODELS], name.encode()))
    return settings


async def _models(folder: Path) -> dict[str, str]:
    """The real ones."""
    names = ["lamp", *(f"model-{number}" for number in range(1, MODELS))]
    async with FakeRegistry() as registry:
        for number, name in enumerate(names):
            version = f"1.{number}.0"
            registry.content.put(f"{PREFIX}/{name}", version, layers=[b"firmware %d" % number])
        settings = {
            "REGISTRY_URL": registry.url,
            "REPOSITORY_PREFIX": PREFIX,
            "RECHECK_INTERVAL": "604800",
        }
        with otaflux(folder, settings) as server:
            for name in names:
                await asyncio.to_thread(answered, server.port, name)
    return settings


def _copy(model: bytes, name: bytes) -> bytes:
    found = _FILE.fullmatch(model)
    if found is None or hashlib.sha256(found[4]).hexdigest().encode() != found[2]:
        raise RuntimeError("records are written in another way than this knows")
    own = hashlib.sha256(name).hexdigest().encode()
    record = re.sub(rb'"device": "[^"]+"', b'"device": "%s"' % name, found[4], count=1)
    record = _MANIFEST.sub(rb"\g<1>" + own, record)
    checksum = hashlib.sha256(record).hexdigest().encode()
    return found[1] + checksum + found[3] + record + b"}"
