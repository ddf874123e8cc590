"""Units of several protocols over one server: what is remembered of them is right at the end."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from device_port import PortServer
from device_server import Connection, release

from otaflux.model.names import Device
from otaflux.units.saver import Saver
from otaflux.units.units import Units

VERSIONS = ("1.2.0", "1.3.0", "1.4.0")
ROUNDS, EACH = 3, 60  # polls of each unit, and units of each protocol


async def ask(connection: Connection, kind: str, unit: str, runs: str) -> None:
    """One poll as that protocol has it, in which the unit says what it runs."""
    match kind:
        case "http":
            await connection.get(f"/version?device=lamp&unit={unit}&current={runs}")
        case "arduino":
            headers = {"x-ESP32-STA-MAC": unit, "x-ESP32-version": runs, "x-ESP32-mode": "version"}
            await connection.get("/firmware?device=lamp", headers)
        case "memfault":
            query = f"device_serial={unit}&software_type=lamp&current_version={runs}"
            await connection.get(f"/api/v0/releases/latest/url?{query}&hardware_version=a")
        case "swupdate":
            await connection.get(f"/swupdate?device=lamp&version={runs}&unit={unit}")
        case _:
            body = json.dumps({"data": {"version": runs}})
            await connection.get(f"/lamp/controller/v1/{unit}")
            await connection.send(
                f"PUT /lamp/controller/v1/{unit}/configData HTTP/1.1\r\nHost: ota\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            await connection.reply()


async def test_what_each_unit_runs_is_right_at_the_end(tmp_path: Path) -> None:
    """Of five protocols, with the file taken away in the middle; and after a restart."""
    chance = random.Random(7)
    file = tmp_path / "units.sqlite3"
    kinds = ("http", "arduino", "memfault", "swupdate", "ddi")
    runs: dict[str, str] = {}
    server: Any = PortServer(tmp_path)
    async with Saver(server.units, file), server, await server.connect() as connection:
        server.publish(release("lamp", "1.4.0", b"firmware"))
        for turn in range(ROUNDS):
            for kind in kinds:
                for number in range(EACH):
                    unit = f"{kind}-{number}"
                    runs[unit] = chance.choice(VERSIONS)
                    await ask(connection, kind, unit, runs[unit])
            if turn == 1:
                assert await server.units.kept(5)
                file.unlink()
        server.side.cache.report()
        assert {each.unit: each.runs for each in server.units.page(0, 9999)[0]} == runs
    again = Units()
    async with Saver(again, file):
        seen = again.page(0, 9999)[0]
    assert {each.unit: each.runs for each in seen} == runs
    assert {each.protocol.value for each in seen} == set(kinds)
    said = list(runs.values())
    counts = {version: said.count(version) for version in VERSIONS}
    assert again.running(Device("lamp")) == counts
