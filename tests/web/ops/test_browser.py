"""The page in a real browser: live without a reload, dark and light, on a phone, by keyboard."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from browser import Page, browser
from watched import Watched

from otaflux.events import RunFailed
from otaflux.model.names import Device
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
