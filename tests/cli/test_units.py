"""`otaflux units`: what each unit runs, asked of a running server."""

from __future__ import annotations

import json
import time
from pathlib import Path

from programs import otaflux, server

from otaflux.machine import Machine
from otaflux.model.names import Device
from otaflux.units.units import Units
from otaflux.web.ops.unitlist import PAGE, UnitList

LAMP, PUMP = Device("lamp"), Device("pump")


def test_units_are_listed_as_they_said(tmp_path: Path) -> None:
    """As a table and as JSON, of all devices and of one; a server that is away is one line."""
    with server(tmp_path) as running:
        image = tmp_path / "image.bin"
        image.write_bytes(b"an image of any kind")
        for device in ("lamp", "pump"):
            assert running.run("push", f"{device}:1.4.0", image).returncode == 0
            running.told(device, "1.4.0")
        running.get("/version?device=lamp&unit=24:0A:C4:00:00:01&current=1.3.0")
        running.get("/pump/controller/v1/p-1")
        deadline = time.monotonic() + 10
        said: dict[str, dict[str, str | None]] = {}
        while len(said) < 2:  # what is answered from memory is heard of within a second
            assert time.monotonic() < deadline
            listed = json.loads(running.run("units", "--json").stdout)["units"]
            said = {each["unit"]: each for each in listed}
        lamp = said["24:0A:C4:00:00:01"]
        assert set(lamp) == {"unit", "device", "runs", "told", "protocol", "heard", "failed"}
        assert (lamp["device"], lamp["runs"], lamp["told"]) == ("lamp", "1.3.0", "1.4.0")
        assert (said["p-1"]["protocol"], said["p-1"]["runs"]) == ("ddi", None)
        table = running.run("units", "pump").stdout.splitlines()
        assert table[0].split() == ["UNIT", "DEVICE", "RUNS", "TOLD", "PROTOCOL", "HEARD", "FAILED"]
        assert [line.split()[0] for line in table[1:]] == ["p-1"]
        assert running.run("units", "NO").returncode == 2
        env = running.env
    away = otaflux("units", cwd=tmp_path, **env)
    assert away.returncode == 1
    assert len(away.stderr.splitlines()) == 1


async def test_a_long_list_comes_in_pages() -> None:
    """A hundred thousand units are neither one answer nor one step of the event loop."""
    units = Units(machine=Machine(now=lambda: 1_800_000_000.0))
    for number in range(PAGE + 700):
        units.heard((LAMP, PUMP)[number % 2], f"u{number}")
    first = json.loads((await UnitList(units).answer("")).body)
    assert len(first["units"]) == PAGE
    second = json.loads((await UnitList(units).answer(f"first={first['next']}")).body)
    assert "next" not in second
    names = [each["unit"] for each in first["units"] + second["units"]]
    assert names == [f"u{number}" for number in range(PAGE + 700)]
    pump = json.loads((await UnitList(units).answer("device=pump")).body)
    assert {each["device"] for each in pump["units"]} == {"pump"}
    assert first["units"][0]["heard"] == "2027-01-15T08:00:00Z"
