"""Who may what at the broker: each thing that is wrong is one clear complaint, and what to do.

All doors are those of one mosquitto.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiomqtt import ProtocolVersion
from broker_parts import Home, running
from guarded_broker import DEAF, MUTE, PASSWORD, USER, GuardedBroker, guarded
from held_releases import record, release
from mosquitto import mosquitto
from programs import free_port, otaflux
from waiting import until

from otaflux.broker.account import Account
from otaflux.broker.link import connected
from otaflux.broker.probe import probe
from otaflux.errors import Undecided
from otaflux.events import BrokerConnected

pytestmark = pytest.mark.real("mosquitto")

LAMP = release("1.0.0", b"lamp")
OURS = {"username": USER, "password": PASSWORD}
CA = {"ca_cert_path": "ca.pem"}
CERTIFICATE = {"client_cert_path": "client.pem", "client_key_path": "client.key"}
STRANGERS = {"client_cert_path": "stranger.pem", "client_key_path": "stranger.key"}


@pytest.fixture(scope="module")
def guards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedBroker]:
    """The one broker."""
    with guarded(tmp_path_factory.mktemp("guarded")) as broker:
        yield broker


@pytest.mark.parametrize(
    ("door", "who"),
    [("secret", OURS), ("tls", CA), ("client", {**CA, **CERTIFICATE})],
    ids=["password", "tls", "certificate"],
)
async def test_who_may_is_let_in(
    guards: GuardedBroker, tmp_path: Path, door: str, who: dict[str, Any]
) -> None:
    """A password, TLS with a root of one's own, and a client certificate work."""
    account = guards.account(door, f"home/{door}", **who)
    home = Home(tmp_path, account, held=[record(LAMP)])
    async with running(home):
        await until(lambda: home.sent == 1)
    assert home.failures == []
    assert await probe(account) == "MQTT 5"


@pytest.mark.parametrize(
    ("door", "topic", "who", "reason", "hint"),
    [
        ("secret", "home", {**OURS, "password": "guessed"}, "refuses the account", "MQTT_PASSWORD"),
        ("secret", "home", {}, "refuses who gives no name", "MQTT_USERNAME"),
        ("secret", "away", OURS, "does not give back what is sent to away/$otaflux", "away/#"),
        ("secret", "home", {**OURS, "username": MUTE}, "does not give back", "home/#"),
        ("tls", "home", {}, "certificate verify failed", "MQTT_CA_CERT_PATH"),
        ("tls", "home", {"ca_cert_path": "other.pem"}, "verify failed", "MQTT_CA_CERT_PATH"),
        ("elsewhere", "home", CA, "not valid for 'localhost'", "host of MQTT_URL"),
        ("client", "home", CA, "does not answer", "client certificate"),
        ("client", "home", {**CA, **STRANGERS}, "does not answer", "client certificate"),
    ],
    ids=[
        "password", "nobody", "topic", "may-not-read", "no-root", "other-root", "host",
        "no-certificate", "stranger",
    ],
)  # fmt: skip
async def test_who_may_not_is_told_why(
    guards: GuardedBroker,
    tmp_path: Path,
    door: str,
    topic: str,
    who: dict[str, Any],
    reason: str,
    hint: str,
) -> None:
    """The server and `otaflux check` say the same, with what to do; no secret is in it."""
    account = guards.account(door, topic, **who)
    home = Home(tmp_path, account, patience=0.3)
    async with running(home):
        await until(lambda: bool(home.failures))
    with pytest.raises(Undecided) as refused:
        await probe(account, patience=0.3)
    for said, advice in (
        (home.failures[0].reason, home.failures[0].hint),
        (str(refused.value), refused.value.hint),
    ):
        assert reason in said
        assert hint in advice
        assert PASSWORD not in said + advice
        assert "guessed" not in said + advice
    assert not any(isinstance(each, BrokerConnected) for each in home.told)


@pytest.mark.parametrize("secure", [True, False])
async def test_tls_on_one_side_only_is_told(guards: GuardedBroker, *, secure: bool) -> None:
    """mqtts:// to a port without TLS, and mqtt:// to one with it."""
    door = guards.account("open" if secure else "tls", "home")
    with pytest.raises(Undecided) as refused:
        await probe(replace(door, secure=secure), patience=0.3)
    assert "TLS" in refused.value.hint


