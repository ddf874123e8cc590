"""The page for people: what is wrong comes first, and all that is from outside is escaped."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest
from device_server import release
from simulation.program import EPOCH
from simulation.registry import Shape
from watched import Watched, run_watched

from otaflux.errors import Unreachable
from otaflux.events import HookAccepted, RunFailed, UnitLooping
from otaflux.model.event import Action
from otaflux.model.names import STABLE, Device, Tag
from otaflux.reason import Cause as Why
from otaflux.reason import Reason
from otaflux.web.ops.moments import iso

LAMP = Device("lamp")
HOSTILE = "<script>alert('x')</script> \"&amp;' <img src=x onerror=alert(1)>"


async def text_of(rig: Watched, path: str = "/") -> str:
    """A page."""
    answer = await rig.get(path)
    assert answer.status == 200
    return answer.body.decode()


def test_the_first_thing_is_that_nothing_is_wrong() -> None:
    """Calm, with the devices below."""

    async def test(rig: Watched) -> None:
        rig.push("lamp", "1.0.0")
        await rig.look("lamp")
        text = await text_of(rig)
        assert re.search(
            r'<main id="main"><div class="verdict good"><h1>Nothing is wrong</h1>', text
        )
        assert '<a href="/device/lamp">lamp</a>' in text
        assert '<span class="version">1.0.0</span>' in text

    run_watched(test)


def test_the_first_thing_is_what_is_wrong_and_what_to_do() -> None:
    """Before all else on the page, the worst first."""

    async def test(rig: Watched) -> None:
        rig.push("lamp", "1.0.0")
        rig.push("lamp", "2.0.0", Shape.BAD)
        await rig.look("lamp")
        rig.registry.away = True
        with pytest.raises(Unreachable):
            await rig.look("door")
        rig.overheard.note(
            {"level": "warning", "event": "setting_unknown", "name": "REGISTRY_PASWORD",
             "hint": "Nothing reads it. Is REGISTRY_PASSWORD meant?"}
        )  # fmt: skip
        text = await text_of(rig)
        main = text.split('<main id="main">')[1]
        assert main.startswith('<div class="verdict"><h1>3 things are wrong</h1>')
        order = [main.index(words) for words in (
            "cannot be brought up to date</h3>", "no answer", "has a release that is refused</h3>",
            "The manifest has no layer", "Correct what the reason says", "A setting is misspelt",
            "Is REGISTRY_PASSWORD meant?", "<h2>Devices</h2>",
        )]  # fmt: skip
        assert order == sorted(order)

    run_watched(test, "lamp", "door", devices=("lamp", "door"))


@pytest.mark.parametrize("level", ["info", "debug"])
def test_a_hook_that_was_ignored_is_nothing_wrong(level: str) -> None:
    """Whatever LOG_LEVEL is, it stands below the devices."""

    async def test(rig: Watched) -> None:
        rig.push("lamp", "1.0.0")
        await rig.look("lamp")
        at = iso(EPOCH + asyncio.get_running_loop().time())
        rig.overheard.note({"timestamp": at, "level": level, "event": "hook_ignored"})
        text = await text_of(rig)
        assert "<h1>Nothing is wrong</h1>" in text
        assert text.index("<h2>The log said besides</h2>") < text.index("A hook was ignored")

    run_watched(test)


def test_five_planted_faults_are_found_at_a_look() -> None:
    """Among thirty devices that are fine: each names its device, and says what to do."""

    async def test(rig: Watched) -> None:
        for number in range(30):
            rig.push(f"d{number}", "1.0.0")
            await rig.look(f"d{number}")
        rig.push("d3", "2.0.0", Shape.BAD)
        await rig.look("d3")
        rig.seen.events.tell(UnitLooping(release("d5", "1.0.0"), "aa:bb", 3))
        odd = rig.program.catalog.get(Device("d7"))
        assert odd is not None
        standing = odd.channels[STABLE]
        warned = replace(
            standing.release, warnings=("the image says version 0.9.0, the tag 1.0.0",)
        )
        rig.program.catalog.load(replace(odd, channels={STABLE: replace(standing, release=warned)}))
        reason = Reason(Why.REGISTRY, "the registry refuses the login", "Look at REGISTRY_PASSWORD")
        rig.seen.events.tell(RunFailed(Device("d9"), None, reason, 1, 0.1))
        await rig.look("empty")
        text = (await text_of(rig)).split("<h2>Devices</h2>")[0]
        assert "<h1>5 things are wrong</h1>" in text
        assert re.findall(r'<h3><a href="/device/([a-z0-9]+)">', text) == [
            "d9", "d3", "d5", "empty", "d7",
        ]  # fmt: skip
        assert text.count("What to do: ") == 5
        for words in (
            "refuses the login",
            "no layer",
            "three times",
            "0.9.0",
            "there is no release",
        ):
            assert words in text

    run_watched(test, *(f"d{number}" for number in range(30)), "empty", devices=("empty",))


def test_many_devices_with_one_fault_are_one_thing() -> None:
    """With their number, one of them, and the way to all."""

    async def test(rig: Watched) -> None:
        for number in range(30):
            reason = Reason(Why.REGISTRY, f"no such repository fw/d{number}", "Look at the prefix")
            rig.seen.events.tell(RunFailed(Device(f"d{number}"), None, reason, 1, 0.1))
        text = await text_of(rig)
        assert "<h1>1 thing is wrong</h1>" in text
        assert "30 devices cannot be brought up to date" in text
        wrong = await text_of(rig, "/?show=wrong")
        assert wrong.count('data-name="device"') == 30

    run_watched(test, devices=tuple(f"d{number}" for number in range(40)))


def test_pages_and_the_search_hold_every_device() -> None:
    """Fifty at a time, in the order of their names; what cannot be asked is as if it were not."""

    async def test(rig: Watched) -> None:
        seen = []
        for number in (1, 2, 3):
            text = await text_of(rig, f"/?page={number}")
            seen += re.findall(r'<td class="device"[^>]*><a href="/device/(d[0-9]+)"', text)
        assert seen == sorted(f"d{number}" for number in range(120))
        found = await text_of(rig, "/?q=D11")
        assert len(re.findall(r"<tr>", found)) == 1 + 11, "the head, d11 and d110 to d119"
        assert "1-11 of 11" in found
        assert "There is no such device" in await text_of(rig, "/?q=nobody")
        for query in ("?page=99999", "?page=-1", "?page=x", "?show=%ff", "?q=" + "x" * 5000):
            assert "</html>" in await text_of(rig, f"/{query}")

    run_watched(test, devices=tuple(f"d{number}" for number in range(120)))


def test_a_device_has_its_page() -> None:
    """What it is told, since when, by what; what happened, the newest first."""

    async def test(rig: Watched) -> None:
        rig.push("lamp", "1.0.0")
        await rig.look("lamp")
        rig.seen.events.tell(HookAccepted("id", "harbor", LAMP, "1.1.0", Action.PUSH))
        rig.push("lamp", "2.0.0", Shape.BAD)
        await rig.look("lamp")
        text = await text_of(rig, "/device/lamp")
        order = [text.index(words) for words in (
            "<h1>lamp", "It has a release that is refused", "What devices are told", "1.0.0",
            "by re-check", "Releases that cannot be served", "What happened", "release_refused",
            "hook_accepted", "stable is told 1.0.0",
        )]  # fmt: skip
        assert order == sorted(order)

    run_watched(test)


@pytest.mark.parametrize(("path", "status"), [("/device/nobody", 404), ("/device/<b>", 400)])
def test_a_device_that_is_none_is_said_in_the_reader_s_form(path: str, status: int) -> None:
    """A page for browsers, a short text for others; never an echo of what was asked."""

    async def test(rig: Watched) -> None:
        plain = await rig.get(path)
        assert (plain.status, plain.headers["content-type"]) == (
            status,
            "text/plain; charset=utf-8",
        )
        page = await rig.wire.get(path, "Accept: text/html\r\n")
        assert page.status == status
        assert b"<h1>Not here</h1>" in page.body
        assert b"<b>" not in page.body

    run_watched(test)


def test_everything_from_outside_is_escaped() -> None:
    """Reasons, hints, tags, units, hooks, lines of the log, searches."""

    async def test(rig: Watched) -> None:
        rig.push("lamp", "1.0.0")
        await rig.look("lamp")
        tell = rig.seen.events.tell
        tell(RunFailed(LAMP, Tag(HOSTILE), Reason(Why.REGISTRY, HOSTILE, HOSTILE), 1, 0.1))
        tell(HookAccepted("id", HOSTILE, LAMP, HOSTILE, Action.PUSH))
        tell(UnitLooping(release("lamp", "1.0.0"), HOSTILE, 3))
        rig.seen.observer.said({(LAMP, HOSTILE): 1})
        rig.overheard.note(
            {"level": "error", "event": HOSTILE, "reason": HOSTILE, "hint": HOSTILE,
             "device": HOSTILE, HOSTILE: HOSTILE}
        )  # fmt: skip
        search = "/?q=%3Cscript%3Ealert(1)%3C/script%3E%22"
        for path in ("/", "/device/lamp", search):
            text = await text_of(rig, path)
            assert "<img" not in text
            assert text.count("<script") == 1, "ours, by its address"
            assert "alert(" in text or path == "/"
            assert not re.search(r"<script(?! src=\"/assets/live\.js\?[0-9a-f]+\" defer)", text)

    run_watched(test)


def test_nothing_comes_from_elsewhere_and_nothing_runs_inline() -> None:
    """A strict policy, and pages that keep to it."""

    async def test(rig: Watched) -> None:
        for path in ("/", "/device/lamp"):
            answer = await rig.get(path)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
            text = answer.body.decode()
            assert not re.findall(r"(?:href|src|action)=\"(?!/|#)[^\"]*\"", text)
            assert not re.search(r"\sstyle=|\son[a-z]+=", text)
            for address in re.findall(r"\"(/assets/[^\"]+)\"", text):
                asset = await rig.get(address)
                assert asset.status == 200
                assert "immutable" in asset.headers["cache-control"]
                assert b"http" not in asset.body.replace(b"http://www.w3.org/2000/svg", b"")
        assert (await rig.get("/assets/../page.py")).status == 404

    run_watched(test, devices=("lamp",))


def test_a_registry_that_never_answered_is_not_said_to_be_empty() -> None:
    """With no device known, why the listing failed is what is wrong, until it comes."""

    async def test(rig: Watched) -> None:
        rig.registry.away = True
        async with rig.running():
            await asyncio.sleep(30)
            said = await text_of(rig, "/")
            assert "does not say which devices there are: " in said
            assert "nothing is listed" not in said

    run_watched(test)


def test_no_answer_is_without_the_policy() -> None:
    """Also what is no page, and what is refused, is nothing that a browser runs or guesses at."""

    async def test(rig: Watched) -> None:
        for path in ("/status", "/ready", "/units", "/metrics", "/nowhere", "/device/%3Cb%3E"):
            answer = await rig.get(path)
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"

    run_watched(test)


def test_it_works_without_javascript() -> None:
    """It loads itself again; links, pages and the search are plain."""

    async def test(rig: Watched) -> None:
        text = await text_of(rig)
        assert '<noscript><meta http-equiv="refresh" content="30"></noscript>' in text
        assert '<form action="/" role="search">' in text

    run_watched(test)


def test_a_hundred_who_look_at_one_page_cost_one() -> None:
    """What was rendered is good for a second."""

    async def test(rig: Watched) -> None:
        first = await text_of(rig)
        rig.seen.events.tell(RunFailed(LAMP, None, Reason(Why.REGISTRY, "no", ""), 1, 0.1))
        assert await text_of(rig) == first
        async with rig.running():
            await asyncio.sleep(1.1)
        assert await text_of(rig) != first

    run_watched(test, devices=("lamp",))
