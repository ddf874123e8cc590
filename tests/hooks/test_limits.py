"""One hook is read up to a limit, wherever in it the many things stand."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable

import pytest

from otaflux import hooks
from otaflux.hooks.payload import MAX_PARTS
from otaflux.model.event import HookEvent, Noise

BODY = 8 << 20  # bytes, the most that the receiver takes
ROOM = 4 << 20  # bytes that reading one may take beside it
MANY = 200_000


def harbor(kind: str, **data: object) -> object:
    """Harbor's event of a type."""
    return {"type": kind, "occur_at": 1, "event_data": data}


def replicated(*, artifacts: object, namespace: str = "firmware") -> object:
    """Harbor's event of a replication from `firmware`."""
    resources = {
        "src_resource": {"namespace": "firmware"},
        "dest_resource": {"registry_name": "edge", "namespace": namespace},
    }
    told = {"job_status": "Success", **resources, "successful_artifact": artifacts}
    return harbor("REPLICATION", replication=told)


def tags(count: int) -> list[str]:
    """So many tags."""
    return [f"1.0.{number}" for number in range(count)]


LAMP = {"repo_full_name": "firmware/lamp"}
ITEMS = "lamp [9 item(s) in total]"
SHAPES: dict[str, Callable[[int], object]] = {
    "distribution": lambda count: {
        "events": [
            {"action": "push", "target": {"repository": "firmware/lamp", "tag": tag}}
            for tag in tags(count)
        ]
    },
    "harbor-resources": lambda count: harbor(
        "PUSH_ARTIFACT", repository=LAMP, resources=[{"tag": tag} for tag in tags(count)]
    ),
    "harbor-replication-artifacts": lambda count: replicated(
        artifacts=[{"name_tag": f"lamp:{tag}"} for tag in tags(count)]
    ),
    "harbor-replication-references": lambda count: replicated(
        artifacts=[{"name_tag": ITEMS, "references": tags(count)}]
    ),
    "harbor-replication-nested": lambda count: replicated(
        artifacts=[
            {"name_tag": f"{name} [9 item(s) in total]", "references": tags(count // 10)}
            for name in "abcdefghij"
        ]
    ),
    "harbor-replication-two-places": lambda count: replicated(
        artifacts=[{"name_tag": ITEMS, "references": tags(count // 2)}], namespace="build"
    ),
    "harbor-replication-name-tag": lambda count: replicated(
        artifacts=[{"name_tag": f"lamp:[{','.join(tags(count))}]"}]
    ),
    "harbor-retention": lambda count: harbor(
        "TAG_RETENTION",
        retention={
            "project_name": "firmware",
            "deleted_artifact": [{"name_tag": f"lamp{number}:x"} for number in range(count)],
        },
    ),
    "quay": lambda count: {"repository": "firmware/lamp", "updated_tags": tags(count)},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_hook_of_as_many_parts_as_are_read_is_read_whole(shape: str) -> None:
    """At the limit each part is an event, and nothing is said to be left out."""
    parts = hooks.parse({}, json.dumps(SHAPES[shape](MAX_PARTS)).encode()).parts
    assert [type(part) for part in parts] == [HookEvent] * MAX_PARTS


@pytest.mark.parametrize("count", [MAX_PARTS + 10, MANY])
@pytest.mark.parametrize("shape", SHAPES)
def test_of_a_hook_with_more_parts_the_first_are_read(shape: str, count: int) -> None:
    """Beyond the limit nothing is read, whatever the nesting, and the last part says so."""
    parts = hooks.parse({}, json.dumps(SHAPES[shape](count)).encode()).parts
    assert [type(part) for part in parts] == [HookEvent] * MAX_PARTS + [Noise]
    assert isinstance(parts[-1], Noise)
    assert f"only the first {MAX_PARTS} events" in parts[-1].reason
    assert parts[0] == hooks.parse({}, json.dumps(SHAPES[shape](10)).encode()).parts[0]


def test_one_thing_said_often_is_one_part() -> None:
    """Repeats in one hook are one event, and still count against the limit."""
    event = {"action": "push", "target": {"repository": "firmware/lamp", "tag": "1.0.0"}}
    (only,) = hooks.parse({}, json.dumps({"events": [event] * MAX_PARTS}).encode()).parts
    assert isinstance(only, HookEvent)
    only, rest = hooks.parse({}, json.dumps({"events": [event] * (MAX_PARTS + 1)}).encode()).parts
    assert isinstance(rest, Noise)


REPLICATED = (
    b'{"type":"REPLICATION","event_data":{"replication":'
    b'{"job_status":"Success","successful_artifact":[%s]}}}'
)
ENVELOPES = [
    b'{"events":[%s]}',
    b'{"type":"PUSH_ARTIFACT","event_data":{"resources":[%s]}}',
    REPLICATED,
    REPLICATED.replace(b"%s", b'{"name_tag":"lamp:1","references":[%s]}'),
    b'{"type":"TAG_RETENTION","event_data":{"retention":{"deleted_artifact":[%s]}}}',
    b'{"repository":"firmware/lamp","updated_tags":[%s]}',
    b'{"repository":"firmware/lamp","updated_tags":{%s}}',
]


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_a_large_hook_of_tiny_parts_costs_little_memory(envelope: bytes) -> None:
    """What is not read is never built: a list of four million numbers costs no memory."""
    number = b'"a":0,' if b"{%s}" in envelope else b"0,"
    room = BODY - len(envelope)
    body = envelope % (number * (room // len(number)))[:-1]
    tracemalloc.start()
    try:
        parts = hooks.parse({}, body).parts
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < ROOM
    assert all(isinstance(part, Noise) for part in parts)
    assert parts


def test_quays_old_object_of_tags_is_read_while_it_is_small() -> None:
    """An object cannot be read in part, so a large one is told to be too large."""
    by_tag = dict.fromkeys(tags(20_000), "image")
    body = {"repository": "firmware/lamp", "updated_tags": by_tag}
    (part,) = hooks.parse({}, json.dumps(body).encode()).parts
    assert isinstance(part, Noise)
    assert "updated_tags" in part.reason
