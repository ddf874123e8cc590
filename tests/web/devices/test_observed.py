"""What observers hear of downloads and polls: who took what, whole or not, and what units run."""

from __future__ import annotations

from pathlib import Path

import pytest
from device_port import PortServer
from device_server import release
from waiting import until

from otaflux.model.names import Device
from otaflux.model.release import Release
from otaflux.web.observer import Everybody, Nobody

ARDUINO = {"x-ESP32-STA-MAC": "aa:bb", "x-ESP32-version": "0.9.0", "x-ESP32-mode": "sketch"}


class Heard(Nobody):
    """Remembers downloads and polls."""

    def __init__(self) -> None:
        self.downloads: list[tuple[str, str, bool, bool]] = []
        self.polls: list[tuple[str, str]] = []
        self.lookups: list[tuple[str, bool]] = []

    def download(self, release: Release, unit: str, *, whole: bool, last: bool) -> None:
        """Remember."""
        self.downloads.append((release.version.text, unit, whole, last))

    def poll(self, device: Device, runs: str) -> None:
        """Remember."""
        self.polls.append((device.name, runs))

    def lookup(self, device: Device, *, hit: bool) -> None:
        """Remember."""
        self.lookups.append((device.name, hit))


@pytest.mark.parametrize(
    ("target", "headers", "method", "heard"),
    [
        ("/firmware?device=lamp&unit=a", {}, "GET", [("1.0.0", "a", True, True)]),
        ("/firmware?device=lamp", {}, "GET", [("1.0.0", "", True, True)]),
        ("/firmware?device=lamp", {"Range": "bytes=0-9"}, "GET", [("1.0.0", "", True, False)]),
        ("/firmware?device=lamp", {"Range": "bytes=10-"}, "GET", [("1.0.0", "", True, True)]),
        ("/firmware?device=lamp", ARDUINO, "GET", [("1.0.0", "aa:bb", True, True)]),
        ("/firmware?device=lamp", {}, "HEAD", []),
        ("/firmware?device=lamp", {**ARDUINO, "x-ESP32-version": "1.0.0"}, "GET", []),
        ("/firmware?device=lamp&version=2.0.0", {}, "GET", []),
    ],
)
async def test_a_download_is_told_with_who_took_it_and_how_it_ended(
    tmp_path: Path,
    target: str,
    headers: dict[str, str],
    method: str,
    heard: list[tuple[str, str, bool, bool]],
) -> None:
    """Whole where its bytes went out, last where the file's end was among them."""
    ears = Heard()
    async with PortServer(tmp_path, observer=Everybody(Nobody(), ears)) as server:
        server.publish(release("lamp", "1.0.0", bytes(1000)))
        await server.get(target, headers, method=method)
        assert ears.downloads == heard
        assert ears.lookups == [("lamp", True)]


async def test_a_client_that_hangs_up_did_not_take_it(tmp_path: Path) -> None:
    """That is usual, and told as what it is."""
    ears = Heard()
    async with PortServer(tmp_path, observer=ears) as server:
        server.publish(release("lamp", "1.0.0", bytes(8 << 20)))
        with server.plain_socket(receive_buffer=4096) as sock:
            sock.sendall(b"GET /firmware?device=lamp&unit=a HTTP/1.1\r\nHost: x\r\n\r\n")
            sock.setblocking(False)
            await until(lambda: server.sender.under_way)
        await until(lambda: ears.downloads)
        assert ears.downloads == [("1.0.0", "a", False, True)]


async def test_what_a_unit_says_it_runs_is_told_with_its_poll(tmp_path: Path) -> None:
    """By a header or in the query."""
    ears = Heard()
    async with PortServer(tmp_path, observer=ears, shortcut=False) as server:
        server.publish(release("lamp", "1.0.0"))
        await server.get("/firmware?device=lamp", ARDUINO)
        await server.get("/version?device=lamp&current=0.8.0&unit=b")
        await server.get("/version?device=lamp")
        assert ears.polls == [("lamp", "0.9.0"), ("lamp", "0.8.0"), ("lamp", "")]
