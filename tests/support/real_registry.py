"""The real docker-registry from Debian, on a free port, with what a test wants of it.

    @pytest.mark.real("docker-registry")
    async def test_it(tmp_path):
        hook = Notify("http://127.0.0.1:8080/hooks/registry", {"Authorization": "Bearer s"})
        async with docker_registry(tmp_path, notify=[hook]) as real:
            digest = await real.put("acme/sensor", "1.4.0", layers=[b"firmware"])
            await real.delete("acme/sensor", digest)
            await real.stop()       # takes it away …
            await real.start()      # … and brings it back on the same port

`auth="htpasswd"` knows one account, `USER` and `PASSWORD`. `auth="token"` starts a token server
beside it, which signs what docker-registry checks (JWT with an x5c chain) and writes down what it
was asked. Data lies in a folder below the one given, and outlives `stop`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import aiohttp
import trustme
from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_pem_private_key,
)
from cryptography.x509 import load_pem_x509_certificate
from fake_content import Child, Content
from installed import find_program
from programs import free_port

from otaflux.model.artifact import Digest

USER = "robot"
PASSWORD = "s3cret"
# bcrypt of PASSWORD, which is the only form that docker-registry takes
HTPASSWD = f"{USER}:$2b$05$ubY1D8AeBoOOLCIzVqtASOu7ZswikePt9ZHj3Q8SuDqLlrJFSvvk6\n"
START_TIME = 20.0  # seconds


@dataclass(frozen=True, slots=True)
class Notify:
    """One endpoint for notifications."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: str = "2s"
    threshold: int = 3
    backoff: str = "1s"


