"""The page in a real browser: live without a reload, dark and light, on a phone, by keyboard."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from browser import Page, browser
from watched import Watched

from otaflux.events import ReleaseRefused, RunFailed
from otaflux.model.artifact import Digest
from otaflux.model.names import Device, Tag
from otaflux.model.version import Version
from otaflux.reason import Cause, Reason
from otaflux.web.port.server import Port

LAMP = Device("lamp")
SHOTS = os.environ.get("SCREENSHOTS", "")  # a folder where somebody wants to look at them


@asynccontextmanager
async def looked_at(tmp_path: Path, *names: str) -> AsyncIterator[tuple[Watched, Page, str]]:
    """A server with those devices, a browser, and the server's address."""
    rig = Watched(*names[:3], devices=names)
    await rig.begin()
    for name in names[:3]:
        rig.push(name, "1.4.0")
        await rig.look(name)
    async with (
        Port(rig.side.answer, "127.0.0.1", 0, shutdown_timeout=0.1) as port,
        browser(tmp_path) as page,
    ):
        yield rig, page, port.url


async def shot(page: Page, tmp_path: Path, name: str) -> bytes:
    """A screenshot, which is no blank one."""
    data = await page.screenshot(Path(SHOTS or tmp_path) / f"{name}.png")
    assert len(data) > 10_000
    return data


def fails(device: Device, reason: str = "no answer from the registry") -> RunFailed:
    """A look that learnt nothing."""
    return RunFailed(device, None, Reason(Cause.UNREACHABLE, reason, "Is it up?"), 1, 0.1)


@pytest.mark.real("chromium")
async def test_it_is_live_and_readable_in_a_real_browser(tmp_path: Path) -> None:
    """What happens shows within seconds and without a reload; nothing is blocked or complains."""
    async with looked_at(tmp_path, "lamp", "door", "meter") as (rig, page, url):
        await page.resize(1200, 900)
        await page.open(f"{url}/")
        assert await page.run("document.title") == "Devices · OtaFlux"
        assert await page.run("document.querySelector('main h1').innerText") == "Nothing is wrong"
        await page.until("document.querySelector('.live').classList.contains('on')")
        light = await shot(page, tmp_path, "three")
        await page.run("window.same = true")
        rig.seen.events.tell(fails(LAMP))
        await page.until("document.querySelector('main').innerText.includes('Is it up?')")
        assert await page.run("window.same"), "it was not loaded again"
        await page.dark()
        assert await shot(page, tmp_path, "three-dark") != light
        await page.resize(390, 844, phone=True)
        assert await page.run("document.documentElement.scrollWidth") <= 390
        await shot(page, tmp_path, "phone")
        await page.resize(1200, 900)
        reached = set()
        for _ in range(12):
            await page.press("Tab", 9)
            reached.add(
                await page.run(
                    "document.activeElement.getAttribute('href') || document.activeElement.name"
                )
            )
        assert {"#main", "q", "/device/lamp"} <= reached
        await page.open(f"{url}/device/lamp")
        assert await page.run("document.querySelector('main h1').innerText.startsWith('lamp')")
        await page.until("document.querySelector('.live').classList.contains('on')")
        rig.push("lamp", "1.5.0")
        await rig.look("lamp")
        await page.until("document.querySelector('main').innerText.includes('1.5.0')")
        await shot(page, tmp_path, "device")
        assert page.messages == []


HOSTILE = (
    "<script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 2'>",
    """"' onmouseover='window.pwned = 3' autofocus onfocus='window.pwned = 4' x=\"""",
    "</main></body><meta http-equiv=refresh content=0;url=//evil.example>",
    "javascript:window.pwned=5//",
    "\u202egnissim si gnihton\u202c \u2066\u0000\x1b[31m\x07\ud800 \u0627\u0644",
    "x" * 4096,
    "\U0001f4a9" * 1024,
    "<!--<![CDATA[&lt;&#60;&amp;" + "\u0301" * 300,
)
LONG = "d" * 100 + "/" + "e" * 99


@pytest.mark.real("chromium")
async def test_whatever_others_write_is_only_read(tmp_path: Path) -> None:
    """Reasons, hints, versions, names and lines of the log run nothing, and the page stays whole.

    On a phone too nothing is wider than the screen; and no text turns the rest of its line around.
    """
    async with looked_at(tmp_path, "lamp", LONG) as (rig, page, url):
        units, told = rig.program.edge.parts.units, rig.seen.events.tell
        for number, text in enumerate(HOSTILE):
            tag = Tag(f"9.9.{number}")
            digest = Digest("sha256", f"{number:064x}")
            told(ReleaseRefused(LAMP, tag, Version.parse(tag.text), digest, text))
            told(RunFailed(Device(LONG), None, Reason(Cause.OTHERS, text, text), 1, 0.1))
            rig.overheard.note(
                {
                    "event": "hook_rejected",
                    "level": "warning",
                    "timestamp": "2026-01-01T00:00:00Z",
                    "reason": text,
                    "hint": text,
                    f"f{number}": text,
                }
            )
            seen = "".join(each for each in text if "!" <= each <= "~")[:128]
            units.heard(LAMP, f"u{number}", runs=seen, told=seen)
        said = []
        for path in ("/", "/device/lamp", f"/device/{LONG}", "/?q=" + quote(HOSTILE[1])):
            await page.resize(1200, 900)
            await page.open(url + path)
            await page.until("document.querySelector('.live').classList.contains('on')")
            assert await page.run("window.pwned === undefined")
            assert await page.run("document.scripts.length") == 1
            odd = "img, iframe, object, [onerror], [onfocus], [onmouseover], meta[content*=evil]"
            assert await page.run(f"document.querySelectorAll('{odd}').length") == 0
            addresses = "[...document.links].every(a => a.href.startsWith(location.origin))"
            assert await page.run(addresses)
            assert await page.run("document.documentElement.scrollWidth") <= 1200
            await page.resize(390, 844, phone=True)
            assert await page.run("document.documentElement.scrollWidth") <= 390, path
            said.append(str(await page.run("document.body.innerText")))
            await shot(page, tmp_path, f"hostile-{len(said)}")
        assert "<script>window.pwned" in said[0]
        assert not set("\u202e\u2066\x1b\x07") & set("".join(said))
        assert page.messages == []


@pytest.mark.real("chromium")
async def test_twenty_thousand_devices_are_as_readable(tmp_path: Path) -> None:
    """In pages, with what is wrong first, and a search that finds one."""
    names = tuple(f"d{number:05}" for number in range(20_000))
    async with looked_at(tmp_path, *names) as (rig, page, url):
        for name in names[:5000]:
            rig.seen.events.tell(fails(Device(name), f"no answer about {name}"))
        await page.resize(1200, 1000)
        await page.open(f"{url}/")
        text = str(await page.run("document.querySelector('main').innerText"))
        assert text.startswith("1 thing is wrong")
        assert "5,000 devices cannot be brought up to date" in text
        assert "1-50 of 20,000" in text
        await shot(page, tmp_path, "many")
        await page.run("document.querySelector('[type=search]').value = '19999'")
        await page.run("document.querySelector('form').submit()")
        await page.until("location.search === '?q=19999'")
        await page.until("document.readyState === 'complete'")
        assert "1-1 of 1" in str(await page.run("document.querySelector('main').innerText"))
        assert page.messages == []