@pytest.mark.parametrize("where", [{"port": 1}, {"host": "nowhere.invalid"}])
async def test_nobody_there_is_told(guards: GuardedBroker, where: dict[str, Any]) -> None:
    """A port that nobody listens on, a name that is none."""
    with pytest.raises(Undecided) as refused:
        await probe(replace(guards.account("open", "home"), **where), patience=0.3)
    assert "MQTT_URL" in refused.value.hint


async def test_who_may_not_write_is_found_out(guards: GuardedBroker, tmp_path: Path) -> None:
    """A broker takes messages that it throws away: what was sent is looked for once."""
    account = guards.account("secret", "home/deaf", **{**OURS, "username": DEAF})
    held = [record(release("1.0.0", b"x", device=f"board-{n}")) for n in range(3)]
    home = Home(tmp_path, replace(account, topic="home"), held=held)
    async with running(home):
        await until(lambda: bool(home.failures))
    (failure,) = home.failures
    assert "took a message for home/board-0 and does not have it" in failure.reason
    assert failure.is_connected


async def test_a_root_that_is_no_file_any_more_is_told(
    guards: GuardedBroker, tmp_path: Path
) -> None:
    """Files are read at each connection; what is wrong then is no end of the server."""
    account = replace(guards.account("tls", "home"), ca_cert_path=tmp_path / "gone.pem")
    home = Home(tmp_path, account)
    async with running(home):
        await until(lambda: len(home.failures) >= 2)
    assert "MQTT_CA_CERT_PATH" in home.failures[0].hint


async def test_a_broker_that_keeps_no_messages_is_told(topic: str, tmp_path: Path) -> None:
    """Retained messages can be switched off; nothing is announced then, and it is said."""
    with mosquitto(tmp_path, "retain_available false\n") as broker:
        account = Account(host="127.0.0.1", port=broker.port, secure=False, topic=topic)
        with pytest.raises(Undecided) as refused:
            await probe(account, patience=0.5)
    assert "keeps no retained messages" in str(refused.value)


async def test_a_broker_that_knows_only_the_older_protocol_gets_that(topic: str) -> None:
    """MQTT 3.1.1 is spoken where a broker refuses MQTT 5 as that has it (3.2.2.3), or just leaves.

    The fake stands for such brokers, of which Debian has none: it refuses and does no more.
    """
    asked: list[int] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(9)  # CONNECT, its length, "MQTT", the version
        asked.append(head[8])
        if len(asked) == 1:
            writer.write(b"\x20\x02\x00\x01")  # unacceptable protocol version
        elif len(asked) == 2:
            writer.write(b"\x20\x02\x00\x05")  # not authorized
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        account = Account(host="127.0.0.1", port=port, secure=False, topic=topic)
        with pytest.raises(Undecided, match="refuses who gives no name"):
            await probe(account, patience=0.5)
    assert asked == [5, 4]


async def test_the_older_protocol_works_as_well(guards: GuardedBroker) -> None:
    """All that is done over a connection is done with MQTT 3.1.1 too."""
    account = guards.account("open", "home/older")
    heard: list[bytes] = []
    version = ProtocolVersion.V311
    async with connected(account, version, replica="r", patience=2) as session:
        await session.open()
        await session.listen("home/older/$otaflux/hooks", heard.append)
        await session.publish("home/older/lamp", b"1", retain=True)
        assert await session.read(["home/older/lamp", "home/older/none"]) == {
            "home/older/lamp": b"1"
        }
        await session.publish("home/older/$otaflux/hooks", b"2")
        await until(lambda: heard == [b"2"])


@pytest.mark.parametrize("known", [True, False])
def test_check_says_whether_the_broker_works(
    guards: GuardedBroker, tmp_path: Path, *, known: bool
) -> None:
    """`otaflux check` tries it, and exits 1 where it does not let us in; no secret is shown."""
    done = otaflux(
        "check",
        cwd=tmp_path,
        LISTEN_ADDR=f"127.0.0.1:{free_port()}",
        MQTT_URL=f"mqtt://127.0.0.1:{guards.door('secret')}",
        MQTT_TOPIC="home/check/",
        MQTT_USERNAME=USER if known else "stranger",
        MQTT_PASSWORD=PASSWORD,
    )
    assert done.returncode == (0 if known else 1), done.stdout
    said = "ok    broker mqtt://" if known else "FAIL  broker mqtt://"
    assert said in done.stdout
    assert "PUBLIC_URL is not set" in done.stdout
    assert PASSWORD not in done.stdout + done.stderr
