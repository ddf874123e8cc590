"""Large firmware in several packings, and how it gets into a real registry."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import random
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from parts.programs import LOAD_CORE, shell

EMPTY = b"{}"
CONFIG = "application/vnd.oci.empty.v1+json"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
IMAGE_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


HEADER = 1024  # bytes of a file or a tar of it that are another each time


@dataclass(frozen=True, slots=True)
class Packing:
    """A title, how bytes are packed into it, and how a pipe undoes that, with which `tools`."""

    title: str
    pack: str = "cat"
    unpack: str = ""
    tools: str = ""
    is_image: bool = False  # a layer of a container image among others, without its title


PLAIN = Packing("firmware.bin")
TAR_ZST = Packing("firmware.tar.zst", "zstd -qc", "| zstd -dc | tar -xO", ", zstd, tar")
GZIP = Packing("firmware.bin.gz", "gzip -1c", "| gzip -dc", ", gzip")

IMAGE = Packing("firmware.tar.gz", "gzip -1c", "| gzip -dc | tar -xO", ", gzip, tar", is_image=True)


def write_firmware(path: Path, size: int) -> None:
    """Bytes that pack to about half, as firmware does."""
    chance = random.Random(1)
    words = [chance.randbytes(chance.randint(3, 24)) for _ in range(4000)]
    left = size
    with path.open("wb") as file:
        while left:
            part = b"".join(chance.choices(words, k=20_000)) + chance.randbytes(100_000)
            left -= file.write(part[:left])


class Packed:
    """Blobs of one large firmware in one packing, each with another beginning.

    Of zstd and gzip that is a frame or member of its own, so that packing takes no time each time.
    """

    def __init__(self, folder: Path, packing: Packing, size: int) -> None:
        self.path = folder / packing.title
        self._folder, self._packing = folder, packing
        source = folder / "whole"
        write_firmware(source, size)
        if "tar" in packing.unpack:
            shell("mv whole firmware.bin; tar -cf whole firmware.bin", folder, cores=LOAD_CORE)
        with source.open("rb") as file:
            self._head = file.read(HEADER)
        shell(f"tail -c +{HEADER + 1} whole | {packing.pack} > rest", folder, cores=LOAD_CORE)
        shell("rm -f whole firmware.bin", folder)

    def next(self, number: int) -> Path:
        """The blob of that number; it takes the place of the one before."""
        head = self._head[:-8] + number.to_bytes(8, "big")
        (self._folder / "head").write_bytes(head)
        line = f"{self._packing.pack} < head > {self.path.name}; cat rest >> {self.path.name}"
        shell(line, self._folder, cores=LOAD_CORE)
        return self.path


async def push(
    session: aiohttp.ClientSession, registry: str, repository: str, tag: str, path: Path
) -> str:
    """Push a file as oras does; the digest of its blob."""
    base = f"{registry}/v2/{repository}"
    with path.open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        size = file.tell()
        file.seek(0)
        await _upload(session, base, digest, file)
    empty = f"sha256:{hashlib.sha256(EMPTY).hexdigest()}"
    await _upload(session, base, empty, EMPTY)
    layer = {"mediaType": "application/octet-stream", "digest": digest, "size": size}
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/vnd.acme.firmware",
        "config": {"mediaType": CONFIG, "digest": empty, "size": len(EMPTY)},
        "layers": [layer | {"annotations": {"org.opencontainers.image.title": path.name}}],
    }
    headers = {"Content-Type": MANIFEST}
    body = json.dumps(document).encode()
    async with session.put(f"{base}/manifests/{tag}", data=body, headers=headers) as answer:
        answer.raise_for_status()
    return digest


async def push_image(
    session: aiohttp.ClientSession, registry: str, repository: str, tag: str, path: Path
) -> str:
    """Push a container image as a build makes one; the digest of the blob that has the firmware.

    `path` is the layer with the firmware. Below it lies a system of two thousand small files, above
    it a layer of settings, as the last lines of a Containerfile make them.
    """
    base = f"{registry}/v2/{repository}"
    config = json.dumps({"architecture": "arm64", "os": "linux", "rootfs": {"type": "layers"}})
    layers = []
    firmware = await asyncio.to_thread(path.read_bytes)
    for content in (_layer("usr/lib", 2000), firmware, _layer("etc", 40)):
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        await _upload(session, base, digest, content)
        layers.append({"mediaType": IMAGE_LAYER, "digest": digest, "size": len(content)})
    named = f"sha256:{hashlib.sha256(config.encode()).hexdigest()}"
    await _upload(session, base, named, config.encode())
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": IMAGE_CONFIG, "digest": named, "size": len(config)},
        "layers": layers,
    }
    headers = {"Content-Type": MANIFEST}
    body = json.dumps(document).encode()
    async with session.put(f"{base}/manifests/{tag}", data=body, headers=headers) as answer:
        answer.raise_for_status()
    return str(layers[1]["digest"])


def _layer(folder: str, count: int) -> bytes:
    """A layer with so many files of 4 KiB, which pack to half."""
    chance = random.Random(count)
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", compresslevel=1) as tar:
        for number in range(count):
            entry = tarfile.TarInfo(f"{folder}/file{number}")
            entry.size = 4096
            tar.addfile(entry, io.BytesIO(chance.randbytes(2048) + bytes(2048)))
    return made.getvalue()


async def _upload(session: aiohttp.ClientSession, base: str, digest: str, content: Any) -> None:
    async with session.post(f"{base}/blobs/uploads/") as answer:
        answer.raise_for_status()
        location = answer.headers["Location"]
    async with session.put(f"{location}&digest={digest}", data=content) as answer:
        answer.raise_for_status()
