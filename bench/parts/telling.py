"""From a hook, as a registry sends it, to the poll that is told its release."""

from __future__ import annotations

import time

import aiohttp

from parts.server import hook


async def send_hook(session: aiohttp.ClientSession, url: str, device: str, tag: str) -> float:
    """Send a hook; the seconds until its answer."""
    body, headers = hook(device, tag)
    began = time.perf_counter()
    async with session.post(f"{url}/hooks/registry", data=body, headers=headers) as answer:
        await answer.read()
        if answer.status != 202:
            raise RuntimeError(f"the hook was answered {answer.status}")
    return time.perf_counter() - began


async def told_after_hook(
    session: aiohttp.ClientSession, url: str, device: str, version: str
) -> float:
    """Send a hook; the seconds until a poll that waits hears of that version."""
    etag = await etag_of(session, url, device)
    began = time.perf_counter()
    await send_hook(session, url, device, version)
    while True:
        target = (
            f"{url}/version?device={device}&wait=60" if etag else f"{url}/version?device={device}"
        )
        async with session.get(target, headers={"If-None-Match": etag} if etag else {}) as answer:
            if (await answer.text()).startswith(f"{version}\n"):
                return time.perf_counter() - began


async def etag_of(session: aiohttp.ClientSession, url: str, device: str) -> str:
    """What a board that has the current release asks with; empty where there is none."""
    async with session.get(f"{url}/version?device={device}") as answer:
        await answer.read()
        return answer.headers.get("ETag", "") if answer.status == 200 else ""
