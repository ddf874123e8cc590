"""SHA-512 of firmware: right, and summed once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from held_releases import firmware, stored

from otaflux.errors import DiskFailed
from otaflux.machine import Machine
from otaflux.state.longsums import LongSums
from otaflux.state.store import Store

CONTENT = bytes(range(256)) * 5000  # more than one piece


async def test_a_file_is_summed_once_and_for_all_who_ask(tmp_path: Path) -> None:
    """Whoever asks meanwhile waits for the same; a file that is missing is the disk's fault."""
    summed: list[object] = []

    async def in_thread(work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        summed.append(arguments)
        await asyncio.sleep(0)
        return work(*arguments, **options)

    store = Store(tmp_path)
    store.prepare()
    held = stored(store, CONTENT)
    sums = LongSums(store, machine=Machine(in_thread=in_thread))
    assert sums.known(held) is None
    expected = hashlib.sha512(CONTENT).hexdigest()
    assert await asyncio.gather(*(sums.sha512(held) for _ in range(5))) == [expected] * 5
    assert sums.known(held) == expected
    assert len(summed) == 1
    with pytest.raises(DiskFailed):
        await sums.sha512(firmware(b"never there"))
