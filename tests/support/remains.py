"""What lies in DATA_DIR while no server runs: records and firmware, as they are.

    remains = Remains(tmp_path / "data")
    assert not remains.temporaries()
    assert remains.files.keys() == remains.named()
    remains.age(16 * 60)                     # as if all had been left that much earlier

Records are read as plain JSON, so that a test does not believe what the server would.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from otaflux.state.catalog import ONE_WRITE


class Remains:
    """The records by their device's name, and the firmware by its SHA-256, as they were found."""

    def __init__(self, data: Path) -> None:
        self._catalog, self._firmware = data / "catalog", data / "firmware" / "sha256"
        self.records: dict[str, dict[str, Any]] = {}
        for path in self._catalog.glob("*.json"):
            record = json.loads(path.read_bytes())["record"]
            self.records[record["device"]] = record | {"path": path}
        self.files = {path.name: path for path in self._firmware.glob("[0-9a-f]*")}

    def temporaries(self, *below: str) -> list[Path]:
        """The files without a name yet, of all or of `catalog` or `firmware`."""
        folders = {"catalog": self._catalog, "firmware": self._firmware}
        return [path for name in below or folders for path in folders[name].glob(".new-*")]

    def set_aside(self) -> list[Path]:
        """What else lies beside the records: damaged ones."""
        named = {record["path"] for record in self.records.values()}
        return [path for path in self._catalog.iterdir() if path not in named]

    def current(self, device: str) -> tuple[str, str] | None:
        """The tag and the SHA-256 that a device is told on the stable channel."""
        standing = self.records.get(device, {"channels": {}})["channels"].get("stable")
        return (standing["release"]["tag"], standing["release"]["sha256"]) if standing else None

    def named(self) -> set[str]:
        """The SHA-256 of all firmware that a record names."""
        return {each["sha256"] for record in self.records.values() for each in _releases(record)}

    def left_since(self, moment: float) -> bool:
        """Whether no release that stopped being told before that moment still is on the disk.

        But for what left with a record's last write before it, which may never have been confirmed:
        that stays for a while after each start.
        """
        for record in self.records.values():
            before = [each["at"] for each in record["leaving"] if each["at"] < moment]
            if any(at < max(before) - ONE_WRITE for at in before):
                return False
        return True

    def size(self) -> int:
        """The bytes of all records and all firmware."""
        paths = [*self._catalog.iterdir(), *self._firmware.iterdir()]
        return sum(path.stat().st_size for path in paths)

    def age(self, seconds: float) -> None:
        """Write the records as if releases had stopped being told that much earlier."""
        for record in self.records.values():
            for leaving in record["leaving"]:
                leaving["at"] -= seconds
            body = json.dumps({name: value for name, value in record.items() if name != "path"})
            checksum = f"sha256:{hashlib.sha256(body.encode()).hexdigest()}"
            record["path"].write_text(
                f'{{"format": 1, "checksum": "{checksum}", "record": {body}}}'
            )

    def forget(self, device: str) -> None:
        """Remove a device's record, as `otaflux forget` does; its firmware stays."""
        record = self.records.pop(device, None)
        if record is not None:
            record["path"].unlink()


def _releases(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (standing["release"] for standing in record["channels"].values())
    yield from record["kept"]
    yield from (leaving["release"] for leaving in record["leaving"])
