"""What Home Assistant is told of an entity, and where: pure.

Its MQTT integration reads a retained message at `PREFIX/COMPONENT/OBJECT/config` and makes an
entity of it; an empty one takes it away. OBJECT is letters, digits, `_` and `-`, and has to be
one's own: it is what can be read of the names, and a sum of them. No install button is offered, for
boards pull. A state with an address that is none is refused whole, so such a page is left out.

Fields: home-assistant.io/integrations/mqtt (discovery), …/update.mqtt and …/sensor.mqtt.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

import otaflux
from otaflux.model.names import Device
from otaflux.model.notes import page_of
from otaflux.model.release import Release

MAX_READABLE = 48  # characters of an object's name that are of a device or a unit
MAX_SUMMARY = 255  # characters; Home Assistant takes no more

_ODD = re.compile(r"[^A-Za-z0-9]+")


class Entity(msgspec.Struct, frozen=True):
    """A device's sensor, or one of the two messages of a unit's update entity."""

    device: Device
    unit: str = ""
    is_state: bool = False


def object_of(entity: Entity, topic: str) -> str:
    """The object's name; `topic` tells one installation at a broker from another."""
    names = f"{topic}\0{entity.device.name}\0{entity.unit}"
    readable = _ODD.sub("_", f"{entity.device} {entity.unit}").strip("_")[:MAX_READABLE]
    return f"otaflux_{readable}_{hashlib.sha256(names.encode()).hexdigest()[:12]}"


def config(entity: Entity, topic: str, state_topic: str) -> bytes:
    """The message that makes an entity, whose state stands at `state_topic`."""
    name = object_of(entity, topic)
    about: dict[str, Any] = {
        "unique_id": name,
        "state_topic": state_topic,
        "origin": {"name": "OtaFlux", "sw_version": otaflux.__version__},
        "device": {
            "identifiers": [name],
            "name": f"{entity.device} {entity.unit}".strip(),
            "manufacturer": "OtaFlux",
            "model": entity.device.name,
        },
    }
    if entity.unit:
        return msgspec.json.encode({"name": "Firmware", "device_class": "firmware", **about})
    return msgspec.json.encode(
        {
            "name": "Latest firmware",
            "icon": "mdi:package-up",
            "value_template": "{{ value_json.version }}",
            "json_attributes_topic": state_topic,
            **about,
        }
    )


def state(entity: Entity, runs: str, latest: str, release: Release | None) -> bytes:
    """What a unit runs and could run; `release` says what is told of the latest, if any."""
    said = {
        "installed_version": runs,
        "latest_version": latest,
        "title": entity.device.name,
    }
    if release is not None and release.version.text == latest:
        if release.summary:
            said["release_summary"] = release.summary[:MAX_SUMMARY]
        page = page_of(release.page)
        if page:
            said["release_url"] = page
    return msgspec.json.encode(said)
