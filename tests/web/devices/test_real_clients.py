"""Real clients against the device port: zigpy, which ZHA reads indexes with, and systemd's own."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from device_port import PortServer
from device_server import release
from zigbee_files import zigbee, zigbee_file
from zigpy.ota.providers import RemoteZ2MProvider

PULL = "/lib/systemd/systemd-pull"


async def test_zigpy_reads_the_index_and_fetches(tmp_path: Path) -> None:
    """Its schema takes the array, and the file that it fetches has the size and the sum named."""
    content = zigbee_file(0x00010203, hardware=(1, 2))
    async with PortServer(tmp_path) as server:
        server.publish(zigbee("zb/bulb", "1.2.3", content))
        server.publish(release("lamp", "1.0.0", b"no Zigbee file"))
        provider = RemoteZ2MProvider(url=f"http://127.0.0.1:{server.port}/zigbee/index.json")
        (listed,) = await provider.load_index() or []
        assert (listed.file_version, listed.manufacturer_id) == (0x00010203, 0x1234)
        image = await listed.fetch()
        assert image.serialize() == content


@pytest.mark.real("systemd-nspawn")
async def test_systemd_pulls_what_the_list_names(tmp_path: Path) -> None:
    """The helper that systemd-sysupdate calls takes the list, and a file with the list's sum."""
    content = b"root file system" * 5000
    async with PortServer(tmp_path) as server:
        server.publish(release("acme/os", "41.2.0", content))
        origin = f"http://127.0.0.1:{server.port}/sysupdate/acme/os"
        listed = tmp_path / "SHA256SUMS"
        await pulled("--verify=no", f"{origin}/SHA256SUMS", str(listed))
        digest, _, name = listed.read_text().strip().partition(" *")
        assert (digest, name) == (hashlib.sha256(content).hexdigest(), "os_41.2.0.bin")
        image = tmp_path / "image"
        await pulled(f"--verify={digest}", f"{origin}/{name}", str(image))
        assert image.read_bytes() == content


async def pulled(verify: str, url: str, target: str) -> None:
    """Run the helper as systemd-sysupdate does."""
    process = await asyncio.create_subprocess_exec(
        PULL, "raw", "--direct", verify, "--sync=no", url, target,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
