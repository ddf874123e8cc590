"""What each device is told stands at the broker: once, lastingly, and nothing of it is lost."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType

import pytest
from broker_parts import Home, account, running
from held_releases import record, release
from mosquitto import Mosquitto, mosquitto
from mqtt_client import Onlooker, onlooker

from otaflux.events import BrokerFailed, RunEnded
from otaflux.model.event import Priority, Touch
from otaflux.model.names import STABLE, Channel, Device
from otaflux.model.record import Record, Standing
from otaflux.web.answers import content_path

pytestmark = pytest.mark.real("mosquitto")

OLD, NEW = release("1.0.0", b"old"), release("1.1.0", b"new")
DOOR = release("2.0.0", b"door", device="acme/door")


def version(seen: Onlooker, device: str = "lamp") -> str | None:
    """The version that was said last of a device; None where nothing stands."""
    for topic, said in seen.last.items():
        if topic.endswith(f"/ota/{device}") and said:
            return str(said["version"])
    return None


def ended(device: str = "lamp") -> RunEnded:
    """A look at a device that learnt all."""
    return RunEnded(Device(device), Priority.RECHECK, looks=1, requests=1, seconds=0.1)


async def test_a_release_is_a_retained_message(
    broker: Mosquitto, topic: str, tmp_path: Path
) -> None:
    """Version, size, sums and address are said at MQTT_TOPIC/DEVICE, and stay there."""
    home = Home(tmp_path, account(broker, topic))
    home.publish(DOOR)
    async with running(home):
        home.publish(OLD)
        await onlooked(broker, topic, home, {"lamp", "acme/door"})
    async with onlooker(broker.url, f"{topic}/#") as seen:
        await seen.until(lambda: len(seen.last) == 2)
        assert seen.last[f"{topic}/acme/door"]["version"] == "2.0.0"
        assert seen.last[f"{topic}/lamp"] == {
            "version": "1.0.0",
            "size": 3,
            "crc32": OLD.firmware.sums.crc32,
            "sha256": OLD.firmware.sums.sha256,
            "url": "https://ota.example" + content_path(OLD.firmware),
        }


async def onlooked(broker: Mosquitto, topic: str, home: Home, devices: set[str]) -> None:
    """Wait until the broker has a message of each of these devices, and of no other."""
    expected = {f"{topic}/{device}" for device in devices}
    async with onlooker(broker.url, f"{topic}/#") as seen:
        await seen.until(
            lambda: home.is_idle and {t for t, said in seen.last.items() if said} == expected
        )


async def test_each_change_is_said_once(broker: Mosquitto, topic: str, tmp_path: Path) -> None:
    """A new release is sent, the same record again is not, and one that goes is removed."""
    home = Home(tmp_path, account(broker, topic))
    async with running(home), onlooker(broker.url, f"{topic}/lamp") as seen:
        for each in (OLD, NEW):
            home.publish(each)
            await seen.until(lambda each=each: version(seen) == each.tag.text)
        home.publish(NEW)
        await seen.until(lambda: home.is_idle)
        home.catalog.load(Record(Device("lamp"), "r", ever_synced=True))
        await seen.until(lambda: seen.last[f"{topic}/lamp"] is None)
        home.publish(NEW)
        await seen.until(lambda: seen.last[f"{topic}/lamp"] is not None)
        await home.catalog.forget(Device("lamp"))
        await seen.until(lambda: seen.last[f"{topic}/lamp"] is None)
    said = [each and each["version"] for each in seen.of(f"{topic}/lamp")]
    assert said == ["1.0.0", "1.1.0", None, "1.1.0", None]


async def test_nothing_is_sent_twice_after_a_restart(
    broker: Mosquitto, topic: str, tmp_path: Path
) -> None:
    """A replica that starts, or has the same news, finds at the broker what was said."""
    releases = [release("1.0.0", b"x", device=f"board-{n}") for n in range(1203)]
    first = Home(tmp_path, account(broker, topic))
    first.publish(*releases)
    async with running(first), onlooker(broker.url, f"{topic}/+") as seen:
        await seen.until(lambda: len(seen.last) == 1203 and first.is_idle, seconds=20)
    second = Home(tmp_path, account(broker, topic), held=[record(each) for each in releases])
    second.publish(release("1.0.1", b"y", device="board-7"))
    async with running(second), onlooker(broker.url, f"{topic}/board-7") as seen:
        await seen.until(
            lambda: (
                second.is_idle and seen.last.get(f"{topic}/board-7", {}).get("version") == "1.0.1"
            ),
            seconds=20,
        )
    assert (first.sent, second.sent) == (1203, 1)


async def test_who_is_late_with_its_news_looks_before_it_speaks(
    broker: Mosquitto, topic: str, tmp_path: Path
) -> None:
    """A change here is no reason to take back what another replica found; one's own word is."""
    home = Home(tmp_path, account(broker, topic), held=[record(OLD)])
    newest = release("1.2.0", b"newest")
    async with running(home), onlooker(broker.url, f"{topic}/lamp") as seen:
        await seen.until(lambda: version(seen) == "1.0.0" and home.is_idle)
        other = Home(tmp_path, account(broker, topic), held=[record(newest)])
        async with running(other):
            await seen.until(lambda: version(seen) == "1.2.0")
        home.publish(NEW)
        await seen.until(lambda: bool(home.touches) and home.is_idle)
        home.publish(newest)
        home.events.tell(ended())
        await seen.until(lambda: home.is_idle)
        assert [said["version"] for _, said in seen.all] == ["1.0.0", "1.2.0"]
        home.publish(release("1.3.0", b"x"))
        await seen.until(lambda: version(seen) == "1.3.0")
        home.publish(newest)  # withdrawn: it was our own word
        await seen.until(lambda: version(seen) == "1.2.0")


