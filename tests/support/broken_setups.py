"""Set-ups that are broken, one function for each way: what it needs runs, and its settings come.

async with AsyncExitStack() as stack:
settings = await registry_away(stack, tmp_path)
"""

from __future__ import annotations

import asyncio
import io
import ssl
import tarfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fake_faults import Status
from fake_harbor import FakeHarbor
from fake_registry import FakeRegistry
from images import mcuboot
from mounts import mounted
from private_keys import EC
from programs import Server, free_port

LOGIN = {"REGISTRY_USERNAME": "robot", "REGISTRY_PASSWORD": "s3cret"}
WRONG = {"REGISTRY_USERNAME": "robot", "REGISTRY_PASSWORD": "hunter2"}
SECRET = {"WEBHOOK_SECRET": "s3cret"}

Broken = Callable[[AsyncExitStack, Path], Awaitable[Mapping[str, str]]]


def lamp(registry: FakeRegistry, *layers: bytes, tag: str = "1.0.0") -> dict[str, str]:
    """A registry with a release of the lamp; answers what names it."""
    registry.content.put("acme/lamp", tag, layers=list(layers) or [b"firmware"])
    return {"REGISTRY_URL": registry.url, "REPOSITORY_PREFIX": "acme"}


async def wrong_secret(stack: AsyncExitStack, folder: Path) -> Mapping[str, str]:
    """The registry has another secret than the server."""
    registry = await stack.enter_async_context(FakeRegistry())
    return lamp(registry) | SECRET


async def wrong_password(stack: AsyncExitStack, folder: Path) -> Mapping[str, str]:
    """Nothing is known here yet."""
    registry = await stack.enter_async_context(FakeRegistry(auth="basic"))
    return lamp(registry) | WRONG


async def wrong_password_later(stack: AsyncExitStack, folder: Path) -> Mapping[str, str]:
    """The folder is full already: the password was right once."""
    registry = await stack.enter_async_context(FakeRegistry(auth="basic"))
    settings = lamp(registry)

    def fill() -> None:
        before = Server(folder, settings | LOGIN)
        before.start()
        before.told("lamp", "1.0.0")
        before.stop()

    await asyncio.to_thread(fill)
    (folder / "log").unlink()
    return settings | WRONG


async def registry_away(stack: AsyncExitStack, folder: Path) -> Mapping[str, str]:
    """Nobody listens there."""
    return {"REGISTRY_URL": f"http://127.0.0.1:{free_port()}", "DEVICES": "lamp"}


async def blobs_blocked(stack: AsyncExitStack, folder: Path) -> Mapping[str, str]:
    """The host that the registry sends blobs from cannot be reached."""
    registry = await stack.enter_async_context(FakeRegistry(redirect_blobs=True))
    settings = lamp(registry)
    await registry.stop("storage")
    return settings


async def no_such_prefix(stack: AsyncExitStack, folder: Path) -> Mapping[str, str]:
    """Nothing lies under the prefix."""
    registry = await stack.enter_async_context(FakeRegistry())
    return lamp(registry) | {"REPOSITORY_PREFIX": "acne"}


async def no_such_project(stack: AsyncExitStack, folder: Path) -> Mapping[str, str]:
    """Harbor's project is another."""
    harbor = await stack.enter_async_context(FakeHarbor(projects=("other",)))
    url = {"REGISTRY_URL": harbor.url, "REPOSITORY_PREFIX": "acme", "DEVICES": "lamp"}
    return url | LOGIN


async def path_in_url(stack: AsyncExitStack, folder: Path) -> Mapping[str, str]:
    """The prefix stands in the address."""
    registry = await stack.enter_async_context(FakeRegistry())
    lamp(registry)
    return {"REGISTRY_URL": f"{registry.url}/acme", "DEVICES": "lamp"}


async def path_of_ghcr(stack: AsyncExitStack, folder: Path) -> Mapping[str, str]:
    """The same, for a registry of which it is known that its repositories begin so."""
    return {"REGISTRY_URL": "https://ghcr.io/acme"}


