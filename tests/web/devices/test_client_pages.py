"""The pages of docs/devices/ say what is so: what they have people try prints what they show."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from device_port import PortServer
from device_server import release
from zigbee_files import zigbee, zigbee_file

DOCS = Path(__file__).parents[3] / "docs"
PAGES = sorted((DOCS / "devices").glob("*.md"))
SERVER = "ota.example:8080"
ANYTHING = "…"


def tried(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Each line behind `$` in the page's blocks, and the lines that it prints by the page."""
    for block in re.findall(r"^```\n(\$ .*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *printed = step.strip().split("\n")
            yield command, printed


def is_shown(line: str, printed: str) -> bool:
    """Whether a line of the page stands for what was printed; an ellipsis stands for anything."""
    pattern = ".*".join(re.escape(part) for part in line.split(ANYTHING))
    return re.fullmatch(pattern, printed) is not None


@pytest.mark.real("curl")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
async def test_what_a_page_has_people_try_prints_what_it_shows(page: Path, tmp_path: Path) -> None:
    """Each command of a client's page is run as it stands, on a server with what it names."""
    steps = list(tried(page))
    assert steps, "a page shows how to try it without a board"
    async with PortServer(tmp_path / "data") as server:
        server.publish(release("lamp", "1.4.0", b"\xe9firmware"))
        server.publish(release("gateway", "1.4.0", b"070702" + b"swu" * 40))
        server.publish(release("acme/os", "41.2.0", b"a root file system"))
        server.publish(zigbee("bulb", "1.4.0", zigbee_file(0x00010400)))
        for command, shown in steps:
            printed = await run(command, server.port, tmp_path)
            assert len(printed) == len(shown), (command, printed)
            assert all(map(is_shown, shown, printed)), (command, printed)


async def run(command: str, port: int, folder: Path) -> list[str]:
    """What a command prints that knows the server by another name, with that name put back."""
    process = await asyncio.create_subprocess_shell(
        command.replace(SERVER, f"127.0.0.1:{port}"),
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode().replace(f"127.0.0.1:{port}", SERVER).strip().split("\n") if said else []
