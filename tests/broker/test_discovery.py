"""Home Assistant is told of devices and units, in the fields that its MQTT integration reads."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from broker_parts import Home, account, running
from held_releases import record, release
from hypothesis import given
from hypothesis import strategies as st
from mosquitto import Mosquitto
from mqtt_client import Onlooker, onlooker

from otaflux.broker.discovery import Discovery
from otaflux.broker.entities import Entity, object_of, state
from otaflux.model.names import STABLE, Device
from otaflux.units.units import Units

LAMP, DOOR = Device("lamp"), Device("acme/door")
# What Home Assistant's discovery takes a topic for, and the keys of its schemas that we use.
TOPIC = re.compile(r"(?P<component>\w+)/(?P<object>[a-zA-Z0-9_-]+)/config")
COMMON = {"name", "unique_id", "state_topic", "origin", "device"}
SENSOR = {*COMMON, "icon", "value_template", "json_attributes_topic"}
UPDATE = {*COMMON, "device_class"}


class Shown(Home):
    """A home with Home Assistant beside it."""

    def __init__(
        self,
        folder: Path,
        broker: Mosquitto,
        topic: str,
        *,
        most: int = 100,
        units: Units | None = None,
    ) -> None:
        who = account(broker, topic)
        super().__init__(folder, who, held=[record(release("1.0.0", b"lamp"))])
        self.units = Units(events=self.events) if units is None else units
        self.discovery = Discovery(
            f"{topic}/ha",
            who,
            self.catalog,
            self.units,
            channel=STABLE,
            events=self.events,
            most=most,
        )
        self.link = self.linked(who, [self.discovery])


class HomeAssistant:
    """What it would know: entities by their component, and states."""

    def __init__(self, seen: Onlooker, topic: str) -> None:
        self._seen = seen
        self._topic = topic

    def entities(self, component: str) -> list[dict[str, Any]]:
        """The configurations that stand, each at a topic that is one."""
        found = []
        for topic, said in self._seen.last.items():
            if topic.startswith(f"{self._topic}/ha/"):
                match = TOPIC.fullmatch(topic.removeprefix(f"{self._topic}/ha/"))
                assert match is not None, topic
                if match["component"] == component and said:
                    assert said["unique_id"] == match["object"]
                    found.append(said)
        return found

    def state(self, entity: dict[str, Any]) -> Any:
        """The state of an entity."""
        return self._seen.last.get(entity["state_topic"])

    def states(self, component: str = "update") -> list[Any]:
        """The states of all entities of a kind."""
        return [self.state(entity) for entity in self.entities(component)]


@pytest.mark.real("mosquitto")
async def test_devices_and_units_are_entities(
    broker: Mosquitto, topic: str, tmp_path: Path
) -> None:
    """A sensor each, an update entity each, and they go with what they stand for."""
    home = Shown(tmp_path, broker, topic)
    home.units.heard(LAMP, "kitchen 1", runs="0.9.0")  # before the broker was there
    async with running(home), onlooker(broker.url, f"{topic}/#") as seen:
        assistant = HomeAssistant(seen, topic)
        await seen.until(lambda: None not in assistant.states() and len(assistant.states()) == 1)
        await seen.until(lambda: len(assistant.states("sensor")) == 1)
        await seen.until(lambda: None not in assistant.states("sensor"))
        (sensor,), (update,) = assistant.entities("sensor"), assistant.entities("update")
        assert set(sensor) <= SENSOR
        assert set(update) <= UPDATE
        assert sensor["value_template"] == "{{ value_json.version }}"
        assert assistant.state(sensor)["version"] == "1.0.0"
        assert assistant.state(update) == {
            "installed_version": "0.9.0",
            "latest_version": "1.0.0",
            "title": "lamp",
        }
        noted = replace(
            release("1.1.0", b"new"), summary="s" * 300, page="https://lamp.example/1.1"
        )
        home.publish(noted)
        await seen.until(lambda: assistant.state(update)["latest_version"] == "1.1.0")
        assert assistant.state(update)["release_summary"] == "s" * 255
        assert assistant.state(update)["release_url"] == "https://lamp.example/1.1"
        home.units.heard(LAMP, "kitchen 1", runs="1.1.0")
        await seen.until(lambda: assistant.state(update)["installed_version"] == "1.1.0")
        home.units.heard(DOOR, "front", runs="3.0.0", told="3.1.0-beta.1")
        await seen.until(lambda: len(assistant.states()) == 2 and None not in assistant.states())
        assert assistant.states()[1]["latest_version"] == "3.1.0-beta.1"
        home.units.heard(DOOR, "front", runs="3.0.0", told="3.2.0-beta.1")  # its channel's alone
        await seen.until(lambda: assistant.states()[1]["latest_version"] == "3.2.0-beta.1")
        await home.catalog.forget(LAMP)
        await seen.until(lambda: assistant.entities("sensor") == [])


@pytest.mark.real("mosquitto")
async def test_entities_of_units_are_bounded_and_go_with_them(
    broker: Mosquitto, topic: str, tmp_path: Path
) -> None:
    """Of three units two have one; one that is forgotten makes room for the next."""
    units = Units(3)
    home = Shown(tmp_path, broker, topic, most=2, units=units)
    async with running(home), onlooker(broker.url, f"{topic}/#") as seen:
        assistant = HomeAssistant(seen, topic)
        for number in range(3):
            units.heard(LAMP, f"u{number}", runs="1.0.0")
        await seen.until(lambda: len(assistant.entities("update")) == 2)
        units.heard(LAMP, "u3", runs="1.0.0")  # u0 is forgotten for it
        names = {"lamp u1", "lamp u3"}
        await seen.until(
            lambda: {each["device"]["name"] for each in assistant.entities("update")} == names
        )
        await seen.until(lambda: sum(bool(said) for said in assistant.states()) == 2)
    assert home.failures == []


@pytest.mark.real("mosquitto")
async def test_nothing_is_said_twice_and_another_replicas_word_stands(
    broker: Mosquitto, topic: str, tmp_path: Path
) -> None:
    """After a restart nothing is sent; what another replica said of a unit is left as it is."""
    first = Shown(tmp_path, broker, topic)
    first.units.heard(LAMP, "u", runs="1.0.0")
    async with running(first), onlooker(broker.url, f"{topic}/#") as seen:
        await seen.until(lambda: first.sent == 4 and first.is_idle)
    second = Shown(tmp_path, broker, topic)
    second.units.heard(LAMP, "u", runs="0.8.0")
    second.units.heard(LAMP, "u", runs="0.9.0")
    before = Units()
    before.heard(LAMP, "u", runs="0.9.0")
    third = Shown(tmp_path, broker, topic, units=before)
    async with running(third), onlooker(broker.url, f"{topic}/#") as seen:
        assistant = HomeAssistant(seen, topic)
        await seen.until(lambda: third.is_idle and len(assistant.states()) == 1)
        assert third.sent == 0
        assert assistant.states()[0]["installed_version"] == "1.0.0"


@given(st.text(st.characters(codec="ascii"), min_size=1, max_size=200), st.text(max_size=200))
def test_objects_have_names_that_home_assistant_takes(unit: str, topic: str) -> None:
    """Letters, digits, `_` and `-`, bounded, and another for each unit, device and topic."""
    name = object_of(Entity(LAMP, unit), topic)
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,100}", name)
    others = [Entity(LAMP), Entity(DOOR, unit), Entity(LAMP, unit + "x")]
    assert name not in {object_of(other, topic) for other in others}
    assert name != object_of(Entity(LAMP, unit), topic + "x")
    assert name == object_of(Entity(LAMP, unit, is_state=True), topic)


@pytest.mark.parametrize(
    "page",
    ["javascript:alert(1)", "lamp.example", "https://", "https://a b", "https://x/" + "y" * 600],
)
def test_a_page_that_is_no_address_is_left_out(page: str) -> None:
    """Home Assistant refuses the whole state for it."""
    odd = replace(release("1.0.0", b"x"), page=page)
    said = state(Entity(LAMP, "u"), "1.0.0", "1.0.0", odd)
    assert b"release_url" not in said
