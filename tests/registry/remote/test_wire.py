"""What goes over the wire besides the request: TLS, proxies, headers, and the count of it."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from fake_faults import Headers, Status
from fake_registry import FakeRegistry
from registry_client import SENSOR, remote

from otaflux import __version__
from otaflux.errors import BadSetting, Undecided, Unreachable
from otaflux.registry.remote.source import Remote
from otaflux.registry.source import Source


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A root that no system trusts."""
    return trustme.CA()


@pytest.fixture
def root(authority: trustme.CA, tmp_path: Path) -> Path:
    """Its certificate, in a file."""
    path = tmp_path / "root.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def tls(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """A server's side of TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    return context


def put(registry: FakeRegistry) -> None:
    """One release."""
    registry.content.put("acme/sensor", "1.0.0", layers=[b"x"])


def source(client: Remote) -> Source:
    """A remote registry is a source: this is checked where types are."""
    return client


async def test_requests_say_who_asks_and_want_no_packing() -> None:
    """Our own User-Agent, `Accept-Encoding: identity`, and no cookie comes back."""
    async with FakeRegistry() as registry, remote(registry) as client:
        put(registry)
        registry.fail("tags", Headers({"Set-Cookie": "sid=1; Path=/"}))
        await client.tags(SENSOR)
        await client.tags(SENSOR)
        for seen in registry.requests:
            assert seen.headers["User-Agent"] == f"otaflux/{__version__}"
            assert seen.headers["Accept-Encoding"] == "identity"
            assert "Cookie" not in seen.headers


async def test_each_request_is_counted_with_its_outcome() -> None:
    """The count is of what went over the wire, second tries and challenges too."""
    counted: Counter[tuple[str, str]] = Counter()
    async with (
        FakeRegistry(auth="bearer", redirect_blobs=True) as registry,
        remote(
            registry,
            login=("robot", "s3cret"),
            on_request=lambda kind, outcome: counted.update([(kind, outcome)]),
        ) as client,
    ):
        put(registry)
        registry.fail("token", Status(500))
        await client.tags(SENSOR)
        manifest = await client.resolve(SENSOR, (await client.tags(SENSOR)).tags[0])
        async with client.open_blob(SENSOR, manifest.layers[0], max_bytes=10) as reader:
            await asyncio.to_thread(reader.read)
        assert counted == {
            ("ping", "denied"): 1,
            ("token", "failed"): 1,
            ("token", "ok"): 1,
            ("tags", "ok"): 2,
            ("manifest", "ok"): 1,
            ("blob", "redirected"): 1,
            ("blob", "ok"): 1,
        }


async def test_a_root_of_ones_own_is_trusted_beside_the_systems(
    authority: trustme.CA, root: Path
) -> None:
    """REGISTRY_CA_CERT_PATH makes a private registry's certificate good."""
    async with FakeRegistry(tls=tls(authority, "127.0.0.1")) as registry:
        put(registry)
        async with remote(registry, ca_cert_path=root) as client:
            assert (await client.tags(SENSOR)).tags


