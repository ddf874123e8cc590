"""When a request is tried again: how often, after how long, and when it is the queue's to wait."""

from __future__ import annotations

import random
import socket
import ssl
from email.utils import formatdate
from time import time
from typing import Any

import aiohttp
import pytest
import trustme
from fake_faults import Disconnect, Hang, Status, Throttled
from fake_registry import FakeRegistry
from hypothesis import given
from hypothesis import strategies as st
from registry_client import FAST, SENSOR, remote

from otaflux.errors import Undecided, Unreachable
from otaflux.model.names import Device
from otaflux.registry.remote.failures import OUTAGE
from otaflux.registry.remote.retries import COMMAND, SERVER, RetryPolicy, is_refusal, retry_after

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("3600", 60.0),
        ("9" * 400, 60.0),
        (formatdate(NOW + 5, usegmt=True), 5.0),
        (formatdate(NOW - 5, usegmt=True), 0.0),
        (formatdate(NOW + 86_400, usegmt=True), 60.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("Thu, 99 Xxx 9999 99:99:99 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str, seconds: float | None) -> None:
    """Seconds or a date, never below nought, never above a minute; nonsense is nothing."""
    assert retry_after({"Retry-After": header}, NOW) == seconds


@given(st.text(max_size=50))
def test_any_retry_after_is_bounded(header: str) -> None:
    """A hostile header neither raises nor makes anyone wait longer than a minute."""
    seconds = retry_after({"Retry-After": header}, NOW)
    assert seconds is None or 0 <= seconds <= 60


@given(st.integers(1, 10_000), st.integers())
def test_waits_are_spread_and_bounded(attempt: int, seed: int) -> None:
    """Clients that failed together do not come back together, nor hours later."""
    for policy in (SERVER, COMMAND):
        assert 0 < policy.wait(attempt, random.Random(seed)) <= 60 * (1 + policy.jitter)


@pytest.mark.parametrize(
    "fault", [Status(500), Status(502), Status(408), Throttled(None), Disconnect()], ids=repr
)
async def test_a_fault_that_passes_is_not_noticed(fault: Any) -> None:
    """The second try counts."""
    async with FakeRegistry() as registry, remote(registry) as client:
        registry.content.put("acme/sensor", "1.0.0", layers=[b"x"])
        registry.fail("tags", fault)
        assert (await client.tags(SENSOR)).tags
        assert len(registry.seen("tags")) == 2


@pytest.mark.parametrize(
    ("fault", "requests"),
    # where a connection ends with no answer aiohttp itself asks once more: it may have been idle
    [(Status(500), 2), (Status(503), 2), (Throttled(None), 2), (Disconnect(), 4)],
    ids=repr,
)
async def test_a_fault_that_stays_is_undecided_after_two_tries(fault: Any, requests: int) -> None:
    """No more than two; the rest is the queue's."""
    async with FakeRegistry() as registry, remote(registry) as client:
        registry.fail("tags", fault, times=None)
        with pytest.raises(Undecided):
            await client.tags(SENSOR)
        assert len(registry.seen("tags")) == requests


@pytest.mark.parametrize("as_date", [False, True])
async def test_a_long_retry_after_frees_the_place_at_once(as_date: bool) -> None:
    """Who is told to wait longer than two seconds hands that on, and does not wait here."""
    async with FakeRegistry() as registry, remote(registry) as client:
        registry.fail("tags", Throttled(30, as_date=as_date), times=None)
        with pytest.raises(Undecided) as refusal:
            await client.tags(SENSOR)
        assert refusal.value.retry_after == pytest.approx(30, abs=2)
        assert len(registry.seen("tags")) == 1


async def test_a_short_retry_after_is_waited_for() -> None:
    """`Retry-After` counts more than our own idea of a wait."""
    async with FakeRegistry() as registry, remote(registry) as client:
        registry.content.put("acme/sensor", "1.0.0", layers=[b"x"])
        registry.fail("tags", Throttled(1))
        before = time()
        assert (await client.tags(SENSOR)).tags
        assert time() - before >= 1


async def test_a_command_is_patient() -> None:
    """A longer policy tries more often."""
    policy = RetryPolicy(attempts=6, within=120, first=0.001, factor=1)
    async with FakeRegistry() as registry, remote(registry, policy=policy) as client:
        registry.content.put("acme/sensor", "1.0.0", layers=[b"x"])
        registry.fail("tags", Status(503), times=5)
        assert (await client.tags(SENSOR)).tags


@pytest.mark.parametrize("refusals", [1, 3])
async def test_a_command_soon_believes_that_nobody_listens(refusals: int) -> None:
    """A refused connection is tried less often than a registry that errs."""
    policy = RetryPolicy(attempts=6, refusals=refusals, within=120, first=0.001, factor=1)
    outcomes: list[str] = []
    async with (
        FakeRegistry() as registry,
        remote(registry, policy=policy, on_request=lambda _, out: outcomes.append(out)) as client,
    ):
        await registry.stop()
        with pytest.raises(Unreachable):
            await client.tags(SENSOR)
    assert outcomes == ["failed"] * refusals


async def test_an_unknown_name_is_a_refusal() -> None:
    """A name that nobody has is told as soon as a port at which nobody listens."""
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    later = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    key: Any = None
    assert is_refusal(aiohttp.ClientConnectorDNSError(key, unknown))
    assert not is_refusal(aiohttp.ClientConnectorDNSError(key, later))


async def test_a_wrong_certificate_is_tried_once() -> None:
    """It is wrong at the next try too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    policy = RetryPolicy(attempts=6, within=120, first=0.001, factor=1)
    outcomes: list[str] = []
    async with (
        FakeRegistry(tls=context) as registry,
        remote(registry, policy=policy, on_request=lambda _, out: outcomes.append(out)) as client,
    ):
        with pytest.raises(Unreachable):
            await client.tags(SENSOR)
    assert outcomes == ["failed"]


async def test_4xx_is_an_answer() -> None:
    """What the registry says on purpose is not asked twice."""
    async with FakeRegistry() as registry, remote(registry) as client:
        registry.fail("tags", Status(418), times=None)
        with pytest.raises(Undecided):
            await client.tags(SENSOR)
        assert len(registry.seen("tags")) == 1


async def test_a_registry_that_is_away_is_unreachable() -> None:
    """Nobody at the port: every device would fail now."""
    async with FakeRegistry() as registry, remote(registry) as client:
        await registry.stop()
        with pytest.raises(Unreachable) as refusal:
            await client.tags(SENSOR)
        assert "REGISTRY_URL" in refusal.value.hint
        registry.content.put("acme/sensor", "1.0.0", layers=[b"x"])
        await registry.start()
        assert (await client.tags(SENSOR)).tags


async def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    """No address for the registry's host."""
    async with FakeRegistry() as other, remote(other, url="http://nowhere.invalid") as client:
        with pytest.raises(Unreachable, match=r"nowhere\.invalid"):
            await client.tags(SENSOR)


async def test_a_registry_that_hangs_is_given_up() -> None:
    """A connection with no answer ends by the time that the policy gives."""
    policy = RetryPolicy(first=0.001, read_timeout=0.2)
    async with FakeRegistry() as registry, remote(registry, policy=policy) as client:
        registry.fail("tags", Hang(), times=None)
        with pytest.raises(Undecided, match="in time"):
            await client.tags(SENSOR)


@pytest.mark.parametrize("fault", [Status(503), Throttled(40), Disconnect()], ids=repr)
async def test_one_repository_that_fails_is_not_an_outage(fault: Any) -> None:
    """Asked again and again it stays `Undecided`; several different ones are an outage."""
    async with FakeRegistry() as registry, remote(registry, policy=FAST) as client:
        registry.content.put("acme/good", "1.0.0", layers=[b"x"])
        registry.fail("tags", fault, times=None, when=lambda seen: seen.repository != "acme/good")
        for _ in range(OUTAGE + 1):
            with pytest.raises(Undecided) as refusal:
                await client.tags(SENSOR)
            assert not isinstance(refusal.value, Unreachable)
        kinds = []
        for number in range(OUTAGE):
            with pytest.raises(Undecided) as refusal:
                await client.tags(Device(f"other{number}"))
            kinds.append(type(refusal.value))
        assert kinds[-1] is Unreachable
        await client.tags(Device("good"))
        with pytest.raises(Undecided) as refusal:
            await client.tags(SENSOR)
        assert not isinstance(refusal.value, Unreachable)