@pytest.mark.parametrize("held", ["2.0.0", "1.1.0", "nothing"])
async def test_who_may_know_less_looks_before_it_speaks(
    broker: Mosquitto, topic: str, tmp_path: Path, held: str
) -> None:
    """What another replica said is left until a look of our own found otherwise."""
    theirs = release(held if held != "nothing" else "1.0.0", b"theirs")
    ahead = Home(tmp_path, account(broker, topic))
    ahead.publish(theirs)
    async with running(ahead), onlooker(broker.url, f"{topic}/lamp") as seen:
        await seen.until(lambda: bool(seen.all))
    known = Record(Device("lamp"), "r", ever_synced=True) if held == "nothing" else record(NEW)
    late = Home(tmp_path, account(broker, topic), held=[known])
    async with running(late), onlooker(broker.url, f"{topic}/lamp") as seen:
        await seen.until(lambda: bool(late.touches) and late.is_idle)
        assert late.sent == 0
        assert late.touches == [Touch(Device("lamp"), Priority.RECHECK)]
        late.events.tell(ended("door"))
        late.events.tell(ended())
        await seen.until(lambda: len(seen.all) == 2)
    said = seen.last[f"{topic}/lamp"]
    assert (said and said["version"]) == (None if held == "nothing" else "1.1.0")


@pytest.mark.parametrize(
    "held",
    [
        b"rubbish",
        b"\xff\xfe",
        b"[" * 3000,
        b"x" * 100_000,
        json.dumps({"version": "no", "size": 1, "crc32": 1, "sha256": "", "url": ""}).encode(),
        json.dumps({"version": "9.0.0"}).encode(),
        json.dumps({"version": "1.0.9", "size": 1, "crc32": 1, "sha256": "", "url": ""}).encode(),
    ],
    ids=["no-json", "no-text", "deep", "large", "no-version", "half", "lower"],
)
async def test_what_others_wrote_there_is_replaced(
    broker: Mosquitto, topic: str, tmp_path: Path, held: bytes
) -> None:
    """Rubbish of any kind, and what is older, gives way at once."""
    async with onlooker(broker.url, f"{topic}/lamp") as seen:
        await seen.send(f"{topic}/lamp", held, retain=True)
        home = Home(tmp_path, account(broker, topic), held=[record(NEW)])
        async with running(home):
            await seen.until(lambda: len(seen.all) == 2)
    assert seen.last[f"{topic}/lamp"]["version"] == "1.1.0"
    assert home.failures == []


