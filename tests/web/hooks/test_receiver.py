"""Hooks over real sockets: what is answered, in which order, and what it costs."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import pytest
from hook_files import captures, payload
from structlog.testing import capture_logs
from waiting import until

from otaflux.errors import Undecided
from otaflux.events import Events, Happening, HookAccepted, HookAnswered
from otaflux.folded import MAX_LINES, QUIET, Folded
from otaflux.hooks.intake import Intake
from otaflux.log import Event
from otaflux.loglines import LogLines
from otaflux.model.event import Action, Priority, Touch
from otaflux.model.names import Device, Namespace, Tag
from otaflux.web.hooks.bodies import MAX_BODY, MAX_LARGE, MAX_SMALL, UnprovenBodies
from otaflux.web.hooks.receiver import Receiver
from otaflux.web.port.server import Port

SECRET = "s3cret-of-the-hooks"
BEARER = {"Authorization": f"Bearer {SECRET}"}
LAMP = b'{"repository": "firmware/lamp", "tag": "1.4.0"}'
PACKED = gzip.compress(LAMP, mtime=0)  # the same in each worker: it names a test
PUSHED = {"accepted": [{"device": "lamp", "tag": "1.4.0", "action": "push"}], "ignored": []}


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time now."""
        return self.now


class Server:
    """A receiver behind a real port, and what it told those behind it."""

    def __init__(
        self, *, body_timeout: float = 10.0, sender: Callable[[Any], str] = lambda _: "127.0.0.1"
    ) -> None:
        self.secrets: list[str] | Undecided = [SECRET]
        self.touches: list[Touch] = []
        self.known: list[Device] = []
        self.happened: list[Happening] = []
        self.awaiting: set[Device] = set()
        self.clock = Clock()
        self.url = ""
        self.port = 0
        self.receiver = Receiver(
            secrets=self._current_secrets,
            intake=Intake(Namespace("firmware"), frozenset(), self.awaiting.__contains__),
            touch=self.touches.append,
            known=self.known.append,
            events=Events(LogLines().hear, self.happened.append),
            clock=self.clock,
            new_id=iter(f"hook-{number}" for number in range(1, 10_000)).__next__,
            body_timeout=body_timeout,
            sender=sender,
        )

    @property
    def counted(self) -> list[tuple[str, str]]:
        """The source of each hook that was answered, and how."""
        return [(e.source, e.outcome) for e in self.happened if isinstance(e, HookAnswered)]

    def _current_secrets(self) -> list[str]:
        if isinstance(self.secrets, Undecided):
            raise self.secrets
        return self.secrets

    async def post(
        self,
        path: str = "/hooks/registry",
        body: Any = LAMP,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, str]:
        """Status and text of the answer to a hook; with the secret, unless headers are given."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{self.url}{path}", data=body, headers=BEARER if headers is None else headers
            ) as answer,
        ):
            return answer.status, await answer.text()

    async def status(self, path: str = "/hooks/registry", **rest: Any) -> int:
        """Status of the answer to a hook."""
        return (await self.post(path, **rest))[0]


@asynccontextmanager
async def serving(**more: Any) -> AsyncIterator[Server]:
    """A server while it runs."""
    server = Server(**more)
    unreadable = server.receiver.unreadable
    async with Port(
        server.receiver.answer, "127.0.0.1", 0, shutdown_timeout=0.1, unreadable=unreadable
    ) as port:
        server.url, server.port = port.url, port.port
        yield server


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server with one secret, for repositories under `firmware`."""
    async with serving() as server:
        yield server


