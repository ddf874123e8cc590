"""`/status`: what each device is told and why, in pages, with its fields documented."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from device_server import release
from simulation import senders
from simulation.registry import Shape
from watched import Watched, run_watched

from otaflux.errors import Unreachable
from otaflux.events import UnitLooping
from otaflux.model.event import Priority
from otaflux.model.names import Device
from otaflux.model.proof import SignatureProof
from otaflux.model.signer import IdentitySigner

LAMP = Device("lamp")
DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_a_device_says_what_it_is_told_since_when_and_how_that_came() -> None:
    """By a hook, by a re-check; and when it was last heard of."""

    async def test(rig: Watched) -> None:
        rig.push("lamp", "1.0.0")
        await rig.look("lamp")
        (lamp,) = (await rig.status())["devices"]
        stable = lamp["channels"]["stable"]
        assert (stable["version"], stable["came"]) == ("1.0.0", "re-check")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", stable["since"])
        assert lamp["last_hook"] is lamp["last_poll"] is lamp["error"] is None
        async with rig.running():
            await asyncio.sleep(20)
            rig.push("lamp", "1.1.0")
            hook = senders.somewhere(LAMP)
            await rig.program.wire.post(hook.path, hook.headers, hook.body)
            await asyncio.sleep(60)
            await rig.program.wire.get("/firmware?device=lamp", method="HEAD")
        (lamp,) = (await rig.status("?device=lamp"))["devices"]
        assert lamp["channels"]["stable"]["came"] == "hook"
        assert lamp["kept"] == ["1.0.0"]
        assert lamp["last_hook"]["what"].startswith("generic: push")
        assert lamp["last_poll"]
        assert lamp["polls"] == 1
        words = [each["event"] for each in lamp["events"]]
        assert words.count("release_published") == 4, "two channels, two releases"
        assert "hook_accepted" in words

    run_watched(test)


def test_a_refused_release_is_shown_with_its_reason_and_what_to_do() -> None:
    """And after a restart too, from the disk."""

    async def test(rig: Watched) -> None:
        rig.push("lamp", "1.0.0")
        rig.push("lamp", "2.0.0", Shape.BAD)
        await rig.look("lamp")
        for notes in ("in memory", "on disk"):
            (lamp,) = (await rig.status("?device=lamp"))["devices"]
            refused = lamp["last_refused"]
            assert (refused["tag"], refused["above_current"]) == ("2.0.0", True), notes
            assert refused["reason"]
            assert refused["hint"]
            assert lamp["wrong"][0]["kind"] == "refused"
            rig.seen.journal.of(LAMP).refused.clear()

    run_watched(test)


def test_who_signed_a_release_is_shown() -> None:
    """By the record; null where nobody had to. On the pages too, escaped."""

    async def test(rig: Watched) -> None:
        rig.push("lamp", "1.0.0")
        await rig.look("lamp")
        record = rig.program.catalog.get(LAMP)
        assert record is not None
        assert (await rig.status())["devices"][0]["channels"]["stable"]["signature"] is None
        current = record.current()
        assert current is not None
        proof = SignatureProof((IdentitySigner("ci@example.com<b>", "https://issuer.example"),))
        proofs = MappingProxyType({current.manifest_digest: proof})
        rig.program.catalog.load(replace(record, proofs=proofs))
        stable = (await rig.status())["devices"][0]["channels"]["stable"]
        assert stable["signature"] == "ci@example.com<b> (issuer https://issuer.example)"
        for path in ("/", "/device/lamp"):
            assert b"ci@example.com&lt;b&gt;" in (await rig.get(path)).body

    run_watched(test)


def test_a_look_that_fails_is_shown_until_one_does_not() -> None:
    """With what to do, since when and how often; alike ones of many devices are one thing."""

    async def test(rig: Watched) -> None:
        rig.registry.away = True
        for name in ("lamp", "door", "lamp"):
            with pytest.raises(Unreachable):
                await rig.look(name)
        said = await rig.status()
        (wrong,) = said["wrong"]
        assert (wrong["kind"], wrong["devices"]) == ("failing", 2)
        error = (await rig.status("?device=lamp"))["devices"][0]["error"]
        assert (error["reason"], error["times"]) == ("no answer", 2)
        rig.registry.away = False
        rig.push("lamp", "1.0.0")
        await rig.look("lamp")
        (lamp,) = (await rig.status("?device=lamp"))["devices"]
        assert lamp["error"] is None
        assert lamp["wrong"] == []

    run_watched(test, "lamp", "door", devices=("lamp", "door"))


def test_what_units_run_and_take_again_and_again_is_shown() -> None:
    """The most common fault of small fleets."""

    async def test(rig: Watched) -> None:
        rig.push("lamp", "1.0.0")
        await rig.look("lamp")
        rig.seen.observer.quick({(LAMP, 200): 5})
        rig.seen.observer.said({(LAMP, "0.9.0"): 4, (LAMP, "<b>"): 1})
        told = rig.program.catalog.get(LAMP)
        assert told is not None
        current = told.current()
        assert current is not None
        for unit, runs in (("a", "0.9.0"), ("b", "0.9.0"), ("c", "<b>")):
            rig.program.edge.parts.units.heard(LAMP, unit, runs=runs)
        for _ in range(3):
            rig.seen.observer.download(current, "aa:bb", whole=True, last=True)
        rig.seen.observer.download(current, "", whole=False, last=False)
        (lamp,) = (await rig.status("?device=lamp"))["devices"]
        assert lamp["runs"] == {"0.9.0": 4, "other": 1}
        assert lamp["units"] == {"0.9.0": 2, "<b>": 1}
        assert lamp["downloads"] == {"finished": 3, "broken_off": 1}
        assert lamp["wrong"][0]["kind"] == "looping"
        rig.push("lamp", "1.0.1")
        await rig.look("lamp")
        assert (await rig.status("?device=lamp"))["devices"][0]["wrong"] == []

    run_watched(test)


def test_pages_hold_every_device_once() -> None:
    """In the order of their names, by `after`."""

    async def test(rig: Watched) -> None:
        seen: list[str] = []
        query = "?limit=7"
        while query:
            said = await rig.status(query)
            assert len(said["devices"]) <= 7
            seen += [each["device"] for each in said["devices"]]
            query = said["next"] and f"?limit=7&after={said['next']}"
        assert seen == sorted(f"d{number}" for number in range(30))

    run_watched(test, devices=tuple(f"d{number}" for number in range(30)))


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?limit=0", 400),
        ("?limit=1001", 400),
        ("?limit=x", 400),
        ("?limit=%d9%a1", 400),
        ("?device=Lamp", 400),
        ("?device=", 400),
        ("?device=nobody", 404),
        ("?after=%ff&x=%00", 200),
        ("?" + "&".join(f"a{n}=1" for n in range(30)), 400),
    ],
)
def test_queries_are_taken_or_refused_in_words(query: str, status: int) -> None:
    """None is a crash."""

    async def test(rig: Watched) -> None:
        answer = await rig.get(f"/status{query}")
        assert answer.status == status
        assert b"bug" not in answer.body

    run_watched(test)


def test_other_methods_and_addresses_are_refused() -> None:
    """405 and 404; HEAD has no body."""

    async def test(rig: Watched) -> None:
        assert (await rig.get("/status", method="POST")).status == 405
        assert (await rig.get("/version?device=lamp")).status == 404
        head = await rig.get("/status", method="HEAD")
        assert (head.status, head.body) == (200, b"")

    run_watched(test)


def fields(value: Any, path: str = "") -> set[str]:
    """The names of all fields of a document, in their places."""
    if isinstance(value, dict):
        names = set(value) - {"stable", "rc", "1.0.0", "x"}
        inside = {f"{path}{name}" for name in names}
        below = (fields(each, f"{path}{name}." if name in names else path)
                 for name, each in value.items())  # fmt: skip
        return inside.union(*below)
    if isinstance(value, list):
        return set().union(*(fields(each, path) for each in value))
    return set()


def test_every_field_is_documented_and_none_that_is_not_there() -> None:
    """The table of docs/operations.md has the very fields."""

    async def test(rig: Watched) -> None:
        rig.push("lamp", "1.0.0")
        rig.push("lamp", "2.0.0", Shape.BAD)
        await rig.look("lamp", Priority.HOOK)
        rig.overheard.note({"level": "warning", "event": "x", "x": "1"})
        rig.seen.observer.quick({(LAMP, 200): 1})
        rig.seen.observer.said({(LAMP, "1.0.0"): 1})
        hook = senders.somewhere(LAMP)
        await rig.program.wire.post(hook.path, hook.headers, hook.body)
        rig.registry.away = True
        with pytest.raises(Unreachable):
            await rig.look("lamp")
        rig.seen.events.tell(UnitLooping(release("lamp", "1.0.0"), "a", 3))
        rig.program.edge.parts.units.heard(LAMP, "a", runs="1.0.0")
        answer = json.loads((await rig.get("/status?device=lamp")).body)
        found = fields(answer) | fields(await rig.status())
        text = (DOCS / "operations.md").read_text()
        section = text.split("\n## /status\n")[1].split("\n## ")[0]
        documented = set[str]()
        for first, more in re.findall(r"^\| `([a-z_.]+)`([^|]*)\|", section, re.MULTILINE):
            above = first.rpartition(".")[0]
            documented |= {first, *(above + name for name in re.findall(r"`([a-z_.]+)`", more))}
        assert {name.replace("devices.", "") for name in found} == documented

    run_watched(test)