async def test_a_device_that_was_never_looked_at_says_nothing(
    broker: Mosquitto, topic: str, tmp_path: Path
) -> None:
    """What another replica said of it stays."""
    async with onlooker(broker.url, f"{topic}/#") as seen:
        await seen.send(f"{topic}/lamp", b"{}", retain=True)
        untried = Record(Device("lamp"), "r")
        home = Home(tmp_path, account(broker, topic), held=[untried, record(DOOR)])
        async with running(home):
            await seen.until(lambda: f"{topic}/acme/door" in seen.last and home.is_idle)
    assert seen.of(f"{topic}/lamp") == [{}]


async def test_the_default_channel_is_what_is_said(
    broker: Mosquitto, topic: str, tmp_path: Path
) -> None:
    """A fleet that is told pre-releases by default hears of them; else of the stable one."""
    beta = release("2.0.0-beta.1", b"beta")
    standing = {STABLE: Standing(NEW, 1.0), Channel("beta"): Standing(beta, 1.0)}
    both = Record(Device("lamp"), "r", "", MappingProxyType(standing), ever_synced=True)
    home = Home(tmp_path, account(broker, topic), channel=Channel("beta"), public_url=None)
    home.catalog.load(both)
    home.catalog.load(record(DOOR))
    async with running(home), onlooker(broker.url, f"{topic}/#") as seen:
        await seen.until(lambda: len(seen.last) == 2)
    assert seen.last[f"{topic}/lamp"]["version"] == "2.0.0-beta.1"
    assert seen.last[f"{topic}/lamp"]["url"] == content_path(beta.firmware)
    assert seen.last[f"{topic}/acme/door"]["version"] == "2.0.0"


async def test_what_a_broker_forgot_is_said_again(
    broker: Mosquitto, topic: str, tmp_path: Path
) -> None:
    """All is compared anew from time to time, also while the connection lasts."""
    home = Home(tmp_path, account(broker, topic), again=0.05)
    home.publish(OLD)
    async with running(home), onlooker(broker.url, f"{topic}/lamp") as seen:
        await seen.until(lambda: bool(seen.last.get(f"{topic}/lamp")) and home.is_idle)
        await seen.send(f"{topic}/lamp", b"", retain=True)
        await seen.until(lambda: len(seen.all) >= 3)
    assert seen.last[f"{topic}/lamp"]["version"] == "1.0.0"


async def test_nothing_is_lost_while_the_broker_is_away(topic: str, tmp_path: Path) -> None:
    """What changed while it was killed, or frozen, is said when it is back, and nothing twice."""
    with mosquitto(tmp_path) as broker:
        home = Home(tmp_path, account(broker, topic), patience=0.3)
        home.publish(OLD, DOOR)
        async with running(home):
            async with onlooker(broker.url, f"{topic}/#") as seen:
                await seen.until(lambda: len(seen.last) == 2 and home.is_idle)
                broker.freeze()
                home.publish(NEW)
                await seen.until(lambda: bool(home.failures))
                broker.thaw()
                await seen.until(lambda: seen.last[f"{topic}/lamp"]["version"] == "1.1.0")
                await seen.until(lambda: home.connections >= 2 and home.is_idle)
            assert [t for t, _ in seen.all].count(f"{topic}/acme/door") == 1
            count = home.connections
            broker.kill()
            home.publish(release("1.2.0", b"newer"))
            broker.start()
            async with onlooker(broker.url, f"{topic}/#") as seen:
                await seen.until(lambda: home.connections > count and len(seen.last) == 2)
            assert seen.last[f"{topic}/lamp"]["version"] == "1.2.0"
    assert not any(failure.is_connected for failure in home.failures)


async def test_a_broker_that_keeps_nothing_is_one_complaint(topic: str, tmp_path: Path) -> None:
    """An account that may not write, or retained messages that are not kept, are found out."""
    with mosquitto(tmp_path, "retain_available false\n") as broker:
        home = Home(tmp_path, account(broker, topic))
        home.publish(OLD, DOOR)
        async with running(home), onlooker(broker.url, f"{topic}/#") as seen:
            await seen.until(lambda: bool(home.failures))
    (failure,) = home.failures
    assert isinstance(failure, BrokerFailed)