def mac(body: bytes, secret: str = SECRET) -> str:
    """The HMAC of a body, in hex."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


# --- the answer -------------------------------------------------------------------------------


async def test_a_push_is_queued_known_and_told(server: Server) -> None:
    """202 says which device is looked at, and all who want to know have heard by then."""
    status, text = await server.post()
    assert (status, json.loads(text)) == (202, PUSHED)
    touch = Touch(Device("lamp"), Priority.HOOK, ("hook-1",), 1000.0, (Tag("1.4.0"),))
    assert server.touches == [touch]
    assert server.known == [Device("lamp")]
    assert server.happened == [
        HookAccepted("hook-1", "generic", Device("lamp"), "1.4.0", Action.PUSH),
        HookAnswered("generic", "accepted"),
    ]


async def test_the_alias_takes_harbors_hooks_and_no_others(server: Server) -> None:
    """`/webhooks/harbor` is `/hooks/registry/harbor`."""
    sent = payload("harbor-push_artifact.json")
    for path in ("/webhooks/harbor", "/hooks/registry/harbor", "/hooks/registry"):
        status, text = await server.post(path, sent.body)
        assert status == 202
        assert json.loads(text)["accepted"][0]["device"] == "sensor-esp32"
    assert await server.status("/webhooks/harbor") == 400


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("harbor-pull_artifact.json", "PULL_ARTIFACT"),
        ("harbor-push_artifact-by_digest.json", "by digest"),
        ("harbor-push_artifact-cosign_sig.json", "signature"),
        ("distribution_v3-push_blob.json", "blob"),
        ("ghcr-ping.json", "ping"),
    ],
)
async def test_noise_is_acknowledged_with_its_reason(
    server: Server, file: str, reason: str
) -> None:
    """200 where everything is ignored: registries repeat anything else, some for ever."""
    sent = payload(file)
    status, text = await server.post(body=sent.body, headers=_headers(sent.headers) | BEARER)
    assert status == 200
    answer = json.loads(text)
    assert answer["accepted"] == []
    assert reason in answer["ignored"][0]["reason"]
    assert server.touches == server.known == []


async def test_one_hook_of_many_events_is_one_touch_a_device(server: Server) -> None:
    """What is accepted is told beside what is ignored, and a device is queued once."""
    names = [("firmware/lamp", "1.0.0"), ("firmware/lamp", "1.0.1"), ("firmware/door", "2.0.0")]
    names += [("website/shop", "1.0.0"), ("firmware/lamp", "latest")]
    found = [{"action": "push", "target": {"repository": r, "tag": t}} for r, t in names]
    body = json.dumps({"events": [*found, {"action": 5}, found[0]]})
    status, text = await server.post(body=body)
    answer = json.loads(text)
    assert status == 202
    assert [(a["device"], a["tag"]) for a in answer["accepted"]] == [
        ("lamp", "1.0.0"),
        ("lamp", "1.0.1"),
        ("door", "2.0.0"),
    ]
    assert [ignored["repository"] for ignored in answer["ignored"]] == [
        "website/shop",
        "firmware/lamp",
        "",
    ]
    assert [(touch.device.name, len(touch.tags)) for touch in server.touches] == [
        ("lamp", 2),
        ("door", 1),
    ]


async def test_a_signature_counts_while_it_is_awaited(server: Server) -> None:
    """Tag null stands for a push by digest."""
    server.awaiting.add(Device("sensor-esp32"))
    status, text = await server.post(body=payload("harbor-push_artifact-by_digest.json").body)
    assert status == 202
    accepted = [{"device": "sensor-esp32", "tag": None, "action": "push"}]
    assert json.loads(text)["accepted"] == accepted


async def test_every_real_notification_is_acknowledged(server: Server) -> None:
    """None of what docker-registry sends is an error, or it would be sent for ever."""
    for sent in captures():
        status = await server.status(body=sent.body, headers=_headers(sent.headers) | BEARER)
        assert status == 200


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b'{"hello": "world"}', b"[" * 100_000])
async def test_no_json_and_no_known_shape_are_400(server: Server, body: bytes) -> None:
    """Only what nobody's registry sends is an error."""
    assert await server.status(body=body) == 400
    assert server.counted == [("unknown", "rejected")]


async def test_an_unknown_source_is_404_with_those_there_are(server: Server) -> None:
    """A typing error in the address is seen at once."""
    status, text = await server.post("/hooks/registry/habor")
    assert status == 404
    assert "acr, distribution, dockerhub, generic, gitea, github, harbor, quay, zot" in text