class TokenServer:
    """Gives tokens as docker-registry's `auth: token` wants them; `asked` are the requests."""

    issuer = "otaflux tests"
    service = "real.registry"

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.bundle = folder / "token-root.pem"
        authority.cert_pem.write_to_path(str(self.bundle))
        key = load_pem_private_key(authority.private_key_pem.bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        certificate = load_pem_x509_certificate(authority.cert_pem.bytes())
        self._chain = [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]
        self._runner: web.AppRunner | None = None
        self.asked: list[Mapping[str, str]] = []
        self.lifetime = 300
        self.realm = ""

    async def start(self) -> None:
        """Serve on a free port."""
        app = web.Application()
        app.router.add_get("/token", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.realm = f"http://127.0.0.1:{self._runner.addresses[0][1]}/token"

    async def stop(self) -> None:
        """Serve no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.query))
        if request.headers.get("Authorization") != basic():
            return web.json_response({"errors": [{"code": "UNAUTHORIZED"}]}, status=401)
        scopes = [scope.split(":") for scope in request.query.getall("scope", [])]
        access = [
            {"type": kind, "name": ":".join(name), "actions": actions.split(",")}
            for kind, *name, actions in scopes
        ]
        token = self.signed(access)
        return web.json_response({"token": token, "expires_in": self.lifetime})

    def signed(self, access: Sequence[Mapping[str, Any]]) -> str:
        """A JWT for these rights (RFC 7515; ES256 is the plain pair of numbers)."""
        now = int(time.time())
        header = {"typ": "JWT", "alg": "ES256", "x5c": self._chain}
        claims = {
            "iss": self.issuer,
            "sub": USER,
            "aud": self.service,
            "iat": now,
            "nbf": now - 10,
            "exp": now + self.lifetime,
            "jti": str(time.time_ns()),
            "access": access,
        }
        signed = ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        der = self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
        pair = b"".join(number.to_bytes(32, "big") for number in utils.decode_dss_signature(der))
        return f"{signed}.{_base64url(pair)}"


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def basic() -> str:
    """The Authorization header of the one account."""
    return "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class RealRegistry:
    """A docker-registry process; see the module."""

    def __init__(
        self,
        folder: Path,
        *,
        notify: Sequence[Notify] = (),
        auth: Literal["none", "htpasswd", "token"] = "none",
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.tokens = TokenServer(folder) if auth == "token" else None
        self._notify = notify
        self._auth = auth
        self._more = dict(more or {})
        self._port = 0
        self._process: asyncio.subprocess.Process | None = None
        self._content = Content()

    @property
    def host(self) -> str:
        """`host:port`, as skopeo wants it."""
        return f"127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """What `REGISTRY_URL` would be."""
        return f"http://{self.host}"

    @property
    def log(self) -> str:
        """What the process wrote so far."""
        return (self.folder / "registry.log").read_text(errors="replace")

    def logged(self, text: str, *, within: float = START_TIME) -> None:
        """Return once it wrote that into its log. Blocks."""
        deadline = time.monotonic() + within
        while text not in self.log:
            assert time.monotonic() < deadline, self.log[-4000:]
            time.sleep(0.05)

    async def start(self) -> None:
        """Start it, and wait until it answers; on the old port after a stop."""
        program = find_program("docker-registry")
        assert program is not None
        if not self._port:
            self._port = free_port()
        config = self.folder / "registry.json"
        config.write_text(json.dumps(self._config()))
        with (self.folder / "registry.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                program, "serve", str(config), stdout=log, stderr=log
            )
        async with asyncio.timeout(START_TIME), aiohttp.ClientSession() as session:
            while True:
                if self._process.returncode is not None:
                    raise RuntimeError(f"docker-registry ended: {self.log[-2000:]}")
                try:
                    async with session.get(f"{self.url}/v2/"):
                        return
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """End it; its data stays."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def put(self, repository: str, tag: str | None, **what: Any) -> Digest:
        """Push an artifact, as `Content.put` of the fake builds it; answers its digest."""
        return await self._send(repository, tag, self._content.put(repository, tag, **what))

    async def put_index(
        self, repository: str, tag: str | None, children: Sequence[Digest]
    ) -> Digest:
        """Push an index over manifests that were put before."""
        made = self._content.put_index(repository, tag, [Child(digest) for digest in children])
        return await self._send(repository, tag, made)

    def pushed(self, repository: str, digest: Digest) -> bytes:
        """The bytes of a manifest that was put before."""
        return self._content.repositories[repository].manifests[str(digest)].body

    async def _send(self, repository: str, tag: str | None, digest: Digest) -> Digest:
        held = self._content.repositories[repository]
        async with self.session(repository, "pull,push") as session:
            for blob_digest, content in held.blobs.items():
                await self._put_blob(session, repository, blob_digest, content)
            stored = held.manifests[str(digest)]
            async with session.put(
                f"{self.url}/v2/{repository}/manifests/{tag or digest}",
                data=stored.body,
                headers={"Content-Type": stored.media_type},
            ) as response:
                assert response.status == 201, await response.text()
        return digest

    async def delete(self, repository: str, digest: Digest) -> None:
        """Delete a manifest with all its tags; docker-registry 2 has no other way."""
        async with (
            self.session(repository, "pull,push,delete") as session,
            session.delete(f"{self.url}/v2/{repository}/manifests/{digest}") as response,
        ):
            assert response.status == 202, await response.text()

    @asynccontextmanager
    async def session(self, repository: str, actions: str) -> AsyncIterator[aiohttp.ClientSession]:
        """A client with the rights for a repository, for what is not here."""
        headers = {}
        if self._auth == "htpasswd":
            headers["Authorization"] = basic()
        if self.tokens is not None:
            access = {"type": "repository", "name": repository, "actions": actions.split(",")}
            headers["Authorization"] = f"Bearer {self.tokens.signed([access])}"
        async with aiohttp.ClientSession(headers=headers) as session:
            yield session

    async def _put_blob(
        self, session: aiohttp.ClientSession, repository: str, digest: str, content: bytes
    ) -> None:
        async with session.head(f"{self.url}/v2/{repository}/blobs/{digest}") as response:
            if response.status == 200:
                return
        async with session.post(f"{self.url}/v2/{repository}/blobs/uploads/") as response:
            location = response.headers["Location"]
        async with session.put(f"{location}&digest={digest}", data=content) as response:
            assert response.status == 201, await response.text()

    def _config(self) -> Mapping[str, Any]:
        config: dict[str, Any] = {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.folder / "registry-data")},
                "delete": {"enabled": True},
            },
            "http": {"addr": self.host, "secret": "not a secret"},
        }
        if self._auth == "htpasswd":
            path = self.folder / "htpasswd"
            path.write_text(HTPASSWD)
            config["auth"] = {"htpasswd": {"realm": "lab", "path": str(path)}}
        if self.tokens is not None:
            config["auth"] = {
                "token": {
                    "realm": self.tokens.realm,
                    "service": self.tokens.service,
                    "issuer": self.tokens.issuer,
                    "rootcertbundle": str(self.tokens.bundle),
                }
            }
        if self._notify:
            config["notifications"] = {
                "endpoints": [
                    {
                        "name": f"endpoint{number}",
                        "url": each.url,
                        "headers": {name: [value] for name, value in each.headers.items()},
                        "timeout": each.timeout,
                        "threshold": each.threshold,
                        "backoff": each.backoff,
                    }
                    for number, each in enumerate(self._notify)
                ]
            }
        return config | self._more


@asynccontextmanager
async def docker_registry(
    folder: Path,
    *,
    notify: Sequence[Notify] = (),
    auth: Literal["none", "htpasswd", "token"] = "none",
    more: Mapping[str, Any] | None = None,
) -> AsyncIterator[RealRegistry]:
    """A running docker-registry; `more` are sections of its configuration that replace ours."""
    real = RealRegistry(folder, notify=notify, auth=auth, more=more)
    if real.tokens is not None:
        await real.tokens.start()
    try:
        await real.start()
        yield real
    finally:
        await real.stop()
        if real.tokens is not None:
            await real.tokens.stop()
