"""Waiting for what has no event of its own."""

from __future__ import annotations

import asyncio


async def until(holds: object, seconds: float = 5.0) -> None:
    """Wait until `holds()`."""
    assert callable(holds)
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