@pytest.mark.parametrize("path", ["/hooks/registry", "/hooks/registry/harbor", "/webhooks/harbor"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_other_methods_are_told_to_post(server: Server, path: str, method: str) -> None:
    """Who opens the address in a browser learns what it is for."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, server.url + path) as answer,
    ):
        assert answer.status == 405
        assert answer.headers["Allow"] == "POST"
        if method != "HEAD":
            assert "POST" in await answer.text()


async def test_answers_name_no_software(server: Server) -> None:
    """No answer has a `Server` header."""
    async with aiohttp.ClientSession() as session:
        for headers in ({}, BEARER):
            async with session.post(
                f"{server.url}/hooks/registry", data=LAMP, headers=headers
            ) as answer:
                assert "Server" not in answer.headers


# --- the secret -------------------------------------------------------------------------------


async def test_no_secret_set_closes_hooks_before_all_else(server: Server) -> None:
    """403, whatever is sent, wherever and however large, before a byte of a body is read."""
    server.secrets = []
    assert await server.status() == 403
    assert await server.status("/hooks/registry/habor") == 403
    assert await server.status(body=io.BytesIO(b"x" * (MAX_BODY + 1))) == 403
    assert await server.status(headers={"Authorization": ""}) == 403


async def test_a_missing_or_wrong_secret_is_401(server: Server) -> None:
    """Nobody who cannot prove himself gets anything into the queue."""
    assert await server.status(headers={}) == 401
    assert await server.status(headers={"Authorization": "Bearer wrong"}) == 401
    assert await server.status(headers={"X-Hub-Signature-256": "sha256="}) == 401
    assert server.touches == []


async def test_a_rotated_secret_counts_at_once(server: Server) -> None:
    """Both are good while both are set, and the old one no longer than that."""
    new = {"Authorization": "rotated"}
    assert [await server.status(), await server.status(headers=new)] == [202, 401]
    server.secrets = [SECRET, "rotated"]
    assert [await server.status(), await server.status(headers=new)] == [202, 202]
    server.secrets = ["rotated"]
    assert [await server.status(), await server.status(headers=new)] == [401, 202]


async def test_secrets_that_cannot_be_read_are_no_open_door(server: Server) -> None:
    """503 without a word of why: the reason holds a path, and is the operator's."""
    server.secrets = Undecided("WEBHOOK_SECRET_FILE: cannot read /run/secrets/hook")
    status, text = await server.post()
    assert status == 503
    assert "/run/secrets" not in text


@pytest.mark.parametrize("source", ["dockerhub", "quay", "generic"])
async def test_the_secret_may_be_in_the_address_where_nothing_else_can(
    server: Server, source: str
) -> None:
    """Docker Hub and Quay can send it nowhere else."""
    secret = "with+plus/and=%"
    server.secrets = [secret]
    files = {"dockerhub": "dockerhub-push.json", "quay": "quay-repo_push.json"}
    body = payload(files[source]).body if source in files else LAMP
    for written in (quote(secret, safe=""), "with+plus/and=%25"):
        path = f"/hooks/registry/{source}?secret={written}"
        assert await server.status(path, body=body, headers={}) == 202
    assert await server.status(f"/hooks/registry/{source}?secret=", body=body, headers={}) == 401


@pytest.mark.parametrize(
    "path",
    ["/hooks/registry", "/hooks/registry/harbor", "/hooks/registry/github", "/webhooks/harbor"],
)
async def test_elsewhere_a_secret_in_the_address_proves_nothing(server: Server, path: str) -> None:
    """Addresses end up in logs of proxies, so they are no place for a secret without need."""
    assert await server.status(f"{path}?secret={SECRET}", headers={}) == 401


@pytest.mark.parametrize(
    "file", ["ghcr-registry_package_published.json", "gitea-package_created.json"]
)
async def test_real_signatures_prove_real_payloads(server: Server, file: str) -> None:
    """GitHub's and Gitea's own HMACs are good, and good for these bytes alone."""
    sent = payload(file)
    server.secrets = ["another", sent.secret]
    headers = _headers(sent.headers)
    assert await server.status(body=sent.body, headers=headers) == 202
    assert await server.status(body=sent.body + b"\n", headers=headers) == 401


@pytest.mark.parametrize("signed", ["form", "json"])
async def test_a_form_is_proven_by_its_raw_body_or_as_gitea_signs_it(
    server: Server, signed: str
) -> None:
    """GitHub signs the form as it is sent; Gitea signs the JSON in it."""
    inner = payload("gitea-package_created.json").body
    form = urlencode({"payload": inner.decode()}).encode()
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Gitea-Event": "package",
        "X-Gitea-Signature": mac(form if signed == "form" else inner),
    }
    assert await server.status(body=form, headers=headers) == 202
    wrong = headers | {"X-Gitea-Signature": mac(inner, "other")}
    assert await server.status(body=form, headers=wrong) == 401


async def test_a_wrong_hmac_beside_the_right_secret_does_not_matter(server: Server) -> None:
    """One proof that holds is enough."""
    headers = BEARER | {"X-Hub-Signature-256": "sha256=" + "0" * 64}
    assert await server.status(headers=headers) == 202


async def test_a_large_signed_body_is_hashed_and_read(server: Server) -> None:
    """Above the size that is hashed on the loop, the proof is the same."""
    body = json.dumps({"repository": "firmware/lamp", "tag": "1.4.0", "x": "y" * 500_000}).encode()
    assert await server.status(body=body, headers={"X-Gitea-Signature": mac(body)}) == 202
    assert await server.status(body=body, headers={"X-Gitea-Signature": mac(LAMP)}) == 401


# --- size and time ----------------------------------------------------------------------------


async def talk(server: Server, head: str, body: bytes = b"", *, path: str = "") -> bytes:
    """All that is answered to raw bytes, until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(_request(head, path) + body)
        await writer.drain()
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()


def _request(head: str, path: str = "") -> bytes:
    return f"POST {path or '/hooks/registry'} HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode()


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


AUTHORIZED = f"Authorization: {SECRET}"


async def test_8_mib_are_read_and_one_byte_more_is_413(server: Server) -> None:
    """The limit is exact, by the length that is told."""
    padded = LAMP[:-1] + b" " * (MAX_BODY - len(LAMP)) + b"}"
    assert len(padded) == MAX_BODY
    assert await server.status(body=io.BytesIO(padded)) == 202
    assert await server.status(body=io.BytesIO(padded + b" ")) == 413


async def test_a_length_that_is_too_much_is_413_before_the_secret(server: Server) -> None:
    """Size is the first step, and costs no byte of the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(_request(f"Content-Length: {MAX_BODY + 1}"))
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nConnection: close\r\n" in answer
    writer.close()


async def test_without_a_length_the_byte_that_is_too_much_is_413(server: Server) -> None:
    """A chunked body is answered at the byte that passes 8 MiB, though it never ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(_request(f"{AUTHORIZED}\r\nTransfer-Encoding: chunked"))
    for _ in range(128):
        writer.write(_chunk(b" " * 65536))
        await writer.drain()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.2)
    writer.write(_chunk(b" "))
    assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    writer.close()


async def test_a_chunked_body_is_read_without_a_length(server: Server) -> None:
    """Registries behind proxies may send no length."""
    body = _chunk(LAMP[:10]) + _chunk(LAMP[10:]) + b"0\r\n\r\n"
    head = f"{AUTHORIZED}\r\nTransfer-Encoding: chunked\r\nConnection: close"
    assert (await talk(server, head, body)).startswith(b"HTTP/1.1 202 Accepted\r\n")


async def test_the_secret_is_judged_before_the_body_is_read(server: Server) -> None:
    """A stranger is refused at the end of the head, whatever would have followed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(_request("Authorization: wrong\r\nContent-Length: 1000000"))
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 401 ")
    writer.close()


async def test_who_asks_before_sending_is_refused_before_sending(server: Server) -> None:
    """With `Expect: 100-continue` only a proven sender is asked for the body."""
    for head, status in ((AUTHORIZED, b"100"), ("Authorization: wrong", b"401")):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(_request(f"{head}\r\nExpect: 100-continue\r\nContent-Length: {len(LAMP)}"))
        line = await asyncio.wait_for(reader.readline(), 5)
        assert line.startswith(b"HTTP/1.1 " + status)
        if status == b"100":
            assert await reader.readline() == b"\r\n"
            writer.write(LAMP)
            assert (await reader.readline()).startswith(b"HTTP/1.1 202 ")
        writer.close()


@pytest.mark.parametrize("head", [AUTHORIZED, "X-Gitea-Signature: " + "0" * 64])
async def test_a_body_that_never_comes_is_408(head: str) -> None:
    """Whoever sends it: after the time a body may take, the place is free again."""
    async with serving(body_timeout=0.2) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(_request(f"{head}\r\nContent-Length: 1000") + b"{")
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 408 ")
        writer.close()
        assert server.receiver.unproven == 0


async def test_slow_strangers_hold_no_place_of_signed_hooks() -> None:
    """However many heads with a made-up HMAC stall, signed hooks are taken, of one address too."""
    async with serving(body_timeout=5.0) as server:
        claimed = "X-Hub-Signature-256: sha256=" + "0" * 64
        stalled = []
        for number in range(MAX_SMALL + 100):
            stalled.append(await asyncio.open_connection("127.0.0.1", server.port))
            stalled[-1][1].write(
                _request(f"{claimed}\r\nContent-Length: 1000") + b"x" * (number % 2)
            )
        await until(lambda: server.receiver.unproven == MAX_SMALL)
        for _ in range(99):
            assert await server.status(headers={"X-Gitea-Signature": mac(LAMP)}) == 202
        gave_way = [await reader.readline() for reader, _ in stalled[:100]]
        assert {line[9:12] for line in gave_way} == {b"503"}
        for _, writer in stalled:
            writer.transport.abort()
        await until(lambda: server.receiver.unproven == 0)


async def test_a_body_has_to_come_within_its_time() -> None:
    """One that trickles in is 408, whether its sender is proven or only says so."""
    async with serving(body_timeout=0.3) as server:
        for proof in ("X-Gitea-Signature: " + "0" * 64, AUTHORIZED):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(_request(f"{proof}\r\nContent-Length: 1000") + b"{")
            assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
            writer.close()


async def test_a_body_whose_time_is_just_over_gives_way_to_no_harm() -> None:
    """In the step in which its time ends, another hook takes its place as in any other."""
    places = UnprovenBodies(small=1)
    loop = asyncio.get_running_loop()
    taken: list[str] = []

    def come() -> None:
        with places.place("192.0.2.2") as place:
            taken.append(place.sender)

    async def stall() -> None:
        with places.place("192.0.2.1") as stalled:
            async with asyncio.timeout(0.02) as stalled.limit:
                loop.call_at(stalled.limit.when() or 0.0, come)
                await asyncio.sleep(5)

    with pytest.raises(TimeoutError):
        await stall()
    assert taken == ["192.0.2.2"]


@pytest.mark.parametrize("framing", ["Content-Length: 70000", "Transfer-Encoding: chunked"])
async def test_large_bodies_that_are_not_proven_are_few(framing: str) -> None:
    """From one address two are read at once, sixteen of all; others get 503, small ones go on."""
    senders = iter([f"192.0.2.{number}" for number in (1, 1, 1, *range(2, 30))])
    async with serving(body_timeout=5.0, sender=lambda _: next(senders, "192.0.2.1")) as server:
        head = f"X-Gitea-Signature: {'0' * 64}\r\n{framing}"
        piece = b"x" * 66_000
        begun = piece if framing.startswith("Content") else b"%x\r\n%s\r\n" % (len(piece), piece)
        answers = []
        for _ in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(_request(head) + begun)
            answers.append((asyncio.create_task(reader.readline()), writer))
            await asyncio.sleep(0.02)
        await until(lambda: server.receiver.unproven == MAX_LARGE)
        refused = [task.result()[9:12] for task, _ in answers if task.done()]
        assert answers[2][0].done()
        assert refused == [b"503"] * (20 - MAX_LARGE)
        assert await server.status(headers={"X-Gitea-Signature": mac(LAMP)}) == 202
        large = LAMP + b" " * 70_000
        assert await server.status(headers={"X-Gitea-Signature": mac(large)}, body=large) == 503
        assert await server.status(body=large) == 202
        for task, writer in answers:
            writer.transport.abort()
            await asyncio.gather(task, return_exceptions=True)
        await until(lambda: server.receiver.unproven == 0)
        assert await server.status(headers={"X-Gitea-Signature": mac(large)}, body=large) == 202


@pytest.mark.parametrize("path", ["/", "/hooks", "/hooks/harbor", "/webhooks", "/a?secret=x"])
async def test_a_hook_at_a_wrong_address_is_told_the_right_one(path: str, lines: list[Any]) -> None:
    """The answer and one line of the log say where hooks are taken; secrets in it are not shown."""
    async with serving() as server:
        for _ in range(5):
            status, text = await server.post(path)
            assert (status, server.touches) == (404, [])
            assert text.startswith("Hooks are taken at /hooks/registry, ")
    assert [(line["event"], line["status"], line["reason"]) for line in lines] == [
        ("hook_rejected", 404, text)
    ]


async def test_a_body_that_breaks_off_leaves_nothing_behind(server: Server) -> None:
    """A sender that dies in the middle of a hook costs its place and no more."""
    for head in (AUTHORIZED, "X-Gitea-Signature: " + "0" * 64):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(_request(f"{head}\r\nContent-Length: 1000") + b"{")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()
    await asyncio.sleep(0.1)
    assert server.receiver.unproven == 0
    assert await server.status() == 202


async def test_a_chunked_body_that_is_none_is_400(server: Server) -> None:
    """Broken framing is the sender's error."""
    head = f"{AUTHORIZED}\r\nTransfer-Encoding: chunked"
    assert (await talk(server, head, b"zzz\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


async def test_many_hooks_on_one_connection(server: Server) -> None:
    """Registries keep their connection, also after a hook that was refused."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        for number in range(20):
            headers = BEARER if number % 3 else {}
            async with session.post(
                f"{server.url}/hooks/registry", data=LAMP, headers=headers
            ) as answer:
                assert answer.status == (202 if number % 3 else 401)
    assert {touch.hooks for touch in server.touches} == {
        (f"hook-{number + 1}",) for number in range(20) if number % 3
    }


# --- the log ----------------------------------------------------------------------------------


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    """Lines of the log, with what is bound to them."""
    from structlog.contextvars import merge_contextvars

    with capture_logs(processors=[merge_contextvars]) as lines:
        yield lines


async def test_a_hook_is_logged_under_its_id(server: Server, lines: list[Any]) -> None:
    """The id of the touch is that of the line, so that a publish can be traced to its hook."""
    await server.post()
    await server.post(body=b'{"repository": "website/shop", "tag": "1.0.0"}')
    accepted, ignored = lines
    assert accepted == {
        "event": "hook_accepted",
        "log_level": "info",
        "hook": "hook-1",
        "source": "generic",
        "device": "lamp",
        "tag": "1.4.0",
        "action": "push",
    }
    assert ignored["event"] == "hook_ignored"
    assert (ignored["hook"], ignored["repository"]) == ("hook-2", "website/shop")
    assert "REPOSITORY_PREFIX" in ignored["reason"]


async def test_noise_is_logged_for_debugging_only(server: Server, lines: list[Any]) -> None:
    """A push makes a dozen notifications of blobs, and each pull of ours one."""
    await server.post(body=payload("distribution_v3-pull.json").body)
    assert [(line["event"], line["log_level"]) for line in lines] == [("hook_ignored", "debug")]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("generic", {"repository": "acme/lamp", "tag": 1.0}),
        ("generic", {"repository": "acme/lamp", "tag": "1.0.0", "action": "pushed"}),
        ("quay", {"repository": "acme/lamp", "docker_url": "x", "updated_tags": [7]}),
        (
            "harbor",
            {
                "type": "PUSH_ARTIFACT",
                "event_data": {
                    "repository": {"repo_full_name": "acme/lamp"},
                    "resources": [{"tag": 100}],
                },
            },
        ),
    ],
)
async def test_a_malformed_event_is_logged_with_its_repository(
    server: Server, lines: list[Any], path: str, body: object
) -> None:
    """It was meant for us, and whoever looks for it in the log has to find it."""
    status, text = await server.post(f"/hooks/registry/{path}", body=json.dumps(body))
    assert status == 200
    assert json.loads(text)["ignored"][0]["repository"] == "acme/lamp"
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("hook_ignored", "info")
    assert line["repository"] == "acme/lamp"


async def test_a_senders_text_is_shown_short_and_printable(
    server: Server, lines: list[Any]
) -> None:
    """No terminal's escapes and no megabytes come through a hook into a log or an answer."""
    body = json.dumps({"repository": "x\x1b[31m\n" + "y" * 10_000, "tag": "1.0.0"})
    _, text = await server.post(body=body)
    for shown in (json.loads(text)["ignored"][0]["repository"], lines[0]["repository"]):
        assert len(shown) <= 300
        assert shown.isprintable()


async def test_neither_secrets_nor_addresses_are_logged(server: Server, lines: list[Any]) -> None:
    """Whether it holds or not, what was sent as a secret is in no line."""
    wrong = "another-s3cret"
    for secret in (SECRET, wrong):
        for headers in ({"Authorization": secret}, {"X-Webhook-Secret": secret}, {}):
            await server.post(f"/hooks/registry/generic?secret={secret}", headers=headers)
            await server.post(f"/hooks/registry/{secret}?secret={secret}", headers=headers)
            await server.post(f"/{secret}?secret={secret}", headers=headers)
            await server.post("/hooks/registry?secret=" + secret, b"{}", headers)
    said = json.dumps(lines, default=str)
    assert "hook_accepted" in said
    assert "hook_rejected" in said
    for word in (SECRET, wrong, "?secret"):
        assert word not in said


async def test_a_rejected_hook_is_logged_with_its_sender(server: Server, lines: list[Any]) -> None:
    """Whose hook has the wrong secret can be found by its address."""
    await server.post(headers={})
    assert lines == [
        {
            "event": "hook_rejected",
            "log_level": "warning",
            "hook": "hook-1",
            "sender": "127.0.0.1",
            "source": "unknown",
            "status": 401,
            "reason": lines[0]["reason"],
        }
    ]
    assert "missing" in lines[0]["reason"]


@pytest.mark.parametrize("body", [PACKED, b"no gzip", PACKED[:20]])
async def test_a_compressed_body_is_unpacked_for_nobody(
    server: Server, capfd: pytest.CaptureFixture[str], body: bytes
) -> None:
    """A stranger's few bytes may be gigabytes: they stay as they are, and it is said so."""
    packed = {"Content-Encoding": "gzip"}
    assert await server.status(body=body, headers=packed) == 401
    for proof in (BEARER, {"X-Hub-Signature-256": f"sha256={mac(body)}"}):
        status, text = await server.post(body=body, headers={**packed, **proof})
        assert status == 400
        assert "is compressed (gzip)" in text
    assert await server.status(headers={"Content-Encoding": "identity", **BEARER}) == 202
    assert "Traceback" not in "".join(capfd.readouterr())


async def test_a_hook_that_is_no_http_is_in_the_log(server: Server, lines: list[Any]) -> None:
    """The registry repeats it for ever; whoever wonders why finds a line that says what to do."""
    twice = "".join(f"Content-Type: {kind}\r\n" for kind in ("application/json", "text/json"))
    for path in ("/hooks/registry", "/webhooks/harbor", "/other"):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = f"POST {path} HTTP/1.1\r\nHost: otaflux\r\n{twice}Content-Length: 2\r\n\r\n"
        writer.write(head.encode() + b"{}")
        writer.write_eof()
        assert (await reader.readline()).split()[1] == b"400"
        writer.close()
    (line,) = lines
    assert (line["status"], line["sender"]) == (400, "127.0.0.1")
    assert "Content-Type" in line["reason"]
    assert server.counted == [("unknown", "rejected")] * 2


async def test_each_source_has_its_own_line(server: Server, lines: list[Any]) -> None:
    """Registries behind one proxy do not hide each other's wrong secrets."""
    for source in ("harbor", "zot", "harbor"):
        await server.post(f"/hooks/registry/{source}", headers={})
    assert [line["source"] for line in lines] == ["harbor", "zot"]


async def test_a_registry_that_hammers_does_not_flood_the_log(
    server: Server, lines: list[Any]
) -> None:
    """Of the same rejection a minute has one line, and the next says how many there were."""
    for _ in range(50):
        await server.post(headers={})
    await server.post(body=b"nonsense")
    assert [line["status"] for line in lines] == [401, 400]
    server.clock.now += QUIET + 1
    await server.post(headers={})
    assert lines[-1]["more_since_last"] == 49


async def test_many_strangers_do_not_flood_the_log_either(lines: list[Any]) -> None:
    """All senders together have so many lines a minute."""
    clock = Clock()
    rejections = Folded(Event.HOOK_REJECTED, clock)
    for number in range(5000):
        rejections.note(number, reason="no secret")
    assert len(lines) == MAX_LINES
    clock.now += QUIET + 1
    rejections.note("another", reason="no secret")
    assert lines[-1]["more_since_last"] == 5000 - MAX_LINES


def _headers(sent: dict[str, str]) -> dict[str, str]:
    """Headers as the registry sent them, without those that the client sets or that are none."""
    left = {"host", "content-length", "authorization", "x-test-secret-is", "accept-encoding"}
    return {name: value for name, value in sent.items() if name not in left}