def _tls(folder: Path, name: str, *, days: float) -> tuple[ssl.SSLContext, Path, Path]:
    """A server's context, its chain with key, and the root that signed it."""
    authority = trustme.CA()
    ends = datetime.now(UTC) + timedelta(days=days)
    made = authority.issue_cert(name, not_after=ends)
    chain, root = folder / "chain.pem", folder / "root.pem"
    chain.write_bytes(made.private_key_and_cert_chain_pem.bytes())
    authority.cert_pem.write_to_path(root)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context, chain, root


def registry_certificate(name: str, days: float) -> Broken:
    """The registry's certificate is for that name, and ends in so many days."""

    async def made(stack: AsyncExitStack, folder: Path) -> Mapping[str, str]:
        context, _, root = _tls(folder, name, days=days)
        registry = await stack.enter_async_context(FakeRegistry(tls=context))
        return lamp(registry) | {"REGISTRY_CA_CERT_PATH": str(root)}

    return made


def own_certificate(name: str, days: float) -> Broken:
    """The server's is, and links carry ota.example."""

    async def made(stack: AsyncExitStack, folder: Path) -> Mapping[str, str]:
        _, chain, _ = _tls(folder, name, days=days)
        files = {"TLS_CERT_PATH": str(chain), "TLS_KEY_PATH": str(chain)}
        return files | {"PUBLIC_URL": "https://ota.example"}

    return made


async def proxy_away(stack: AsyncExitStack, folder: Path) -> Mapping[str, str]:
    """Nobody listens where the proxy should."""
    proxy = f"http://127.0.0.1:{free_port()}"
    return {
        "REGISTRY_URL": "http://registry.example",
        "HTTP_PROXY": proxy,
        "DEVICES": "lamp",
    }


async def token_refused(stack: AsyncExitStack, folder: Path) -> Mapping[str, str]:
    """The token server lets nobody in."""
    registry = await stack.enter_async_context(FakeRegistry(auth="bearer"))
    registry.fail("token", Status(403), times=None)
    return lamp(registry) | LOGIN | {"DEVICES": "lamp"}


async def disk_full(stack: AsyncExitStack, folder: Path) -> Mapping[str, str]:
    """There is no room for the firmware."""
    registry = await stack.enter_async_context(FakeRegistry())
    data = stack.enter_context(mounted(folder / "data", "size=64k"))
    (data / "full").write_bytes(bytes(32 << 10))
    return lamp(registry, bytes(range(256)) * 4096) | {"DATA_DIR": str(data)}


async def read_only(stack: AsyncExitStack, folder: Path) -> Mapping[str, str]:
    """The data folder cannot be written."""
    data = stack.enter_context(mounted(folder / "data", "ro"))
    return {"DATA_DIR": str(data)}


async def two_candidates(stack: AsyncExitStack, folder: Path) -> Mapping[str, str]:
    """Nobody can tell which file is the firmware."""
    registry = await stack.enter_async_context(FakeRegistry())
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("left.bin", "right.bin"):
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"data"))
    return lamp(registry, packed.getvalue())


async def unsigned(stack: AsyncExitStack, folder: Path) -> Mapping[str, str]:
    """A key is set, and nobody signed."""
    registry = await stack.enter_async_context(FakeRegistry())
    key = folder / "cosign.pub"
    key.write_bytes(EC.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return lamp(registry) | {"COSIGN_PUB_KEY_PATH": str(key)}


async def other_version_inside(stack: AsyncExitStack, folder: Path) -> Mapping[str, str]:
    """The image is of 1.4.0, its tag says 1.5.0."""
    registry = await stack.enter_async_context(FakeRegistry())
    return lamp(registry, mcuboot("1.4.0"), tag="1.5.0")


async def no_version(stack: AsyncExitStack, folder: Path) -> Mapping[str, str]:
    """The only tag is no SemVer."""
    registry = await stack.enter_async_context(FakeRegistry())
    return lamp(registry, tag="1.2") | SECRET


async def misspelt(stack: AsyncExitStack, folder: Path) -> Mapping[str, str]:
    """The name of a setting has a letter too many or in the wrong place."""
    return {"WEBHOOK_SECERT": "s3cret"}
