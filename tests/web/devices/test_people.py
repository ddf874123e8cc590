"""The devices' port in a browser says what it is and leads on, and names no device."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browser import browser
from device_port import PortServer
from device_server import release

from otaflux.web.devices.protocols.table import find


async def test_a_browser_gets_a_page_and_all_else_a_text(tmp_path: Path) -> None:
    """By `Accept`, and caches between are told so; neither names a device."""
    async with PortServer(tmp_path) as server:
        server.publish(release("secretlamp", "1.0.0", b"firmware"))
        text = await server.get("/")
        page = await server.get("/", {"Accept": "text/html,*/*;q=0.8"})
        held = {"Accept": "text/html", "If-None-Match": page["ETag"]}
        again = await server.get("/", held)
    assert (text.status, text["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert (page.status, page["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert again.status == 304
    assert text["Vary"] == page["Vary"] == "Accept"
    assert b"secretlamp" not in text.body + page.body
    for target in re.findall(rb'(?:href|action)="([^"]+)"', page.body):
        find(target.decode(), {})  # raises where nothing answers


@pytest.mark.real("chromium")
async def test_the_form_leads_to_what_a_device_is_told(tmp_path: Path) -> None:
    """In a real browser: the style is let through by the policy, and the form asks like a board."""
    async with PortServer(tmp_path / "data") as server:
        server.publish(release("lamp", "1.2.3", b"firmware"))
        async with browser(tmp_path) as page:
            await page.open(f"http://127.0.0.1:{server.port}/")
            assert await page.run("getComputedStyle(document.body).maxWidth") == "640px"
            await page.run("document.querySelector('input').value = 'lamp'")
            await page.run("document.querySelector('button').click()")
            await page.until("document.body.innerText.startsWith('1.2.3')")