async def test_the_systems_roots_are_read_when_tls_is_spoken(
    authority: trustme.CA, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that there are then, whatever there was when the program was loaded."""
    monkeypatch.setenv("SSL_CERT_FILE", str(root))
    async with FakeRegistry(tls=tls(authority, "127.0.0.1")) as registry:
        put(registry)
        async with remote(registry) as client:
            assert (await client.tags(SENSOR)).tags


async def test_an_unknown_certificate_is_refused_and_the_setting_named(
    authority: trustme.CA,
) -> None:
    """Without the root there is no connection, and the hint says what to set."""
    async with FakeRegistry(tls=tls(authority, "127.0.0.1")) as registry:
        async with remote(registry) as client:
            with pytest.raises(Unreachable, match="not trusted") as refusal:
                await client.tags(SENSOR)
        assert "REGISTRY_CA_CERT_PATH" in refusal.value.hint
        assert registry.requests == []


async def test_insecure_is_for_the_registrys_own_host_alone(authority: trustme.CA) -> None:
    """REGISTRY_INSECURE believes the registry, not whoever it redirects to."""
    async with (
        FakeRegistry(tls=tls(authority, "wrong.example"), redirect_blobs=True) as registry,
        remote(registry, insecure=True) as client,
    ):
        put(registry)
        tags = (await client.tags(SENSOR)).tags
        manifest = await client.resolve(SENSOR, tags[0])
        port = registry.storage_url.rpartition(":")[2]
        registry.fail(
            "blob",
            Status(307, headers={"Location": f"https://localhost:{port}/x"}),
            times=None,
        )
        async with client.open_blob(SENSOR, manifest.layers[0], max_bytes=10) as reader:
            with pytest.raises(Undecided, match="not trusted"):
                await asyncio.to_thread(reader.read)
        assert registry.seen("storage") == []


async def test_https_to_a_registry_without_tls_says_so() -> None:
    """The hint is to write http://."""
    async with FakeRegistry() as registry:
        url = registry.url.replace("http://", "https://")
        async with remote(registry, url=url) as client:
            with pytest.raises(Unreachable, match="TLS") as refusal:
                await client.tags(SENSOR)
        assert "http://" in refusal.value.hint


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
async def test_a_root_that_cannot_be_read_is_a_wrong_setting(
    tmp_path: Path, content: bytes | None
) -> None:
    """Said at once, with the setting's name and the file's."""
    path = tmp_path / "root.pem"
    if content is not None:
        path.write_bytes(content)
    async with FakeRegistry() as registry:
        with pytest.raises(BadSetting, match=r"REGISTRY_CA_CERT_PATH.*root\.pem"):
            async with remote(registry, ca_cert_path=path):
                pytest.fail("it was opened")


async def test_ipv6_works() -> None:
    """A registry at [::1]."""
    async with FakeRegistry(host="::1", auth="bearer") as registry:
        put(registry)
        async with remote(registry, login=("robot", "s3cret")) as client:
            assert (await client.tags(SENSOR)).tags
        assert registry.url.startswith("http://[::1]:")


class Proxy:
    """An http proxy that answers for any host from one registry, and writes down what it saw."""

    def __init__(self, registry: FakeRegistry) -> None:
        self._registry = registry
        self.seen: list[tuple[str, str, str | None]] = []

    async def start(self) -> tuple[asyncio.Server, str]:
        """Serve on a free port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return server, f"http://user:pw@127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split(" ", 2)
        auth = next(
            (line for line in head.splitlines() if line.startswith("Proxy-Authorization")), None
        )
        self.seen.append((method, target, auth))
        port = int(self._registry.url.rpartition(":")[2])
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            path = "/" + target.split("/", 3)[3]
            up_writer.write(head.replace(target, path, 1).encode())
        await asyncio.gather(_copy(reader, up_writer), _copy(up_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
    except ConnectionError:
        pass
    finally:
        writer.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_is_used(authority: trustme.CA, root: Path, scheme: str) -> None:
    """HTTP_PROXY with the whole address, HTTPS_PROXY with CONNECT; its password is the proxy's."""
    context = tls(authority, "registry.test") if scheme == "https" else None
    async with FakeRegistry(tls=context) as registry:
        put(registry)
        proxy = Proxy(registry)
        server, address = await proxy.start()
        environ = {f"{scheme}_proxy": address}
        async with (
            server,
            remote(
                registry, url=f"{scheme}://registry.test", environ=environ, ca_cert_path=root
            ) as client,
        ):
            assert (await client.tags(SENSOR)).tags
        method, target, auth = proxy.seen[0]
        if scheme == "https":
            assert (method, target) == ("CONNECT", "registry.test:443")
        else:
            assert (method, target.partition("?")[0]) == (
                "GET",
                "http://registry.test/v2/acme/sensor/tags/list",
            )
        assert auth
        assert "Proxy-Authorization" not in registry.requests[0].headers or scheme == "http"


async def test_a_proxy_that_is_away_is_said_without_its_password() -> None:
    """The message names the proxy, and is no reason to go around it."""
    async with FakeRegistry() as registry:
        environ = {"HTTP_PROXY": "http://user:hunter2@127.0.0.1:1"}
        async with remote(registry, url="http://registry.test", environ=environ) as client:
            with pytest.raises(Unreachable, match=r"proxy 127\.0\.0\.1:1") as refusal:
                await client.tags(SENSOR)
        assert "hunter2" not in str(refusal.value) + refusal.value.hint


async def test_a_proxy_that_refuses_is_said() -> None:
    """CONNECT answered 403."""

    async def refuse(_: web.BaseRequest) -> web.Response:
        return web.Response(status=403)

    runner = web.ServerRunner(web.Server(refuse))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    environ = {"HTTPS_PROXY": f"127.0.0.1:{runner.addresses[0][1]}"}
    try:
        async with (
            FakeRegistry() as registry,
            remote(registry, url="https://registry.test", environ=environ) as client,
        ):
            with pytest.raises(Unreachable, match=r"proxy .* refuses") as refusal:
                await client.tags(SENSOR)
            assert "HTTPS_PROXY" in refusal.value.hint
    finally:
        await runner.cleanup()


async def test_netrc_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials come from where the settings say, and from nowhere else."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login root password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with FakeRegistry(auth="basic") as registry, remote(registry) as client:
        with pytest.raises(Undecided):
            await client.tags(SENSOR)
        assert all("Authorization" not in seen.headers for seen in registry.requests)


async def test_a_client_outside_of_its_context_is_a_mistake() -> None:
    """It says so, and asks nothing."""
    async with FakeRegistry() as registry:
        async with remote(registry) as client:
            assert source(client).name == registry.url
        with pytest.raises(RuntimeError):
            await client.tags(SENSOR)
