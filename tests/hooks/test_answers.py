"""What a registry is answered, over a real socket, to its odd hooks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from hook_files import payload

from otaflux import hooks
from otaflux.events import Events
from otaflux.hooks.intake import Intake
from otaflux.hooks.payload import MAX_PARTS
from otaflux.model.event import Touch
from otaflux.model.names import Device, Namespace
from otaflux.web.hooks.receiver import Receiver
from otaflux.web.port.server import Port

SECRET = "s3cret-of-the-hooks"


class Server:
    """A receiver behind a real port, spoken to in bytes, for some of them no client would send."""

    def __init__(self) -> None:
        self.touches: list[Touch] = []
        self.port = 0
        self.receiver = Receiver(
            secrets=lambda: [SECRET],
            intake=Intake(Namespace("firmware"), frozenset(), lambda _device: False),
            touch=self.touches.append,
            known=lambda _device: None,
            events=Events(),
        )

    async def post(
        self, body: bytes, *, path: str = "/hooks/registry", headers: bytes = b""
    ) -> tuple[int, bytes]:
        """The status and the body of the answer to a hook."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: otaflux\r\nAuthorization: {SECRET}\r\n"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n".encode()
            + headers
            + b"\r\n"
            + body
        )
        async with asyncio.timeout(60):
            head, _, answer = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), answer

    async def said(self, file: str, source: str = "") -> tuple[int, object]:
        """The status and the JSON of the answer to a payload."""
        path = f"/hooks/registry/{source}" if source else "/hooks/registry"
        status, answer = await self.post(payload(file).body, path=path)
        return status, json.loads(answer)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A receiver that listens, for the prefix `firmware`."""
    made = Server()
    async with Port(made.receiver.answer, "127.0.0.1", 0, shutdown_timeout=0.1) as port:
        made.port = int(port.url.rpartition(":")[2])
        yield made


@pytest.mark.parametrize("file", ["harbor-tag_retention.json", "harbor-tag_retention-several.json"])
async def test_a_retention_is_a_reason_to_look_whatever_tag_it_names(
    server: Server, file: str
) -> None:
    """Harbor names `latest` and means 1.4.0 too: it is one delete without a tag, and accepted."""
    gone = {"device": "sensor-esp32", "tag": None, "action": "delete"}
    assert await server.said(file, "harbor") == (202, {"accepted": [gone], "ignored": []})
    assert [touch.device for touch in server.touches] == [Device("sensor-esp32")]


async def test_a_replication_to_our_project_from_another_one_is_accepted(server: Server) -> None:
    """Harbor names the source as the destination where it pushes: our project is found still."""
    status, answer = await server.said("harbor-replication-push_mode.json", "harbor")
    came = {"device": "sensor-esp32", "tag": "1.2.3", "action": "push"}
    other = {
        "repository": "build/sensor-esp32",
        "reason": "not under REPOSITORY_PREFIX 'firmware'",
    }
    assert (status, answer) == (202, {"accepted": [came], "ignored": [other]})


@pytest.mark.parametrize("source", ["", "quay"])
async def test_quays_quotas_are_acknowledged_and_ignored(server: Server, source: str) -> None:
    """Three refusals would switch the notification off."""
    status, answer = await server.said("quay-quota_warning.json", source)
    reason = "Quay's notification of a namespace asks for nothing"
    ignored = [{"repository": "firmware", "reason": reason}]
    assert (status, answer) == (200, {"accepted": [], "ignored": ignored})


async def test_the_answer_says_that_the_rest_of_a_hook_was_not_read(server: Server) -> None:
    """A replication of more tags than are read is accepted, and told what was left out."""
    body = json.loads(payload("harbor-replication.json").body)
    (artifact,) = body["event_data"]["replication"]["successful_artifact"]
    artifact["references"] = [f"1.0.{number}" for number in range(30_000)]
    status, answer = await server.post(json.dumps(body).encode())
    assert status == 202
    said = json.loads(answer)
    assert len(said["accepted"]) == MAX_PARTS
    (rest,) = said["ignored"]
    assert rest["reason"].startswith(f"only the first {MAX_PARTS} events of a hook are read")


HALF = b"\\ud800"


@pytest.mark.parametrize("source", ["", *hooks.SOURCES])
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b'{"repository":"firmware/%s","tag":"1.0.0"}' % HALF, b""),
        (b'{"repository":"firmware/lamp","tag":"%s","updated_tags":["%s"]}' % (HALF, HALF), b""),
        (b'{"events":[{"action":"%s","target":{}}]}' % HALF, b""),
        (b'{"type":"%s","occur_at":1}' % HALF, b""),
        (b'{"type":"x","occur_at":1,"%s":1}' % HALF, b""),
        (b'{"repository":"firmware/\xed\xa0\x80","tag":"1.0.0"}', b""),
        (b'{"events":[{"action":"\xed\xa0\x80","target":{}}]}', b""),
        (b"{}", b"X-Gitea-Event: \xed\xa0\x80\xff\r\n"),
        (b"{}", b"X-GitHub-Event: \xed\xa0\x80\xff\r\n"),
        (b'{"name":"firmware/lamp"}', b"Ce-Type: zotregistry.\xed\xa0\x80\xff\r\n"),
        (b"{}", b"Content-Type: application/x-www-form-urlencoded; \xff\r\n"),
        (
            b"payload=%7B%22repository%22%3A%22%ED%A0%80%22%7D",
            b"Content-Type: application/x-www-form-urlencoded\r\n",
        ),
    ],
)
async def test_half_a_surrogate_pair_is_answered(
    server: Server, body: bytes, headers: bytes, source: str
) -> None:
    """A text that no encoding can write is refused or ignored, in words that can be written."""
    path = f"/hooks/registry/{source}" if source else "/hooks/registry"
    status, answer = await server.post(body, path=path, headers=headers)
    assert status in {200, 400}
    answer.decode()
    assert not server.touches
