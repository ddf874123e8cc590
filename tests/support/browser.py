r"""A real Chromium, headless, driven by the Chrome DevTools Protocol over a WebSocket.

    async with browser(tmp_path) as page:
        await page.open("http://127.0.0.1:9090/")
        assert await page.run("document.title") == "Devices · OtaFlux"

One page of one browser; `messages` are what it complains of.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

PATIENCE = 20.0  # seconds
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--remote-debugging-port=0",
)


class Page:
    """See the module's docstring."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.messages: list[str] = []

    async def call(self, method: str, **parameters: Any) -> Any:
        """One call of the protocol; events that come meanwhile are looked through."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            said = await self._next()
            if said.get("id") == number:
                assert "error" not in said, said
                return said["result"]

    async def _next(self) -> Any:
        said = json.loads((await asyncio.wait_for(self._socket.receive(), PATIENCE)).data)
        if said.get("method") in {"Log.entryAdded", "Runtime.exceptionThrown"}:
            self.messages.append(json.dumps(said["params"]))
        return said

    async def open(self, url: str) -> None:
        """Go there, and wait until it is loaded."""
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def run(self, script: str) -> Any:
        """What a script comes to."""
        result = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait until a script comes to something true."""
        async with asyncio.timeout(PATIENCE):
            while not await self._holds(script):  # noqa: ASYNC110 - it has no event for that
                await asyncio.sleep(0.02)

    async def _holds(self, script: str) -> bool:
        """Whether it comes to something true; not while one page gives way to the next."""
        try:
            return bool(await self.run(script))
        except AssertionError:
            return False

    async def press(self, key: str, code: int) -> None:
        """Press a key."""
        for kind in ("rawKeyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    async def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        """Be that large."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )

    async def dark(self, scheme: str = "dark") -> None:
        """Prefer that colour scheme."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def screenshot(self, path: Path) -> bytes:
        """What it looks like, as PNG, which is also written to `path`."""
        taken = await self.call("Page.captureScreenshot", format="png")
        data = base64.b64decode(taken["data"])
        await asyncio.to_thread(path.write_bytes, data)
        return data


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Page]:
    """A browser of its own, with its files below `folder`."""
    process = await asyncio.create_subprocess_exec(
        "chromium",
        *FLAGS,
        f"--user-data-dir={folder / 'chromium'}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while not (found := re.search(rb"ws://(\S+?)/", await process.stderr.readline())):
                assert process.returncode is None
        drained = asyncio.create_task(process.stderr.read())
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{found[1].decode()}/json/list") as answer:
                (target, *_) = [each for each in await answer.json() if each["type"] == "page"]
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Page", "Runtime", "Log"):
                    await page.call(f"{domain}.enable")
                yield page
                await page.call("Browser.close")
        await drained
    finally:
        if process.returncode is None:
            try:
                async with asyncio.timeout(5):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
